// What the demo writes: a line for each event, and what a model is saying on one line that grows.

const styles = { dim: 2, bold: 1, cyan: 36, green: 32, yellow: 33, red: 31, magenta: 35 };

export class Terminal {
  #out;
  #url;
  #main;
  /** The answer whose line is not ended yet, and how much of it stands there. */
  #open = null;

  /**
   * @param {NodeJS.WriteStream} out
   * @param {{url: string, main: string}} of what: Tailrace's URL, and the stream whose name need not be said
   */
  constructor(out, { url, main }) {
    this.#out = out;
    this.#url = url;
    this.#main = main;
  }

  /** Words of the demo itself. */
  say(...lines) {
    this.#line("");
    for (const line of lines) this.#line(this.#styled("bold", line));
    this.#line("");
  }

  event(event) {
    const { offset, type, streamPath } = event;
    const place = String(offset).padStart(4);
    const head = `${place}  ${type.padEnd(24)}  ${this.#below(streamPath)}`;
    const text = oneLine(summary(event));
    const room = (this.#out.columns ?? 160) - head.length;
    const shown = text.length > room ? `${text.slice(0, Math.max(room - 1, 20))}…` : text;
    this.#line(
      `${this.#styled("dim", place)}  ${this.#styled(styleOf(type), type.padEnd(24))}  ${head.slice(32)}${shown}`,
    );
    if (type === "tool.approval-requested") {
      const approved = { type: "tool.approved", payload: { callId: event.payload.callId } };
      this.#line(
        this.#styled(
          "bold",
          `      approve it: curl ${this.#url}/api/streams${streamPath} -d '${JSON.stringify(approved)}'`,
        ),
      );
    }
  }

  /** More of what a model is saying. */
  speech(streamPath, { requestId, text }) {
    const isOpen = this.#open?.requestId === requestId && text.startsWith(this.#open.text);
    if (!isOpen) {
      this.#end();
      this.#out.write(`${this.#styled("dim", `   …  ${"agent.output-delta".padEnd(24)}`)}  ${this.#below(streamPath)}`);
    }
    const more = isOpen ? text.slice(this.#open.text.length) : text;
    this.#out.write(more.replaceAll(/\s/g, " "));
    this.#open = { requestId, text };
  }

  #line(text) {
    this.#end();
    this.#out.write(`${text}\n`);
  }

  #end() {
    if (this.#open) this.#out.write("\n");
    this.#open = null;
  }

  /** A stream below the agent's is named, by its last segment. */
  #below(path) {
    const name = path.split("/").at(-1);
    return path === this.#main ? "" : `[${name.length > 20 ? `…${name.slice(-19)}` : name}] `;
  }

  #styled(style, text) {
    return this.#out.isTTY && style ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
  }
}

function styleOf(type) {
  if (/failed|denied|stopped|halted|error/.test(type)) return "red";
  if (/approval|approved/.test(type)) return "yellow";
  if (type === "agent.input-added") return "green";
  if (type.startsWith("agent.")) return "cyan";
  if (type.startsWith("tool.")) return "magenta";
  return "dim";
}

/** What an event says, for people. */
function summary({ type, payload = {}, metadata }) {
  const call = payload.callId ? `call ${payload.callId.split(".").slice(-2).join(".")}` : "";
  switch (type) {
    case "agent.input-added":
      return `${payload.from ? `${payload.from}: ` : ""}${told(payload.content)}`;
    case "agent.turn-started":
      return `turn ${payload.turn}, made of the events up to ${payload.upTo}`;
    case "agent.output-added": {
      const calls = (payload.toolCalls ?? []).map(({ name }) => name);
      return `${told(payload.content)}${calls.length ? ` → ${calls.join(", ")}` : ""}  (${payload.latencyMs} ms)`;
    }
    case "agent.turn-failed":
      return `${payload.error}${payload.retryAt ? ` (again at ${payload.retryAt})` : ""}`;
    case "agent.stopped":
      return payload.reason;
    case "tool.configured":
      return `${payload.name}${payload.approval ? ", after approval" : ""}: ${payload.description ?? ""}`;
    case "tool.requested":
    case "tool.approval-requested":
      return `${call}: ${payload.name}(${JSON.stringify(payload.arguments)})`;
    case "tool.started":
      return `${call}${payload.streamPath ? ` by ${payload.streamPath}` : `, attempt ${payload.attempt}`}`;
    case "tool.completed":
      return `${call}: ${told(payload.result)}`;
    case "tool.failed":
    case "tool.denied":
      return `${call}: ${told(payload.error ?? payload.reason ?? "")}`;
    case "tool.approved":
      return `${call}${metadata?.tailrace?.by ? ` by ${metadata.tailrace.by}` : ""}`;
    case "subscription.configured":
      return `${payload.slug}: ${told(payload.target)}`;
    case "schedule.configured":
      return `${payload.slug}: ${payload.after ?? payload.at ?? payload.every ?? payload.cron}`;
    default:
      return told(payload);
  }
}

const told = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const oneLine = (text = "") => text.replaceAll(/\s+/g, " ").trim();
