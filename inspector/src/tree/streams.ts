/** The streams of the deployment as this page knows them, for the token that it has. */
import { computed, effect, signal, untracked } from "@preact/signals";
import { ask, asked, root, token } from "../api/connection.ts";
import { parentOf, streamPath } from "../api/path.ts";
import { open } from "../log/open.ts";
import { path } from "../route.ts";
import { Known, type Answer } from "./known.ts";

const changes = signal(0);

/** What is known; begun anew with another token. Whoever reads {@link version} hears of its changes. */
export const known = computed(() => {
  void token.value;
  return new Known(
    streamPath(root.value) ?? "/",
    (at, query) => ask<Answer>("children", at, query),
    () => (changes.value += 1),
  );
});

/** Counts the changes of what is known. */
export const version = computed(() => [known.value, changes.value] as const);

/** Whether questions are in vain until a person gives a token. */
export const isShut = computed(() => asked.value !== undefined);

/** What the open stream heard last: its row shows it at once. */
export const heard = signal<{ readonly path: string; readonly at: string } | undefined>(undefined);

/** What is heard is shown so often at most. */
const HEARD_MS = 1_000;

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
    if (type === "stream.child-created") known.value.born(child);
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
  if (stream && isBorn) untracked(() => known.value.born(stream.path));
});
