import { messageOf } from "./error.js";
import type { Answer, Kind, StoredEvent } from "./event.js";
import { act, fold, stateOr, type Processor } from "./processor.js";
import { isSigned } from "./signature.js";

/** Whose pushes a {@link handler} takes. */
export interface HandlerOptions {
  /** The secret of the subscription (`whsec_…`), or several: any of them will do. */
  readonly secret: string | readonly string[];
  /** How old a push may be, in seconds; 300 by default. */
  readonly toleranceSeconds?: number;
  /** Is told of every error of the processor. The server is told its message. */
  readonly onError?: (error: unknown) => void;
  /** The time now, in milliseconds; for tests. */
  readonly now?: () => number;
}

/** What is pushed. */
interface Push {
  readonly events: readonly StoredEvent[];
  readonly state: unknown;
  readonly replay: boolean;
}

/**
 * Makes a processor a push endpoint: what it returns takes a request and answers it, as servers on `fetch` types want it
 * (Workers, Deno, Bun, Hono, Next.js …).
 *
 * A push without a valid signature is answered 401, and nothing is run. Otherwise its events are folded and acted on, and the
 * answer holds the new state and what is appended: they count as a whole, or, when an event fails, not at all (500).
 *
 * ```ts
 * export default { fetch: handler(processor, { secret: "whsec_…" }) };
 * ```
 */
export function handler<State, Known extends Kind = never>(
  processor: Processor<State, Known>,
  { secret, toleranceSeconds = 300, onError, now = Date.now }: HandlerOptions,
): (request: Request) => Promise<Response> {
  const secrets = [secret].flat();
  if (secrets.length === 0) throw new TypeError("a handler needs a secret");
  return async (request) => {
    const body = new Uint8Array(await request.arrayBuffer());
    const at = Math.floor(now() / 1_000);
    if (!(await isSigned(request.headers, body, secrets, toleranceSeconds, at))) {
      return answer(401, { error: "the signature is not valid" });
    }
    const push = parsed(body);
    if (!push) return answer(400, { error: "this is no push of events" });
    try {
      return answer(200, await processed(processor, push, request.signal));
    } catch (error) {
      onError?.(error);
      return answer(500, { error: messageOf(error) });
    }
  };
}

/** Folds a push, and acts on what is new in it. */
async function processed<State, Known extends Kind>(
  processor: Processor<State, Known>,
  { events, state: kept, replay }: Push,
  signal: AbortSignal,
): Promise<{ state: State; append?: Answer[] }> {
  let state = stateOr<State>(processor, kept);
  const append: Answer[] = [];
  for (const event of events) {
    state = fold(processor, state, event);
    if (replay) continue;
    // An answer is caused by its last event, unless it says better.
    const cause = { offset: event.offset };
    append.push(...(await act(processor, state, event, signal)).map((one) => ({ cause, ...one })));
  }
  return replay ? { state } : { state, append };
}

function parsed(body: Uint8Array): Push | undefined {
  try {
    const push: unknown = JSON.parse(new TextDecoder().decode(body));
    const isPush = typeof push === "object" && push !== null && "events" in push && Array.isArray(push.events);
    return isPush ? (push as unknown as Push) : undefined;
  } catch {
    return undefined;
  }
}

const answer = (status: number, body: unknown): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
