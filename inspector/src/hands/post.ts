/** Appends what somebody wrote, as it is written: a number past 2^53 is not rounded on its way through this page. */
import { TailraceError, type StoredEvent } from "tailrace";
import { heed, token } from "../api/connection.ts";

/**
 * Appends an event, or several as one.
 *
 * @throws TailraceError what the server refused, with the `field` and in a batch the `index`
 */
export async function post(path: string, text: string): Promise<StoredEvent[]> {
  const answer = (await send(path, "", text)) as { event?: StoredEvent; events?: StoredEvent[] };
  return answer.events ?? (answer.event ? [answer.event] : []);
}

/** Lets the server say whether it would take it; nothing is written. Resolves with what is wrong, if something is. */
export async function check(path: string, text: string, signal: AbortSignal): Promise<TailraceError | undefined> {
  try {
    await send(path, "?check=true", text, signal);
    return undefined;
  } catch (error) {
    if (error instanceof TailraceError) return error;
    throw error;
  }
}

async function send(path: string, query: string, body: string, signal?: AbortSignal): Promise<unknown> {
  // What is not an event is refused: here nobody means a hook.
  const headers = new Headers({ "content-type": "application/json", prefer: "handling=strict" });
  if (token.value !== null) headers.set("authorization", `Bearer ${token.value}`);
  const request: RequestInit = { method: "POST", headers, body, credentials: "omit", ...(signal ? { signal } : {}) };
  let response: Response;
  try {
    response = await fetch(`/api/streams${path}${query}`, request);
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new TailraceError({
      status: 0,
      detail: "The server cannot be reached. Look at the log whether it was appended.",
    });
  }
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  throw heed(problemOf(response.status, text));
}

function problemOf(status: number, text: string): TailraceError {
  try {
    return new TailraceError({ ...(JSON.parse(text) as object), status });
  } catch {
    return new TailraceError({ status, detail: text.slice(0, 200) });
  }
}
