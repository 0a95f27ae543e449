/** The streams of the deployment as this page knows them, for the token that it has. */
import { computed, effect, signal, untracked } from "@preact/signals";
import { ask, asked, root, token } from "../api/connection.ts";
import { parentOf, streamPath } from "../api/path.ts";
import { open } from "../log/open.ts";
import { path } from "../route.ts";
import { Known, type Answer, type AskChildren } from "./known.ts";

const changes = signal(0);

/** What is known; begun anew with another token. It changes within: see {@link current}. */
export const known = computed(() => {
  const secret = token.value;
  const asks = (at: string, query: Parameters<AskChildren>[1]): Promise<Answer> =>
    secret === token.value
      ? ask<Answer>("children", at, query)
      : Promise.reject(new Error("The token is another one now."));
  return new Known(streamPath(root.value) ?? "/", asks, () => (changes.value += 1));
});

/** Another value whenever what is known has changed. */
export const version = computed(() => [known.value, changes.value] as const);

/** What is known, for who is to be shown anew with every change. */
export const current = (): Known => version.value[0];

/** Whether questions are in vain until a person gives a token. */
export const isShut = computed(() => asked.value !== undefined);

/** What the open stream heard last: its row shows it at once. */
export const heard = signal<{ readonly path: string; readonly at: string } | undefined>(undefined);

/** What is heard is shown so often at most. */
const HEARD_MS = 1_000;

let around: ReturnType<typeof setTimeout> | undefined;

/** Looks soon at how a stream stands: several wishes at once are one question. */
function lookAt(at: string): void {
  clearTimeout(around);
  around = setTimeout(() => known.value.loadAround(at).catch(() => {}), HEARD_MS);
}

effect(() => {
  const now = known.value;
  const at = path.value ?? undefined;
  untracked(() => (now.open = at));
});

// The open stream tells of those right below it, and of itself.
effect(() => {
  const stream = open.value;
  if (!stream) return undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = "";
  const stop = stream.onEvent(({ type, payload, createdAt }) => {
    last = createdAt;
    timer ??= setTimeout(() => {
      timer = undefined;
      heard.value = { path: stream.path, at: last };
    }, HEARD_MS);
    const child = (payload as { path?: unknown } | null)?.path;
    if (!type.startsWith("stream.child-") || typeof child !== "string") return;
    // Only the system writes these types; still, what names no child of this stream is not believed.
    if (parentOf(child) !== stream.path || streamPath(child) !== child) return;
    if (type === "stream.child-created") {
      known.value.born(child);
      lookAt(child);
    }
    if (type === "stream.child-deleted") known.value.died(child);
  });
  return () => {
    stop();
    clearTimeout(timer);
  };
});

// A path that was opened before its stream was there is in the tree as soon as it is born.
effect(() => {
  const stream = open.value;
  const isBorn = (stream?.head.value ?? 0) > 0;
  if (!stream || !isBorn) return;
  untracked(() => {
    known.value.born(stream.path);
    if (!known.value.stream(stream.path)) lookAt(stream.path);
  });
});
