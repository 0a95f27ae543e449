// Everything that strangers can write is text to the page: nothing of it runs, leads elsewhere, becomes an element, or moves
// the page's own words.
/* global document, location, window, getComputedStyle, NodeFilter, requestAnimationFrame -- in what runs in the page */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  aRuntime,
  aStream,
  appendAll,
  openStream,
  pageOf,
  phone,
  rowOf,
  rowsOf,
  says,
  follow,
  screenshot,
  soon,
  until,
} from "./support.mjs";

const run = "window.__pwned=1";

/** What would be noticed if it were taken for markup. */
const markup = [
  `<script>${run}</script>`,
  `<script src="https://evil.test/x.js"></script>`,
  `"><script>${run}</script>`,
  `'><script>${run}</script>`,
  `</script><script>${run}</script>`,
  `<img src=x onerror="${run}">`,
  `<img src="https://evil.test/pixel.png">`,
  `<IMG SRC=x OnErRoR=${run}>`,
  `<svg onload="${run}">`,
  `<svg><script>${run}</script></svg>`,
  `<svg><animate onbegin="${run}" attributeName=x dur=1s>`,
  `<svg><a xlink:href="javascript:${run}"><text y=20>x</text></a></svg>`,
  `<math><mtext></mtext><mglyph><style><img src=x onerror="${run}"></style></math>`,
  `<iframe srcdoc="<script>parent.__pwned=1</script>"></iframe>`,
  `<iframe src="javascript:parent.__pwned=1"></iframe>`,
  `<object data="data:text/html,<script>${run}</script>"></object>`,
  `<embed src="https://evil.test/x.swf">`,
  `<video><source onerror="${run}"></video>`,
  `<audio src=x onerror="${run}">`,
  `<body onload="${run}">`,
  `<details open ontoggle="${run}"><summary>x</summary></details>`,
  `<input autofocus onfocus="${run}">`,
  `<select autofocus onfocus="${run}"></select>`,
  `<form action="https://evil.test"><button>Send</button></form>`,
  `<a href="javascript:${run}">x</a>`,
  `<a href="https://evil.test/" ping="https://evil.test/ping">x</a>`,
  `<base href="https://evil.test/">`,
  `<meta http-equiv="refresh" content="0;url=https://evil.test/">`,
  `<link rel="stylesheet" href="https://evil.test/x.css">`,
  `<style>@import "https://evil.test/x.css"; * { display: none }</style>`,
  `<div style="position:fixed;inset:0;background:url(https://evil.test/x)">x</div>`,
  `<template><script>${run}</script></template>`,
  `<x-pwned></x-pwned>`,
  `<noscript><p title="</noscript><img src=x onerror=${run}>">`,
  `<!--<img src="--><img src=x onerror=${run}//">`,
  `<![CDATA[<script>${run}</script>]]>`,
  `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>`,
  `&lt;script&gt;${run}&lt;/script&gt;`,
  `&#60;img src=x onerror=${run}&#62;`,
  `\\u003cimg src=x onerror=${run}\\u003e`,
  `" onmouseover="${run}" x="`,
  `' autofocus onfocus='${run}`,
  "` onclick=" + run,
];
/** What would be noticed where it became an address, code or a template. */
const addresses = [
  `javascript:${run}`,
  `JaVaScRiPt:${run}//`,
  `  javascript:${run}`,
  `java\tscript:${run}`,
  `\u0001javascript:${run}`,
  `data:text/html,<script>${run}</script>`,
  `data:text/html;base64,PHNjcmlwdD53aW5kb3cuX19wd25lZD0xPC9zY3JpcHQ+`,
  `vbscript:msgbox(1)`,
  `blob:https://evil.test/1`,
  `file:///etc/passwd`,
  `//evil.test/x`,
  `\\\\evil.test\\x`,
  `https://evil.test/"onclick="${run}`,
  `https://user:password@evil.test/`,
  `http://127.0.0.1/`,
  `/api/streams/x?x=<script>`,
  `../../..//evil.test`,
];
const templates = [
  "{{constructor.constructor('window.__pwned=1')()}}",
  "${window.__pwned=1}",
  "#{7*7}<%= 7*7 %>",
  "'; DROP TABLE events; --",
  '{"__proto__":{"polluted":true}}',
  "__proto__",
  "constructor",
  "toString",
  '=cmd|"/c calc"!A1',
];
const texts = [
  "\u202Egnp.exe\u202D reversed",
  "\u202E\u2066\u2067\u2068 isolates that do not end",
  "\u2067\u202E admin \u2069\u2066",
  "שלום \u202E עולם 123",
  "a\u0000b\u0001c\u0008d\u007fe",
  "\u001b[31mred\u001b[0m \u001b]8;;https://evil.test\u0007link\u001b]8;;\u0007 \u001b[2J\u001b[H",
  "\u009b31m\u0085\u2028\u2029\ufeff\ufffe",
  "Z\u0351\u0357\u0344\u0368\u0309\u0311".repeat(200),
  "👩‍👩‍👧‍👦🏳️‍🌈\u{e0061}\u{e0062}",
  "ｓｃｒｉｐｔ ＜img src=x＞ ﹤b﹥ ‹x›",
  "\u200b\u200c\u200d\u2060\u00ad invisible",
  "x".repeat(20_000),
  "\n".repeat(500) + "below",
  " ".repeat(5_000) + "behind",
  "﷽".repeat(300),
  "%3Cscript%3E%00%c0%ae%u003c",
];
const corpus = [...markup, ...addresses, ...templates, ...texts];
const bidi = corpus.filter((text) => /[\u202a-\u202e\u2066-\u2069]/.test(text));

/** A type: at most 256 characters, none a control character. */
const typeOf = (text) =>
  text
    .replaceAll(/\p{Cc}/gu, "")
    .slice(0, 200)
    .trim() || "x";

const runtime = await aRuntime({ after });
let stream;
let last;

/** The events that a text is hidden in, everywhere where a stranger may write. */
function eventsOf(text, index) {
  const [requestId, callId] = [`r${index}`, `r${index}.0`];
  const toolCalls = [{ callId, name: text, arguments: { [text]: text } }];
  const turn = { turn: index + 1, requestId, attempt: 1, agent: text };
  return [
    { type: typeOf(text), payload: { text }, metadata: { note: text, [text]: 1 } },
    { type: "message", payload: { text, url: text, href: text, html: text, from: { [text]: [text] } } },
    {
      type: "agent.input-added",
      payload: {
        content: [
          { type: "text", text },
          { type: "image", url: text },
        ],
        from: text,
      },
    },
    {
      type: "agent.output-added",
      payload: { ...turn, content: text, toolCalls, usage: null, model: text, finishReason: text, latencyMs: 1 },
    },
    { type: "tool.requested", payload: { callId, name: text, arguments: { [text]: text } } },
    { type: "tool.completed", payload: { callId, result: { [text]: [text, { url: text }] } } },
    { type: "error.occurred", payload: { message: text, code: text, detail: text } },
  ];
}

const exotic = [
  { type: "numbers", payload: JSON.parse("[1e308, -0, 5e-324, 9007199254740993, 0.1]") },
  { type: "deep", payload: JSON.parse("[".repeat(60) + '"<b>deep</b>"' + "]".repeat(60)) },
  { type: "wide", payload: Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`<b>${n}`, n])) },
  { type: "long", payload: Array.from({ length: 20_000 }, (_, n) => n) },
  {
    type: "keys",
    payload: JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"<b>"}'),
  },
  {
    type: "agent.turn-failed",
    payload: { turn: 1, requestId: "x", attempt: 1, error: `<img src=x onerror=${run}>`, final: true },
  },
  {
    type: "tool.approval-requested",
    payload: {
      callId: "q.0",
      name: `<b onclick=${run}>`,
      arguments: { "\u202Ex": "\u202Ey" },
      expiresAt: "2999-01-01T00:00:00Z",
    },
  },
  { type: "tool.started", payload: { callId: "q.0", attempt: 1, streamPath: `//evil.test/<b>` } },
  { type: "tool.failed", payload: { callId: "q.0", error: { message: `<img src=x onerror=${run}>` } } },
];

before(async () => {
  stream = await aStream(runtime);
  await appendAll(stream, corpus.flatMap(eventsOf));
  await appendAll(stream, exotic);
  // What is no JSON by the rules is kept as it came.
  for (const body of [
    '{"type":"x","payload":"\\ud800"}',
    "<html><script>1</script>",
    '{"type":"x","payload":1e400}',
    "\u0000",
  ]) {
    assert.ok((await stream.call("POST", `/api/streams${stream.path}`, body)).ok, body);
  }
  const hook = (query, headers, body) =>
    fetch(`${runtime.url}/hooks${stream.path}?${new URLSearchParams(query)}`, { method: "POST", headers, body });
  for (const [index, text] of corpus.entries()) {
    const ascii = text.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 1_000);
    const headers = { "x-text": ascii, "user-agent": ascii.trim() || "x", "content-type": "application/json" };
    const bodies = [
      [JSON.stringify({ [text]: text, url: text, links: [{ href: text }] }), "application/json"],
      [text, "text/html"],
      [new URLSearchParams({ [text]: text }).toString(), "application/x-www-form-urlencoded"],
    ];
    const [body, type] = bodies[index % bodies.length];
    const answer = await hook(
      { source: "stranger", q: text.slice(0, 500), [text.slice(0, 100)]: "" },
      { ...headers, "content-type": type },
      body,
    );
    assert.ok(answer.ok, `${answer.status} to ${ascii}`);
  }
  for (const slug of ["__proto__", "constructor", "toString", "hasOwnProperty", "javascript:alert"]) {
    await stream.append({ type: "webhook.configured", payload: { slug } });
    await stream.append({
      type: "subscription.configured",
      payload: { slug, target: { pull: true }, types: [markup[0]], state: { [markup[5]]: bidi[0] } },
    });
    await stream.append({
      type: "schedule.configured",
      payload: { slug, after: "P300D", event: { type: typeOf(markup[5]), payload: { text: bidi[0], x: markup[0] } } },
    });
    await stream.append({ type: "message", payload: {} });
    const child = runtime.stream(`${stream.path}/${slug === "__proto__" ? "a__proto__" : slug}`);
    await child.append({ type: typeOf(markup[5]), payload: { text: bidi[0] } });
  }
  await stream.append({
    type: "tool.configured",
    payload: { name: "__proto__", description: markup[5], parameters: { title: bidi[0] } },
  });
  await stream.append({
    type: "subscription.configured",
    payload: {
      slug: "agent",
      target: { agent: { api: "chat", model: markup[0], baseUrl: "http://127.0.0.1:1", system: bidi[0] } },
    },
  });
  await stream
    .append({
      type: "subscription.configured",
      payload: {
        slug: "code",
        target: {
          javascript: {
            script: `// ${markup[4]}\nexport default { initialState: null, reduce: ({ state }) => state }`,
          },
        },
      },
    })
    .catch(() => {});
  await stream.append({
    type: "stream.metadata-updated",
    payload: { metadata: { title: markup[5], [markup[0]]: bidi[0] } },
  });
  last = await stream.append({ type: "stream.paused", payload: { reason: bidi[0] } });
});

/** What the page did with strangers' words that it must not do; empty when all is well. */
function findings(bidiTexts) {
  const found = [];
  if (window.__pwned !== undefined) found.push("something ran");
  if ({}.polluted !== undefined) found.push("prototypes were changed");
  const foreign =
    "script:not(head > script[src]),iframe,object,embed,video,audio,source,base,form[action],x-pwned,math,img:not([src^='/']),style,template";
  for (const element of document.querySelectorAll(foreign))
    found.push(`an element: ${element.outerHTML.slice(0, 200)}`);
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      if (/^on/i.test(name) || name === "srcdoc" || name === "ping")
        found.push(`an attribute: ${name}="${value.slice(0, 100)}"`);
    }
  }
  for (const link of document.querySelectorAll("body [*|href]")) {
    const raw = link.getAttribute("href") ?? link.getAttribute("xlink:href") ?? "";
    const url = new URL(raw, location.href);
    const isOurs = url.origin === location.origin && (raw.startsWith("/") || raw.startsWith("#"));
    const isOutward =
      /^https?:$/.test(url.protocol) &&
      link.getAttribute("target") === "_blank" &&
      /noopener/.test(link.getAttribute("rel")) &&
      /noreferrer/.test(link.getAttribute("rel"));
    if (!isOurs && !isOutward) found.push(`a link: ${link.outerHTML.slice(0, 200)}`);
  }
  // Whatever turns the direction must stand alone: own words behind it, in the same line of text, would be turned as well.
  const isolates = (element) => {
    const { display, unicodeBidi, float, position } = getComputedStyle(element);
    return (
      display !== "inline" ||
      unicodeBidi.includes("isolate") ||
      unicodeBidi === "plaintext" ||
      float !== "none" ||
      position === "absolute"
    );
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.data;
    if (!/[\u202a-\u202e\u2066-\u2069]/.test(text)) continue;
    let box = node.parentElement;
    while (!isolates(box)) box = box.parentElement;
    const range = document.createRange();
    range.setStartAfter(node);
    range.setEndAfter(box.lastChild);
    const known = bidiTexts.find((one) => text.includes(one));
    const inside = known ? text.slice(text.indexOf(known) + known.length) : "";
    // Where line ends are kept, one ends what turns the direction, too.
    const isPre = getComputedStyle(node.parentElement).whiteSpaceCollapse.startsWith("preserve");
    const words = isPre ? (inside + range).split("\n")[0] : inside + range;
    if (/[\p{L}\p{N}]/u.test(words)) {
      const place = [];
      for (let at = node.parentElement; at && at.id !== "inspector"; at = at.parentElement)
        place.unshift(at.className || at.localName);
      found.push(`words behind what turns the direction: ${place.join(" > ")}: ${JSON.stringify(words.slice(0, 80))}`);
    }
  }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth)
    found.push("the page is wider than the window");
  return [...new Set(found)];
}

const assertHarmless = async (page, where) => assert.deepEqual(await page.evaluate(findings, bidi), [], where);

/** Opens what is folded in a part of the page, without asking for anything to be done. */
async function unfold(page, within) {
  await page.evaluate((selector) => {
    for (const closed of document.querySelectorAll(`${selector} details:not([open]) > summary`)) closed.click();
    for (const more of document.querySelectorAll(`${selector} button[aria-expanded=false]:not([aria-haspopup])`))
      more.click();
  }, within);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

test("there are enough of them", () => {
  assert.ok(corpus.length >= 80, String(corpus.length));
  assert.equal(new Set(corpus).size, corpus.length);
});

for (const view of [{}, { newestFirst: true }, { grouped: true }]) {
  test(`every row of the list is text, seen as ${JSON.stringify(view)}`, async (t) => {
    const page = await openStream(t, stream, { view });
    await says(page, "live");
    // It makes the list lower when it comes.
    await page.getByRole("region", { name: "The stream is paused" }).waitFor();
    await page.keyboard.press("g");
    await rowOf(page, 1);
    const head = Number(await page.locator(".row").first().getAttribute("aria-setsize"));
    const shown = new Map();
    for (;;) {
      await assertHarmless(page, "the list");
      const before = shown.size;
      for (const row of await rowsOf(page)) shown.set(row.offset, row);
      await page.evaluate(
        (by) => {
          const list = document.getElementById("events");
          list.scrollTop += by * list.clientHeight * 0.9;
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        },
        view.newestFirst ? -1 : 1,
      );
      await soon(async () => assert.ok((await rowsOf(page)).length > 0));
      // The next page may not be there yet: the last row is the stream's last event.
      const isAtEnd = view.grouped || shown.has(head);
      if (isAtEnd && (await rowsOf(page)).every(({ offset }) => shown.has(offset)) && before === shown.size) break;
    }
    if (view.grouped) return;
    assert.ok(shown.size > corpus.length * 7, `${shown.size} rows`);
    const said = new Set([...shown.values()].map((row) => row.said));
    for (const text of markup) assert.ok(said.has(text), `is seen as it is: ${text}`);
    await screenshot(t, page, "hostile-list");
  });
}

/** Each text in one form, those that turn the direction in all; and whatever else there is, the hooks every third. */
function looked() {
  const forms = eventsOf("", 0).length;
  const ofTexts = corpus.flatMap((text, index) =>
    Array.from({ length: forms }, (_, form) => 3 + index * forms + form).filter(
      (_, form) => form === index % forms || bidi.includes(text),
    ),
  );
  const others = 3 + corpus.length * forms;
  const hooks = others + exotic.length + 4;
  const rest = Array.from({ length: last.offset - others + 1 }, (_, index) => others + index);
  const isHook = (offset) => offset >= hooks && offset < hooks + corpus.length;
  return [
    ...ofTexts,
    ...rest.filter((offset) => !isHook(offset) || offset % 3 === 0 || offset > hooks + markup.length),
  ];
}

/** Looks at events one after the other, in one tab of the panel. Returns what was found, and where first. */
async function lookAt(page, offsets, panel) {
  const found = new Map();
  for (const offset of offsets) {
    await follow(page, pageOf(stream, { offset, panel }));
    const words = panel === "event" ? `${offset} of /` : String(offset);
    await until(`"${words}" is shown`, () =>
      page.evaluate((wanted) => document.querySelector("#panel-body")?.textContent.includes(wanted), words),
    );
    await unfold(page, "#panel-body");
    for (const what of await page.evaluate(findings, bidi)) if (!found.has(what)) found.set(what, offset);
    if (found.size > 40) break;
  }
  return [...found].map(([what, offset]) => `event ${offset}: ${what}`);
}

test("every kind of event, looked at closely, is text", async (t) => {
  const page = await openStream(t, stream, { query: { offset: 1 } });
  assert.deepEqual(await lookAt(page, looked(), "event"), []);
  await screenshot(t, page, "hostile-event");
});

test("why a hostile event happened is text", async (t) => {
  const page = await openStream(t, stream, { query: { offset: 1 } });
  const offsets = looked().filter((offset, index) => index % 5 === 0 || offset === last.offset);
  assert.deepEqual(await lookAt(page, offsets, "why"), []);
});

for (const panel of ["state", "agents", "subscriptions", "schedules", "hooks"]) {
  test(`the panel "${panel}" is text, and knows odd names`, async (t) => {
    const page = await openStream(t, stream, { query: { panel } });
    await says(page, "live");
    const names = { agents: ["agent"], state: [] }[panel] ?? ["__proto__", "constructor", "toString"];
    for (const name of names) await page.locator("#panel-body").getByText(name, { exact: false }).first().waitFor();
    for (let depth = 0; depth < 3; depth += 1) await unfold(page, "#panel-body");
    await assertHarmless(page, panel);
    await screenshot(t, page, `hostile-${panel}`);
  });
}

test("the tree, the path and the page at home show odd names as they are", async (t) => {
  const page = await openStream(t, stream);
  for (const name of ["constructor", "toString", "hasOwnProperty", "javascript:alert"]) {
    await page.goto(`${pageOf(stream)}/${name}`);
    await rowOf(page, 2);
    await page.locator(".tree").getByText(name, { exact: true }).first().waitFor();
    assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), `/${stream.path.slice(1)}/${name}`);
    await assertHarmless(page, name);
  }
  await page.goto(`${runtime.url}/`);
  await page.getByText(stream.path.slice(1), { exact: false }).first().waitFor();
  await assertHarmless(page, "home");
});

test("at a phone's width nothing hostile makes the page wider", async (t) => {
  const page = await openStream(t, stream, { ...phone, view: { newestFirst: true } });
  await assertHarmless(page, "the list");
  const long = looked().filter((_, index) => index % 4 === 0);
  assert.deepEqual(await lookAt(page, long, "event"), []);
});

test("a filter, a search and an address with hostile words are text", async (t) => {
  const page = await openStream(t, stream);
  for (const text of [markup[0], markup[5], "__proto__", "(((((", "\\"]) {
    await page.goto(pageOf(stream, { text, panel: text, only: text, offset: text }));
    await page.locator("#events").waitFor();
    assert.equal(await page.getByLabel("Text").inputValue(), text);
    await assertHarmless(page, text);
  }
});
