import { createParser, type EventSourceMessage } from "eventsource-parser";

/** What a server says by an event stream: a message, or how long to wait before coming again. */
export type Said = EventSourceMessage | { readonly retryMs: number };

/**
 * How many bytes are made messages at a time. The less there is at once the less outlives a collection, and the more of that
 * there is the more memory V8 takes.
 */
const morsel = 4_096;

/**
 * The messages of an event stream, wherever its bytes are cut, some together; what is not whole at its end is none. The next
 * piece is read when all of the last one was taken, so no more than one and one unfinished message are ever held.
 *
 * @param reading is told when it begins to wait for bytes, and when some came
 */
export async function* messages(
  body: ReadableStream<Uint8Array>,
  reading: { begins(): void; ends(): void },
): AsyncGenerator<readonly Said[], void, undefined> {
  let parsed: Said[] = [];
  const parser = createParser({
    onEvent: (message) => parsed.push(message),
    onRetry: (retryMs) => parsed.push({ retryMs }),
  });
  // The parser drops the mark at the beginning itself; those inside are text.
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const reader = body.getReader();
  try {
    for (;;) {
      reading.begins();
      const { done, value } = await reader.read();
      reading.ends();
      if (done) return;
      for (let at = 0; at < value.length; at += morsel) {
        parser.feed(decoder.decode(value.subarray(at, at + morsel), { stream: true }));
        if (parsed.length === 0) continue;
        const taken = parsed;
        parsed = [];
        yield taken;
      }
    }
  } finally {
    // The connection is let go of, whoever ended it.
    await reader.cancel().catch(() => {});
  }
}
