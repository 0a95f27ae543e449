// The address, without a browser: what of one the route needs is put in its place.
import assert from "node:assert/strict";
import { test } from "node:test";

const entries = [];
globalThis.location = new URL("http://tailrace.test/streams/a/b?offset=7&panel=why&types=x.*&text=%22q%22&only=failed");
globalThis.addEventListener = (type, listener) => type === "popstate" && (globalThis.step = listener);
const visit = (url) => void (globalThis.location = new URL(url, globalThis.location));
globalThis.history = {
  pushState: (_state, _title, url) => void (entries.push(String(url)), visit(url)),
  replaceState: (_state, _title, url) => void (entries.splice(-1, 1, String(url)), visit(url)),
};
const { followLinks, go, route } = await import("../src/route.ts");

/** Goes to an address as the browser's Back does. */
function arrive(url) {
  visit(url);
  globalThis.step();
  return route.value;
}

test("all that is looked at stands in the address", () => {
  assert.deepEqual(
    { ...route.value },
    { path: "/a/b", offset: 7, panel: "why", types: "x.*", text: '"q"', only: "failed" },
  );
});

test("an address that means nothing is no stream, no event and no panel", () => {
  assert.equal(arrive("/").path, undefined);
  assert.equal(arrive("/streams").path, "/");
  assert.equal(arrive("/streams/").path, "/");
  for (const none of [
    "/streams/a b",
    "/streams/_x",
    "/streams/..%2Fx",
    "/streams/%00",
    "/streams/%",
    "/streams/a//b",
  ]) {
    assert.equal(arrive(none).path, null, none);
  }
  for (const offset of ["0", "-1", "1.5", "x", "", "9007199254740993", "Infinity"]) {
    assert.equal(arrive(`/streams/a?offset=${offset}`).offset, undefined, offset);
  }
  const { panel, only } = arrive("/streams/a?panel=__proto__&only=constructor");
  assert.deepEqual([panel, only], [undefined, undefined]);
});

test("what is not named stays, and another stream begins without event, panel and filter", () => {
  arrive("/streams/a?types=x");
  go({ offset: 3 });
  assert.equal(entries.at(-1), "/streams/a?offset=3&types=x");
  go({ types: undefined, text: "ä&b=c" });
  assert.equal(route.value.text, "ä&b=c");
  assert.equal(arrive(entries.at(-1)).text, "ä&b=c");
  go({ path: "/other" });
  assert.equal(entries.at(-1), "/streams/other");
  go({ path: "/other", offset: 5 });
  assert.equal(entries.at(-1), "/streams/other?offset=5");
  go({ path: "/" });
  assert.equal(entries.at(-1), "/streams/");
  go({ path: undefined });
  assert.equal(entries.at(-1), "/");
});

test("what changes with every key leaves no step back", () => {
  go({ path: "/a" });
  const steps = entries.length;
  go({ offset: 1 }, { replace: true });
  go({ offset: 2 }, { replace: true });
  assert.equal(entries.length, steps);
  assert.equal(entries.at(-1), "/streams/a?offset=2");
});

test("a link within the page is followed, any other is the browser's", () => {
  const click = (href, more = {}, link = {}) => {
    let isPrevented = false;
    const { origin } = new URL(href, globalThis.location);
    const a = { href: new URL(href, globalThis.location).href, origin, target: "", hasAttribute: () => false, ...link };
    followLinks({ button: 0, target: { closest: () => a }, preventDefault: () => (isPrevented = true), ...more });
    return isPrevented;
  };
  assert.ok(click("/streams/x?offset=4"));
  assert.deepEqual([route.value.path, route.value.offset], ["/x", 4]);
  assert.ok(click("/"));
  for (const [href, more, link] of [
    ["/api/streams/x"],
    ["/hooks/x"],
    ["/streamsx"],
    ["https://elsewhere.test/streams/x"],
    ["javascript:alert(1)"],
    ["/streams/x", { ctrlKey: true }],
    ["/streams/x", { button: 1 }],
    ["/streams/x", { defaultPrevented: true }],
    ["/streams/x", {}, { target: "_blank" }],
  ]) {
    assert.ok(!click(href, more, link), href);
  }
});
