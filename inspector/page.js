// The inspector's page: the streams there are, one of them live, and lines to paste into a terminal.
// Whatever a stream says comes from strangers. It reaches the page as text only (textContent), never as markup.

const SHOWN = 500;
const HISTORY = 50;
const ASLEEP_AFTER_MS = 60_000;
const INDENTED = 200_000;
const TOKEN = "tailrace-token";

const $ = (id) => document.getElementById(id);

/** The rules for paths, so that only a path reaches a URL, a link or a command to paste. */
function streamPath(text) {
  let path;
  try {
    path = decodeURIComponent(text.trim()).replace(/^\/?/, "/");
  } catch {
    return null;
  }
  if (path.length > 1 && path.endsWith("/")) path = path.slice(0, -1);
  if (path === "/") return path;
  const segments = path.slice(1).split("/");
  const allowed = (segment) => /^(?!_|\.{1,2}$)[A-Za-z0-9._~@:-]{1,128}$/.test(segment);
  return path.length <= 1000 && segments.length <= 16 && segments.every(allowed) ? path : null;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- The API ----

let token = sessionStorage.getItem(TOKEN);

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
  }
}

function request(url, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("authorization", `Bearer ${token}`);
  return fetch(url, { ...options, headers, cache: "no-store", credentials: "omit" });
}

/** What an answer says; a refusal is thrown with the problem's own words. */
async function api(url, options) {
  const response = await request(url, options);
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  if (response.ok) return isJson ? response.json() : response.text();
  throw new Refused(response.status, await response.json().catch(() => ({})));
}

const append = (path, event) =>
  api(`/api/streams${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", prefer: "handling=strict" },
    body: JSON.stringify(event),
  });

// ---- Following a stream ----

/**
 * Follows a stream until it is stopped, and resumes where it was. Without a token by EventSource, which cannot send
 * headers; with one by fetch. `on` hears {@link show}'s four kinds of blocks, and `status(state, words)`.
 */
class Tail {
  #source = null;
  #timer = null;
  #retryMs = 3000;
  cursor = "";

  constructor(path, on) {
    this.path = path;
    this.on = on;
  }

  get running() {
    return this.#source !== null || this.#timer !== null;
  }

  start() {
    this.stop();
    this.on.status("connecting", this.cursor ? "reconnecting" : "connecting");
    const from = this.cursor ? `lastEventId=${encodeURIComponent(this.cursor)}` : `last=${HISTORY}`;
    const url = `/api/streams${this.path}?live=true&${from}`;
    if (token) this.#fetch(url);
    else this.#eventSource(url);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#source?.close();
    this.#source = null;
  }

  #again() {
    this.stop();
    this.on.status("trouble", "connection lost, trying again");
    this.#timer = setTimeout(() => this.start(), this.#retryMs * (0.5 + Math.random()));
  }

  #hear(type, data, id) {
    if (id) this.cursor = id;
    this.on[type]?.(data);
  }

  #eventSource(url) {
    const source = (this.#source = new EventSource(url));
    for (const type of ["message", "tail", "reset", "ephemeral"]) {
      source.addEventListener(type, (block) => this.#hear(type, block.data, block.lastEventId));
    }
    source.onopen = () => this.on.status("waiting", "connected");
    // The browser would try again with the same URL, and not at all after a refusal; the cursor makes `last` needless.
    source.onerror = () => this.#again();
  }

  async #fetch(url) {
    const aborter = new AbortController();
    const source = (this.#source = { close: () => aborter.abort() });
    const isCurrent = () => this.#source === source;
    try {
      const response = await request(url, { signal: aborter.signal, headers: { accept: "text/event-stream" } });
      if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
      if (isCurrent()) this.on.status("waiting", "connected");
      const parser = new BlockParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        for (const block of parser.push(part.value)) {
          if (isCurrent()) this.#hear(block.type, block.data, block.id);
        }
        this.#retryMs = parser.retryMs ?? this.#retryMs;
      }
    } catch (error) {
      if (!isCurrent()) return;
      if (error.status === 401 || error.status === 403) return this.on.refused(error);
    }
    if (isCurrent()) this.#again();
  }
}

/** Server-sent events as the HTML standard reads them: any line end, anywhere cut; an unfinished block is dropped. */
class BlockParser {
  #rest = "";
  #afterCr = false;
  #type = "";
  #data = null;
  #id = "";
  retryMs;

  *push(text) {
    if (this.#afterCr && text) {
      this.#afterCr = false;
      if (text[0] === "\n") text = text.slice(1);
    }
    this.#rest += text;
    for (let end = this.#rest.search(/[\r\n]/); end >= 0; end = this.#rest.search(/[\r\n]/)) {
      const line = this.#rest.slice(0, end);
      const isCr = this.#rest[end] === "\r";
      this.#afterCr = isCr && end + 1 === this.#rest.length;
      this.#rest = this.#rest.slice(end + (isCr && this.#rest[end + 1] === "\n" ? 2 : 1));
      if (line === "") yield* this.#finish();
      else this.#take(line);
    }
  }

  #take(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Math.min(Number(value), 60_000);
  }

  *#finish() {
    const [type, data] = [this.#type || "message", this.#data];
    this.#type = "";
    this.#data = null;
    if (data !== null) yield { type, data, id: this.#id };
  }
}

// ---- One stream on the page ----

let path = null;
let tail = null;
let head = 0;
let first = 0;
let isLive = false;
let waiting = [];
let unheard = 0;

async function open(chosen) {
  path = chosen;
  document.title = `${path} · Tailrace`;
  $("path").textContent = path;
  $("copy-path").hidden = false;
  showCommands();
  markCurrent();
  await loadState();
  tail = new Tail(path, { message: hear, ephemeral: hearEphemeral, tail: caughtUp, reset, status, refused });
  tail.start();
}

async function loadState() {
  try {
    const state = await api(`/api/state${path}`);
    showPause(state.paused);
    reached(state.head);
  } catch (error) {
    // A stream that does not exist yet is waited for.
    if (error.status === 401) askForToken(error);
  }
}

function hear(data) {
  const event = JSON.parse(data);
  if (event.type === "stream.paused") showPause(event.payload);
  if (event.type === "stream.resumed") showPause(null);
  if (event.type.startsWith("stream.child-")) loadStreams();
  first ||= event.offset;
  reached(event.offset);
  queue(row(event, data));
}

function hearEphemeral(data) {
  queue(row(JSON.parse(data), data));
}

function caughtUp(data) {
  if (head === 0) status("waiting", "waiting for the first event");
  isLive = true;
  reached(JSON.parse(data).offset);
  $("empty").hidden = head > 0 || waiting.length > 0;
}

/** The stream was deleted; what follows belongs to another life of it. */
function reset() {
  waiting = [];
  $("list").replaceChildren(element("li", { className: "mark", textContent: "This stream began anew." }));
  head = first = 0;
  showPause(null);
}

function refused(error) {
  status("trouble", "refused");
  if (error.status === 401) askForToken(error);
  else $("compose-error").textContent = error.message;
}

function reached(offset) {
  head = Math.max(head, offset);
  $("pause").hidden = head === 0 || !$("paused").hidden;
  $("earlier").hidden = first <= 1;
  if (isLive && head > 0) status("live", `live at ${head}`);
}

function status(state, words) {
  if (state === "connecting" || state === "trouble") isLive = false;
  // The number changes too often to be read out.
  if ($("status").dataset.state !== state) $("heard").textContent = words;
  $("status").dataset.state = state;
  $("status").textContent = words;
}

function showPause(pause) {
  $("paused").hidden = !pause;
  $("pause").hidden = Boolean(pause) || head === 0;
  $("paused-why").textContent = !pause ? "" : pause.reason || "No reason was given.";
}

// ---- Events as rows ----

function row(event, text) {
  const isStored = event.offset !== undefined;
  const summary = element(
    "summary",
    {},
    element("span", { className: "offset", textContent: isStored ? event.offset : "live" }),
    element("span", { className: "type", textContent: event.type, title: event.type }),
    said(event, text),
    time(event.createdAt),
  );
  const details = element("details", {}, summary);
  details.addEventListener(
    "toggle",
    () => details.open && details.children.length === 1 && details.append(whole(text)),
  );
  const item = element("li", {}, details);
  item.dataset.kind = isStored ? kind(event.type) : "ephemeral";
  return item;
}

function kind(type) {
  if (/^(stream|breaker|schedule|subscription|webhook)\.(?!received$)/.test(type)) return "system";
  return /(^|\.)(error|failed|halted)/.test(type) ? "error" : "plain";
}

function said({ payload }, text) {
  const words = [payload, payload?.text, payload?.content, payload?.message].find((it) => typeof it === "string");
  if (words !== undefined) return element("span", { className: "said", textContent: words.slice(0, 400) });
  return element("span", { className: "said json", textContent: payloadIn(text) });
}

/** The beginning of an event's payload, as it stands in its line. No string holds this name with bare quotes. */
function payloadIn(text) {
  let out = "";
  let depth = 0;
  for (const part of parts(text.slice(text.indexOf('"payload":') + 10, 4_000))) {
    if (/[}\]]/.test(part[0])) depth -= 1;
    else if (/[{[]/.test(part[0])) depth += 1;
    if (part === "," && depth === 0) break;
    out += part;
    if (depth === 0 || out.length > 400) break;
  }
  return out === "{}" ? "" : out.slice(0, 400);
}

function time(createdAt) {
  const at = new Date(createdAt);
  if (Number.isNaN(at.getTime())) return element("time", { textContent: "" });
  const isToday = at.toDateString() === new Date().toDateString();
  const words = isToday ? at.toLocaleTimeString() : at.toLocaleDateString();
  return element("time", { textContent: words, dateTime: at.toISOString(), title: at.toISOString() });
}

function whole(text) {
  const copy = element("button", { className: "quiet", type: "button", textContent: "Copy" });
  copy.addEventListener("click", () => copyText(copy, text));
  return element("div", { className: "whole" }, element("pre", { textContent: indented(text) }), copy);
}

/** JSON in its smallest parts, each as it came: 2^53 + 1 is not rounded. */
const parts = (json) => json.match(/"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^{}[\],:"\s]+/g) ?? [];

/** JSON with line ends and spaces between its parts. */
function indented(json) {
  let out = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  parts(json.slice(0, INDENTED)).forEach((part, index, all) => {
    if (part === "{" || part === "[") {
      depth += 1;
      out += /^[}\]]/.test(all[index + 1]) ? part : part + line();
    } else if (part === "}" || part === "]") {
      depth -= 1;
      out += /^[{[]/.test(all[index - 1]) ? part : line() + part;
    } else if (part === ",") out += part + line();
    else out += part === ":" ? ": " : part;
  });
  return json.length > INDENTED ? `${out}\n… cut: ${json.length} characters` : out;
}

/** Rows are put on the page together: a busy stream brings hundreds at once. */
function queue(item) {
  waiting.push(item);
  if (waiting.length === 1) setTimeout(flush, 50);
  else if (waiting.length === SHOWN) flush();
}

function flush() {
  if (waiting.length === 0) return;
  const box = $("events");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  $("list").append(...waiting);
  // Who reads further up keeps what is read, for a while.
  const most = isAtEnd ? SHOWN : 4 * SHOWN;
  while ($("list").children.length > most) $("list").firstElementChild.remove();
  first = offsetOfFirst();
  $("earlier").hidden = first <= 1;
  if (isAtEnd) box.scrollTop = box.scrollHeight;
  announce(waiting.length);
  waiting = [];
  $("empty").hidden = true;
  $("newest").hidden = isAtEnd;
}

function offsetOfFirst() {
  const shown = [...$("list").querySelectorAll(".offset")].map((it) => Number(it.textContent));
  return shown.find((offset) => offset > 0) ?? first;
}

/** Tells a screen reader that events came, at most every few seconds. */
function announce(count) {
  unheard += count;
  if (unheard > count) return;
  setTimeout(() => {
    $("heard").textContent = `${unheard} new ${unheard === 1 ? "event" : "events"}`;
    unheard = 0;
  }, 3000);
}

async function showEarlier() {
  const box = $("events");
  const url = `/api/streams${path}?beforeOffset=${first}&last=${HISTORY}`;
  const lines = await api(url, { headers: { accept: "application/x-ndjson" } });
  const rows = lines
    .split("\n")
    .filter(Boolean)
    .map((line) => row(JSON.parse(line), line));
  const fromEnd = box.scrollHeight - box.scrollTop;
  $("list").prepend(...rows);
  first = rows.length ? offsetOfFirst() : 1;
  $("earlier").hidden = first <= 1;
  box.scrollTop = box.scrollHeight - fromEnd;
}

// ---- All streams ----

/** Where the list begins: a token for a part of the tree sees only that part. */
function root() {
  try {
    const claims = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return streamPath(JSON.parse(atob(claims)).path) ?? "/";
  } catch {
    return "/";
  }
}

let listed = [];

async function loadStreams() {
  const below = root();
  try {
    const page = await api(`/api/children${below}?recursive=true&limit=200`);
    listed = page.children.map((child) => child.path).filter((it) => streamPath(it) === it);
    if (below !== "/") listed.unshift(below);
    $("streams-note").textContent = page.after ? "These are the first of them." : listed.length ? "" : "None yet.";
  } catch (error) {
    if (error.status === 401) return askForToken(error);
    listed = [];
    $("streams-note").textContent = error.status === 404 ? "None yet." : `Not to be seen now: ${error.message}`;
  }
  showStreams();
  return undefined;
}

function showStreams() {
  const links = [...$("streams").querySelectorAll("a")];
  // Untouched while nothing changed: a person may be on one of the links.
  if (links.length === listed.length && links.every((link, index) => link.textContent === listed[index])) return;
  const link = (it) => element("a", { href: `/streams${it}`, textContent: it });
  $("streams").replaceChildren(...listed.map((it) => element("li", {}, link(it))));
  markCurrent();
}

function markCurrent() {
  for (const link of $("streams").querySelectorAll("a")) {
    if (link.textContent === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// ---- Lines for a terminal ----

function showCommands() {
  const url = `${location.origin}/api/streams${path}`;
  const auth = token ? ' -H "Authorization: Bearer $TAILRACE_TOKEN"' : "";
  const lines = [
    ["Append an event", `curl ${url}${auth} -d '{"type":"message","payload":{"text":"hello"}}'`],
    ["Read them", `curl ${url}${auth}`],
    ["Follow live", `curl -N "${url}?live=true"${auth}`],
  ];
  const items = lines.map(([title, line]) => {
    const copy = element("button", {
      className: "quiet",
      type: "button",
      textContent: "Copy",
      ariaLabel: `Copy: ${title}`,
    });
    copy.addEventListener("click", () => copyText(copy, line));
    const code = element("code", { textContent: line, tabIndex: 0 });
    return element("li", {}, element("span", { textContent: title }), code, copy);
  });
  $("commands").replaceChildren(...items);
}

async function copyText(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser refused";
  }
  setTimeout(() => (button.textContent = before), 1500);
}

// ---- The token ----

function askForToken(error) {
  $("token-error").textContent = token ? error.message : "";
  tail?.stop();
  if (!$("ask-token").hidden) return;
  $("ask-token").hidden = false;
  $("token").focus();
}

$("ask-token").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem(TOKEN, token);
  $("ask-token").hidden = true;
  start();
});

$("forget").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  location.reload();
});

// ---- What a person does ----

/** Runs what a form or button asks for; words of a refusal go to `place`. */
async function trying(button, place, action) {
  $(place).textContent = "";
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    if (error.status === 401) askForToken(error);
    else $(place).textContent = error instanceof Refused ? error.message : "The server cannot be reached.";
  } finally {
    button.disabled = false;
  }
}

$("compose").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  trying(submitted.submitter ?? $("compose").querySelector("button"), "compose-error", async () => {
    await append(path, { type: $("type").value, payload: { text: $("text").value } });
    $("text").value = "";
    if (!listed.includes(path)) setTimeout(loadStreams, 500);
  });
});

$("text").addEventListener("keydown", (key) => {
  if (key.key !== "Enter" || key.shiftKey || key.isComposing) return;
  key.preventDefault();
  $("compose").requestSubmit();
});

$("open").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const wanted = streamPath($("open-path").value);
  if (wanted) location.assign(`/streams${wanted}`);
  else
    $("open-error").textContent = "A path looks like /support/anna: letters, digits and . _ ~ @ : - between slashes.";
});

const onClick = (id, action) =>
  $(id).addEventListener("click", (clicked) => trying(clicked.currentTarget, "compose-error", action));

onClick("pause", () => append(path, { type: "stream.paused", payload: { reason: "paused on the inspector's page" } }));
onClick("resume", () => append(path, { type: "stream.resumed" }));
onClick("earlier", showEarlier);
$("copy-path").addEventListener("click", () => copyText($("copy-path"), `${location.origin}/api/streams${path}`));
$("newest").addEventListener("click", () => ($("events").scrollTop = $("events").scrollHeight));
$("events").addEventListener("scroll", () => {
  const box = $("events");
  if (box.scrollHeight - box.scrollTop - box.clientHeight < 40) $("newest").hidden = true;
});

// A tab that nobody sees gives its connection back: a browser has six for a host, and every open tab holds one.
let sleep;
document.addEventListener("visibilitychange", () => {
  clearTimeout(sleep);
  if (!document.hidden) {
    if (tail && !tail.running && $("ask-token").hidden) tail.start();
    loadStreams();
    return;
  }
  sleep = setTimeout(() => tail?.stop(), ASLEEP_AFTER_MS);
});

// ---- Begin ----

async function start() {
  const isHome = !location.pathname.startsWith("/streams");
  $("about").hidden = !isHome;
  $("forget").hidden = !token;
  const asked = isHome ? null : streamPath(location.pathname.slice("/streams".length));
  if (!isHome && asked === null) {
    $("path").textContent = "This is not the path of a stream";
    status("trouble", "no such path");
    $("compose").hidden = true;
  }
  await loadStreams();
  if (!$("ask-token").hidden) return;
  const leaf = listed.find((it) => !listed.some((other) => other.startsWith(`${it}/`)));
  const chosen = asked ?? (isHome ? (leaf ?? "/demo") : null);
  if (chosen) await open(chosen);
}

/** Listing asks every stream for its children, so a large tree is listed less often. */
function listAgain() {
  setTimeout(
    async () => {
      if (!document.hidden && $("ask-token").hidden) await loadStreams();
      listAgain();
    },
    Math.max(5_000, 150 * listed.length),
  );
}

start();
listAgain();
