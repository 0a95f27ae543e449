import { createParser, type EventSourceMessage } from "eventsource-parser";

/** What a server says by an event stream: a message, or how long to wait before coming again. */
export type Said = EventSourceMessage | { readonly retryMs: number };

/**
 * The messages of an event stream, wherever its bytes are cut, those that a piece of it finishes together; what is not whole
 * at its end is none. The next piece is read when the last one was taken, so no more than one and one unfinished message are
 * ever held.
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
      parser.feed(decoder.decode(value, { stream: true }));
      const taken = parsed;
      parsed = [];
      yield taken;
    }
  } finally {
    // The connection is let go of, whoever ended it.
    await reader.cancel().catch(() => {});
  }
}
