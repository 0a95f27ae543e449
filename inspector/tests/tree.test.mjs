import assert from "node:assert/strict";
import { test } from "node:test";
import { streamPath } from "../src/api/path.ts";
import { claimsOf, lacks } from "../src/tree/claims.ts";
import { Known, stepTowards } from "../src/tree/known.ts";
import { inTreeOrder, matching, typedAhead } from "../src/tree/match.ts";
import { whyNot } from "../src/tree/whynot.ts";

// ---- Paths that people type ----

test("a path that is none says which rule it breaks", () => {
  const broken = [
    ["/a//b", /nothing between two slashes/],
    ["/a/../b", /“\.\.”/],
    ["/a/./b", /“\.”/],
    ["/_a", /begins with _/],
    ["/a b", /A space is not allowed/],
    ["/a?b", /“\?” is not allowed/],
    ["/ä", /“ä” \(U\+00E4\)/],
    ["/a\u200bb", /U\+200B/],
    ["/%zz", /two hexadecimal digits/],
    ["/<img src=x onerror=alert(1)>", /“<” is not allowed/],
    [`/${"a".repeat(129)}`, /at most 128 characters; “a+…” has 129/],
    ["/a".repeat(17), /at most 16 parts; this one has 17/],
    [`/${"a".repeat(120)}`.repeat(9), /at most 1,000 characters; this one has 1,089/],
  ];
  for (const [text, words] of broken) assert.match(whyNot(text) ?? "nothing is wrong", words, text);
});

test("whatever is typed is either a path or refused with words", () => {
  const parts = ["/", "a", "_", ".", "..", "~@:-", " ", "%", "%41", "%2F", "é", "\u0000", "a".repeat(129), "//", "?"];
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 5_000; round += 1) {
    const text = Array.from({ length: random(24) }, () => parts[random(parts.length)]).join("");
    assert.equal(whyNot(text) === undefined, streamPath(text) !== undefined, JSON.stringify(text));
  }
});

// ---- Tokens ----

const signed = (claims) => ["head", Buffer.from(JSON.stringify(claims)).toString("base64url"), "signature"].join(".");

test("a signed token says whose it is, and what it lacks", () => {
  const claims = claimsOf(signed({ by: "Zoë", path: "/a", can: ["read"], exp: 5 }));
  assert.deepEqual(claims, { by: "Zoë", path: "/a", can: ["read"], exp: 5 });
  assert.equal(lacks(claims, "read", "/a/b"), undefined);
  assert.match(lacks(claims, "control", "/a"), /lacks the right “control”/);
  assert.match(lacks(claims, "read", "/ab"), /for \/a and below/);
});

test("a token that says nothing of itself is a token all the same", () => {
  for (const token of [null, "", "secret", "a.b.c", "a.e30.c", signed(null), signed({ by: 1 }), "a..", "a.%%%.c"]) {
    assert.equal(claimsOf(token), undefined, token);
  }
  assert.equal(lacks(undefined, "control", "/"), undefined);
});

// ---- Finding ----

test("a stream comes before those below it, and those before its neighbour", () => {
  const paths = ["/a", "/a/b", "/a/b/c", "/a/z", "/a-b", "/a.b", "/ab"];
  assert.deepEqual([...paths].reverse().sort(inTreeOrder), paths);
});

test("the best match comes first, and what does not match not at all", () => {
  const paths = ["/support/hannah", "/x/anna/y", "/Anna", "/b/anna", "/b/annabel", "/bob"];
  const { paths: found, more } = matching(paths, "anna", 10);
  assert.deepEqual(found, ["/Anna", "/b/anna", "/b/annabel", "/x/anna/y", "/support/hannah"]);
  assert.equal(more, 0);
  assert.deepEqual(matching(paths, "anna", 2), { paths: ["/Anna", "/b/anna"], more: 3 });
  assert.deepEqual(matching(paths, "/b", 9).paths, ["/b/anna", "/b/annabel", "/bob"]);
});

test("typing letters goes to the next name that begins with them", () => {
  const names = ["anna", "bob", "berta", "carl"];
  assert.equal(typedAhead(names, 0, "b"), 1);
  assert.equal(typedAhead(names, 1, "be"), 2);
  assert.equal(typedAhead(names, 1, "bb"), 2);
  assert.equal(typedAhead(names, 2, "b"), 1);
  assert.equal(typedAhead(names, 3, "A"), 0);
  assert.equal(typedAhead(names, 0, "x"), undefined);
  assert.equal(typedAhead([], 0, "x"), undefined);
});

// ---- What is known of the tree ----

/** A server of `paths`, as `GET /api/children` answers for them. */
function aServer(paths) {
  const asked = [];
  const has = new Set(paths);
  const heads = new Map();
  const ask = async (path, { recursive, details, limit, after }) => {
    asked.push({ path, recursive, limit, after });
    if (path !== "/" && !has.has(path)) throw Object.assign(new Error("none"), { status: 404 });
    const start = path === "/" ? "/" : `${path}/`;
    const order = recursive ? inTreeOrder : (one, other) => (one < other ? -1 : 1);
    const below = [...has]
      .filter((it) => it.startsWith(start) && (recursive || !it.slice(start.length).includes("/")))
      .sort(order)
      .filter((it) => after === undefined || order(after, it) < 0);
    const page = below.slice(0, limit);
    const at = "2026-01-31T12:00:00Z";
    const detailsOf = (it) => (details ? { head: heads.get(it) ?? 1, lastEventAt: at, paused: false } : {});
    const children = page.map((it) => ({ path: it, createdAt: at, ...detailsOf(it) }));
    return { children, after: below.length > limit ? page.at(-1) : null };
  };
  return { ask, asked, has, heads };
}

const aTree = (server, root = "/") => new Known(root, server.ask, () => {});
const many = (count, name = "s") => Array.from({ length: count }, (_, n) => `/${name}${String(n).padStart(4, "0")}`);

test("a level is loaded page by page", async () => {
  const known = aTree(aServer(many(120)));
  await known.load("/");
  assert.equal(known.level("/").children.length, 50);
  await known.loadMore("/");
  await known.loadMore("/");
  assert.deepEqual(known.level("/").children, many(120));
  assert.equal(known.level("/").after, null);
  assert.equal(known.countBelow("/"), 120);
});

test("who wants more of a wide level gets it in few questions, and how a stream stands when it is looked at", async () => {
  const server = aServer(many(3_000));
  const known = aTree(server);
  await known.load("/");
  assert.deepEqual(known.unfinished(), ["/"]);
  while (known.unfinished().length > 0) await known.loadMore("/");
  assert.deepEqual(known.level("/").children, many(3_000));
  assert.equal(server.asked.length, 4);
  assert.deepEqual([known.isBare("/s0049"), known.isBare("/s2500"), known.isBare("/unknown")], [false, true, false]);
  await known.loadAround("/s2500");
  assert.deepEqual([known.isBare("/s2500"), known.stream("/s2500").head], [false, 1]);
  assert.equal(known.isBare("/s2550"), true);
  assert.equal(known.level("/").children.length, 3_000);
  await known.loadMore("/");
  assert.equal(known.stream("/s2500").head, 1, "what is known of it stays");
});

test("a page that is looked at anew keeps nobody from wanting more, nor ends that", async () => {
  const server = aServer(many(3_000));
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  const ask = async (path, query) => {
    if (query.limit > 50) await held;
    return server.ask(path, query);
  };
  const known = aTree({ ask });
  await known.load("/");
  const { isLoading } = known.level("/");
  const anew = known.loadAround("/s0020");
  assert.deepEqual([isLoading, known.level("/").isLoading], [false, false]);
  const more = known.loadMore("/");
  assert.equal(known.level("/").isLoading, true);
  await anew;
  assert.equal(known.level("/").isLoading, true);
  answer();
  await more;
  assert.deepEqual([known.level("/").isLoading, known.level("/").children.length], [false, 1_050]);
});

test("a page that is loaded anew takes in what was born and lets go of what died, and leaves the rest", async () => {
  const server = aServer(many(120));
  const known = aTree(server);
  for (let page = 0; page < 3; page += 1) await known.loadMore("/");
  server.has.delete("/s0060");
  server.has.add("/s0060x");
  server.has.delete("/s0001");
  await known.load("/", "/s0049");
  const { children } = known.level("/");
  assert.ok(!children.includes("/s0060"));
  assert.ok(children.includes("/s0060x"));
  assert.ok(children.includes("/s0001"), "another page is not touched");
  assert.equal(children.length, 120);
  assert.equal(known.level("/").after, null);
});

test("the stream that is open is shown though its page is not loaded, and though it is not born", async () => {
  const known = aTree(aServer(many(120)));
  await known.load("/");
  known.open = "/zoo/lion";
  assert.equal(known.shown("/").at(-1), "/zoo");
  assert.deepEqual(known.shown("/zoo"), ["/zoo/lion"]);
  assert.equal(known.hasBelow("/zoo"), true);
  known.open = undefined;
  assert.equal(known.shown("/").length, 50);
});

test("a survey finds every stream, and says which have none below", async () => {
  const paths = ["/a", "/a/b", "/a/b/c", "/a-b", ...many(250)];
  const known = aTree(aServer(paths));
  assert.equal(known.hasBelow("/a"), undefined);
  while (!known.survey.isWhole) await known.surveyOn();
  assert.deepEqual([...known.paths()].sort(), ["/", ...paths].sort());
  assert.equal(known.survey.seen, paths.length);
  assert.deepEqual(
    ["/", "/a", "/a/b", "/a/b/c", "/a-b", "/s0099", "/s0249"].map((path) => known.hasBelow(path)),
    [true, true, true, false, false, false, false],
  );
});

test("what the last survey saw is known until the next one is through", async () => {
  const server = aServer(many(150));
  const known = aTree(server);
  while (!known.survey.isWhole) await known.surveyOn();
  server.has.delete("/s0149");
  known.surveyAnew();
  await known.surveyOn();
  assert.ok(known.paths().has("/s0149"));
  await known.surveyOn();
  assert.ok(!known.paths().has("/s0149"));
});

test("what grew since it was found to have none below is asked again", async () => {
  const server = aServer(["/a"]);
  const known = aTree(server);
  await known.surveyOn();
  await known.load("/");
  assert.equal(known.isDoubtful("/a"), false);
  server.heads.set("/a", 2);
  server.has.add("/a/b");
  await known.load("/");
  assert.equal(known.hasBelow("/a"), false);
  assert.equal(known.isDoubtful("/a"), true);
  await known.probe("/a");
  assert.equal(known.hasBelow("/a"), true);
  assert.equal(known.isDoubtful("/a"), false);
});

test("what is born is there at once, with those above it", async () => {
  const known = aTree(aServer(["/a"]));
  await known.load("/");
  known.born("/b/c");
  assert.deepEqual(known.shown("/"), ["/a", "/b"]);
  assert.equal(known.hasBelow("/b"), true);
  assert.ok(known.paths().has("/b/c"));
});

test("what cannot be loaded says why, and keeps what was seen before", async () => {
  const server = aServer(["/a"]);
  let refusal = new Error("the token does not give the right read");
  const known = new Known(
    "/",
    (...asked) => (refusal ? Promise.reject(refusal) : server.ask(...asked)),
    () => {},
  );
  await assert.rejects(known.load("/"), refusal);
  assert.equal(known.level("/").trouble, refusal);
  refusal = undefined;
  await known.load("/");
  assert.equal(known.level("/").trouble, undefined);
  refusal = new Error("away");
  await assert.rejects(known.load("/"));
  assert.deepEqual(known.level("/").children, ["/a"]);
});

test("a stream that dies takes all below with it", async () => {
  const server = aServer(["/a", "/a/b", "/a/b/c", "/ab"]);
  const known = aTree(server);
  await known.load("/");
  await known.load("/a");
  await known.surveyOn();
  known.died("/a");
  assert.deepEqual([...known.paths()].sort(), ["/", "/ab"]);
  assert.deepEqual(known.shown("/"), ["/ab"]);
});

test("a tree of a part of the deployment begins there", async () => {
  const server = aServer(["/a", "/a/b", "/c"]);
  const known = aTree(server, "/a");
  await known.load("/a");
  await known.surveyOn();
  assert.deepEqual([...known.paths()], ["/a", "/a/b"]);
  assert.ok(server.asked.every(({ path }) => path === "/a"));
});

test("the way to a stream leads through those above it", () => {
  assert.equal(stepTowards("/", "/a/b"), "/a");
  assert.equal(stepTowards("/a", "/a/b/c"), "/a/b");
  assert.equal(stepTowards("/a", "/ab"), undefined);
  assert.equal(stepTowards("/a/b", "/a/b"), undefined);
});
