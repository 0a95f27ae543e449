// The front Worker of both floors: requests go to their object untouched; a live tail is a hibernating WebSocket
// to the object, whose messages are finished server-sent events and are passed on as they come.
import { WorkerEntrypoint } from "cloudflare:workers";

export class Front extends WorkerEntrypoint {
  fetch(request) {
    const stub = this.env.STREAM.getByName(new URL(request.url).pathname);
    return request.headers.get("accept") === "text/event-stream" ? tail(request, stub) : stub.fetch(request);
  }
}

async function tail(request, stub) {
  const after = request.headers.get("last-event-id") ?? new URL(request.url).searchParams.get("afterOffset") ?? "0";
  const { webSocket } = await stub.fetch(request.url, { headers: { upgrade: "websocket", "last-event-id": after } });
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  const close = () => {
    webSocket.close();
    writer.close().catch(() => {});
  };
  webSocket.addEventListener("message", ({ data }) => writer.write(encoder.encode(data)).catch(close));
  webSocket.addEventListener("close", close);
  writer.closed.catch(close);
  webSocket.accept();
  return new Response(readable, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
}
