// A floor: the plainest stream a Durable Object can be. A row per event, one commit per request, pages made from
// rows. No checks, no keys, no breaker, no subscriptions.
import { DurableObject } from "cloudflare:workers";

export { Front as default } from "./front.js";

export class Stream extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS events (offset INTEGER PRIMARY KEY, type TEXT, payload TEXT, at TEXT)");
    this.head = this.sql.exec("SELECT coalesce(max(offset), 0) AS head FROM events").one().head;
  }

  async fetch(request) {
    if (request.method === "POST") return this.append(await request.text(), request.headers.get("prefer"));
    if (request.headers.get("upgrade")) return this.tail(Number.parseInt(request.headers.get("last-event-id"), 10));
    return this.page(new URL(request.url).searchParams);
  }

  append(text, prefer) {
    const body = JSON.parse(text);
    const events = (Array.isArray(body) ? body : [body]).map((event) => this.insert(event));
    const sockets = this.ctx.getWebSockets();
    if (sockets.length > 0) {
      const message = events.map(block).join("");
      for (const socket of sockets) socket.send(message);
    }
    if (prefer === "return=minimal") return Response.json({ offsets: events.map(({ offset }) => offset) });
    return Response.json(Array.isArray(body) ? { events } : { event: events[0] });
  }

  insert({ type, payload }) {
    const event = { offset: ++this.head, type, payload, createdAt: new Date().toISOString() };
    this.sql.exec(
      "INSERT INTO events VALUES (?, ?, ?, ?)",
      event.offset,
      type,
      JSON.stringify(payload),
      event.createdAt,
    );
    return event;
  }

  page(query) {
    const last = query.get("last");
    const after = last ? this.head - Number(last) : Number(query.get("afterOffset") ?? 0);
    const events = this.read(after, Number(query.get("limit") ?? 500));
    const afterOffset = events.at(-1)?.offset ?? after;
    return Response.json({ events, afterOffset, head: this.head, upToDate: afterOffset >= this.head });
  }

  read(after, limit) {
    return this.sql
      .exec("SELECT * FROM events WHERE offset > ? ORDER BY offset LIMIT ?", after, limit)
      .toArray()
      .map(({ offset, type, payload, at }) => ({ offset, type, payload: JSON.parse(payload), createdAt: at }));
  }

  tail(after) {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    for (let events; (events = this.read(after, 1000)).length > 0; after = events.at(-1).offset) {
      server.send(events.map(block).join(""));
    }
    server.send(`event: tail\nid: ${this.head}\ndata: {"offset":${this.head}}\n\n`);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketClose(socket) {
    socket.close();
  }
}

const block = (event) => `id: ${event.offset}\ndata: ${JSON.stringify(event)}\n\n`;
