/**
 * How the page reaches the API: the SDK for TypeScript, and beside it what only an inspector asks for.
 *
 * The token is kept for the session of this tab only, and is sent in a header, never in a URL.
 */
import { computed, signal } from "@preact/signals";
import { Tailrace, TailraceError, type StoredEvent } from "tailrace";
import { keep, kept } from "../ui/kept.ts";
import { parse } from "../event/payload.ts";
import { lastBy, type LastQuery } from "./last.ts";

const TOKEN = "tailrace-token";

/** The deployment's token, or one signed with it; `null` until one is given. */
export const token = signal<string | null>(kept("sessionStorage", TOKEN));

/** Why a token is asked for; `undefined` while none is. */
export const asked = signal<TailraceError | undefined>(undefined);

/** Takes a token for this session, or forgets it. */
export function takeToken(given: string | null): void {
  keep("sessionStorage", TOKEN, given);
  token.value = given;
  asked.value = undefined;
}

/** Where the tree begins for this token: one for a part of it sees that part only. */
export const root = computed(() => {
  try {
    const claims = token.value?.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
    const { path } = JSON.parse(atob(claims)) as { path?: unknown };
    return typeof path === "string" ? path : "/";
  } catch {
    return "/";
  }
});

/** The client; another one when the token changes. Who waits for a person's click is told soon. */
export const tailrace = computed(() => client());

/**
 * Makes a client.
 *
 * @param lost hears of each connection that ended or failed: what the SDK mends by itself a person may want to see
 */
export function client(lost: () => void = () => {}): Tailrace {
  const watched: typeof fetch = async (input, init) => {
    try {
      const response = await fetch(input, { ...init, cache: "no-store", credentials: "omit" });
      return new Response(response.body && watch(response.body, lost), response);
    } catch (error) {
      lost();
      throw error;
    }
  };
  return new Tailrace(location.origin, {
    ...(token.value === null ? {} : { token: token.value }),
    retry: { forMs: 4_000 },
    fetch: watched,
    parse,
  });
}

/** The same bytes; says when there are no more. */
function watch(body: ReadableStream<Uint8Array>, ended: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) controller.enqueue(value);
        else {
          ended();
          controller.close();
        }
      } catch (error) {
        ended();
        controller.error(error);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** One `GET` below `/api`, as it is answered. It is tried once; a 401 also asks the person for a token. */
export async function get(
  api: string,
  path: string,
  query: Record<string, string | number | boolean | undefined> = {},
  { accept = "application/json", signal }: { accept?: string; signal?: AbortSignal | undefined } = {},
): Promise<Response> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== false) parameters.set(name, String(value));
  }
  const headers = new Headers({ accept });
  const used = token.value;
  if (used !== null) headers.set("authorization", `Bearer ${used}`);
  let response: Response;
  try {
    response = await fetch(`/api/${api}${path}${parameters.size > 0 ? `?${parameters}` : ""}`, {
      headers,
      cache: "no-store",
      credentials: "omit",
      ...(signal ? { signal } : {}),
    });
  } catch (cause) {
    throw unreached(cause);
  }
  if (response.ok) return response;
  const error = await problem(response);
  // A refusal of an earlier token says nothing of the one that was taken since.
  throw used === token.value ? heed(error) : error;
}

/** The same, as JSON. */
export async function ask<T>(...request: Parameters<typeof get>): Promise<T> {
  return (await (await get(...request)).json()) as T;
}

/** A stored event, with how many characters its line has. */
export interface Entry {
  readonly event: StoredEvent;
  readonly size: number;
}

/** A page of a stream. */
export interface Page {
  readonly entries: Entry[];
  /** What was looked at, up to here; what matched may be less. */
  readonly afterOffset: number;
  /** Of the last that match fewer were found than wanted, and nothing before this offset was looked at. */
  readonly beforeOffset?: number;
  readonly head: number;
}

/** A page of a stream, read line by line, so that the size of each event is known. */
export async function page(
  path: string,
  query: Record<string, string | number | boolean | undefined>,
  signal?: AbortSignal,
): Promise<Page> {
  const text = await (await get("streams", path, query, { signal })).text();
  const lines = text.split("\n");
  const entries: Entry[] = [];
  for (const line of lines) {
    if (!line.startsWith('{"offset":')) continue;
    const bare = line.endsWith(",") ? line.slice(0, -1) : line;
    entries.push({ event: parse(bare) as StoredEvent, size: bare.length });
  }
  // The last line closes the page; no event's line begins so. Without events it is the only one.
  const close = /^(?:\{"events":\[)?\],(".*\})$/.exec(lines.findLast((line) => line !== "") ?? "");
  if (!close) throw new TypeError("The server's answer is no page of events.");
  return { ...(JSON.parse(`{${close[1]}`) as Omit<Page, "entries">), entries };
}

/** The last events of some types, as {@link lastBy} reads them. */
export const lastOf = (path: string, query: LastQuery, signal: AbortSignal): Promise<Page> =>
  lastBy((each) => page(path, each, signal), query);

/** An event's line, byte for byte as it is stored: numbers past 2^53 are not rounded. */
export async function lineOf(path: string, offset: number, signal?: AbortSignal): Promise<string> {
  const query = { afterOffset: offset - 1, beforeOffset: offset + 1, limit: 1 };
  const text = await (await get("streams", path, query, { accept: "application/x-ndjson", signal })).text();
  return text.trimEnd();
}

/** Looks at what was refused: when a token is missing or does not hold, the person is asked for one. */
export function heed(error: unknown): Error {
  if (error instanceof TailraceError && error.status === 401) asked.value = error;
  return error instanceof Error ? error : new Error(String(error));
}

/** What is shown of an error. */
export function wordsOf(error: unknown): string {
  if (error instanceof TailraceError) return error.detail || error.title;
  return error instanceof Error ? error.message : String(error);
}

async function problem(response: Response): Promise<TailraceError> {
  const text = await response.text().catch(() => "");
  try {
    return made({ ...(JSON.parse(text) as object), status: response.status });
  } catch {
    return made({ status: response.status, detail: text.slice(0, 200) });
  }
}

const unreached = (cause: unknown): Error =>
  cause instanceof DOMException && cause.name === "AbortError"
    ? cause
    : made({ status: 0, title: "Tailrace was not reached", detail: "The server cannot be reached." });

// The SDK keeps its constructor to itself; here the same problem comes by another way.
const made = (problem: { status: number; [name: string]: unknown }): TailraceError => new TailraceError(problem);
