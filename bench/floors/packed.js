// A floor: the bare one, but a request is one row, its events' lines side by side in it, and a page is joined text. No
// checks, no keys, no breaker, no subscriptions.
import { DurableObject } from "cloudflare:workers";

export { Front as default } from "./front.js";

// Within a row as within a page. JSON has no line break of its own, so a row can be cut again.
const between = ",\n";

export class Stream extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS packs (last INTEGER PRIMARY KEY, first INTEGER, lines TEXT)");
    this.head = this.sql.exec("SELECT coalesce(max(last), 0) AS head FROM packs").one().head;
  }

  async fetch(request) {
    if (request.method === "POST") return this.insert(await request.text(), request.headers.get("prefer"));
    if (request.headers.get("upgrade")) return this.tail(Number.parseInt(request.headers.get("last-event-id"), 10));
    return this.page(new URL(request.url).searchParams);
  }

  insert(text, prefer) {
    const body = JSON.parse(text);
    const first = this.head + 1;
    const rest = `,"createdAt":"${new Date().toISOString()}"}`;
    const lines = (Array.isArray(body) ? body : [body]).map(
      ({ type, payload }) =>
        `{"offset":${++this.head},"type":${JSON.stringify(type)},"payload":${JSON.stringify(payload)}${rest}`,
    );
    const packed = lines.join(between);
    this.sql.exec("INSERT INTO packs VALUES (?, ?, ?)", this.head, first, packed);
    const sockets = this.ctx.getWebSockets();
    if (sockets.length > 0) {
      const message = blocks(lines, first);
      for (const socket of sockets) socket.send(message);
    }
    if (prefer === "return=minimal") return json(`{"offsets":[${lines.map((_, index) => first + index)}]}`);
    return json(Array.isArray(body) ? `{"events":[${packed}]}` : `{"event":${packed}}`);
  }

  page(query) {
    const last = query.get("last");
    const after = last ? Math.max(this.head - Number(last), 0) : Number(query.get("afterOffset") ?? 0);
    const { upTo, parts } = this.read(after, Number(query.get("limit") ?? 500));
    const end = `"afterOffset":${upTo},"head":${this.head},"upToDate":${upTo >= this.head}}`;
    return json(`{"events":[\n${parts.join(between)}\n],${end}`);
  }

  read(after, limit) {
    const parts = [];
    let upTo = after;
    const packs = this.sql.exec("SELECT * FROM packs WHERE last > ? ORDER BY last LIMIT ?", after, limit);
    for (const { first, last, lines } of packs) {
      const stop = Math.min(last, after + limit);
      const whole = first > after && stop === last;
      parts.push(
        whole
          ? lines
          : lines
              .split(between)
              .slice(Math.max(after + 1 - first, 0), stop + 1 - first)
              .join(between),
      );
      upTo = stop;
      if (upTo === after + limit) break;
    }
    return { upTo, parts };
  }

  tail(after) {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    while (after < this.head) {
      const { upTo, parts } = this.read(after, 1000);
      server.send(blocks(parts.join(between).split(between), after + 1));
      after = upTo;
    }
    server.send(`event: tail\nid: ${this.head}\ndata: {"offset":${this.head}}\n\n`);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketClose(socket) {
    socket.close();
  }
}

const headers = new Headers({ "content-type": "application/json" });
const json = (text) => new Response(text, { headers });
const blocks = (lines, first) => lines.map((line, index) => `id: ${first + index}\ndata: ${line}\n\n`).join("");
