/** The stream that is looked at: what it holds, followed live, and its control state. */
import { batch, computed, effect, signal, untracked, type Signal } from "@preact/signals";
import { TailraceError, type EphemeralEvent, type State, type StoredEvent } from "tailrace";
import { ask, client, heed, page, tailrace, token, type Entry } from "../api/connection.ts";
import { offset as wanted, path, route } from "../route.ts";
import { Span } from "./span.ts";

/** How the connection is: history is loading, all is live, it broke, or there is no such stream yet. */
export type Status = "loading" | "live" | "trouble" | "waiting" | "refused";

/** A tab that nobody sees gives its connection back: a browser has six for a host, and every open tab holds one. */
const ASLEEP_AFTER_MS = 60_000;

/** After so long a page is asked for again. */
const AGAIN_MS = 1_000;

let opened = 0;

export class OpenStream {
  /** Tells it from any other that was open, also at the same path. */
  readonly id = (opened += 1);
  readonly path: string;
  readonly head = signal(0);
  readonly status = signal<Status>("loading");
  /** Why it is refused, or what went wrong. */
  readonly trouble = signal<Error | undefined>(undefined);
  readonly state = signal<State | undefined>(undefined);
  /** The part of the log that is held; another one after a jump or with another filter. */
  readonly span: Signal<Span>;
  /** Counts the changes of the span. */
  readonly changes = signal(0);
  /** Whether the newest event is to be seen whenever there is one. */
  readonly follows = signal(true);

  readonly #stop = new AbortController();
  readonly #listeners = new Set<(event: StoredEvent) => void>();
  readonly #ephemeralListeners = new Set<(event: EphemeralEvent) => void>();
  #heard: Entry[] = [];
  #frame = 0;
  #stateTimer: ReturnType<typeof setTimeout> | undefined;
  #tailing = new AbortController();
  #isConnected = false;
  /** The life whose events are held, as soon as it is known. */
  #generation: string | undefined;
  /** What is loaded to be shown next. */
  #opening: Span | undefined;

  constructor(of: string) {
    this.path = of;
    this.span = signal(this.#newSpan());
  }

  /** Aborted when nobody looks at the stream any more. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Calls for each event that comes while the stream is open. Returns what ends it. */
  onEvent(listener: (event: StoredEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls for each event that is said and not stored. Returns what ends it. */
  onEphemeral(listener: (event: EphemeralEvent) => void): () => void {
    this.#ephemeralListeners.add(listener);
    return () => this.#ephemeralListeners.delete(listener);
  }

  /** An event that is held; `undefined` when it lies elsewhere, or does not match the filter. */
  held(at: number): StoredEvent | undefined {
    return this.span.value.entries.find(({ event }) => event.offset === at)?.event;
  }

  /** Whole, from the server if need be. */
  async event(at: number, signal?: AbortSignal): Promise<StoredEvent | undefined> {
    const known = this.held(at);
    if (known && known.payload !== undefined) return known;
    const found = await page(this.path, { afterOffset: at - 1, beforeOffset: at + 1, limit: 1 }, signal);
    return found.entries[0]?.event;
  }

  /** Loads the log's end, or what lies around an event, and goes on with what comes. */
  async start(around?: number): Promise<void> {
    const tailing = this.#tailing;
    await this.show(around);
    this.refreshState();
    if (tailing === this.#tailing) void this.#tail();
  }

  /**
   * Shows another place of the log, or the same with another filter. While the server is away it is tried again, until
   * somebody wants another place.
   */
  async show(around?: number): Promise<void> {
    this.#opening?.close();
    const span = (this.#opening = this.#newSpan());
    const isOver = (): boolean => this.#opening !== span || this.#stop.signal.aborted;
    for (let isOpen = false; !isOpen;) {
      try {
        await (around === undefined ? span.openAtHead() : span.openAround(around));
        isOpen = true;
      } catch (error) {
        if (isOver()) return;
        const isMissing = error instanceof TailraceError && error.status === 404;
        if (!isMissing && !(error instanceof TailraceError && error.retryable)) {
          this.#refused(error);
          return;
        }
        isOpen = isMissing;
        if (!isMissing) {
          this.trouble.value = error;
          this.status.value = "trouble";
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        }
      }
      if (isOver()) return;
    }
    this.#opening = undefined;
    batch(() => {
      this.span.value.close();
      this.head.value = Math.max(this.head.value, span.head);
      span.head = this.head.value;
      this.span.value = span;
      this.follows.value = around === undefined || around > span.head;
      if (this.#isConnected && this.status.value === "trouble") this.status.value = "live";
      this.changes.value += 1;
    });
  }

  /** Asks for what lies beyond one end of what is held. */
  async reach(end: "older" | "newer"): Promise<void> {
    const span = this.span.value;
    try {
      if ((await span[end]()) && span === this.span.value) this.changes.value += 1;
    } catch (error) {
      if (!this.#stop.signal.aborted && span === this.span.value) this.trouble.value = heed(error);
    }
  }

  /** Reads the control state anew, soon: several wishes at once are one question. */
  refreshState(): void {
    this.#stateTimer ??= setTimeout(() => {
      this.#stateTimer = undefined;
      ask<State>("state", this.path, {}, { signal: this.#stop.signal }).then(
        (state) => {
          // Answers may overtake each other.
          const known = this.state.value;
          if (known?.generation === state.generation && known.head > state.head) return;
          this.state.value = state;
          this.#generation ??= state.generation ?? undefined;
        },
        (error: unknown) => {
          if (this.#stop.signal.aborted) return;
          if (error instanceof TailraceError && error.status === 404) this.state.value = undefined;
          else if (heed(error) instanceof TailraceError && (error as TailraceError).retryable) {
            setTimeout(() => this.refreshState(), AGAIN_MS);
          }
        },
      );
    }, 150);
  }

  close(): void {
    this.#stop.abort();
    this.#tailing.abort();
    this.span.value.close();
    this.#opening?.close();
    clearTimeout(this.#stateTimer);
    cancelAnimationFrame(this.#frame);
  }

  /** Gives the connection back. */
  sleep(): void {
    this.#tailing.abort();
  }

  /** Goes on after {@link sleep}, without walking through all that came meanwhile. */
  async wake(): Promise<void> {
    if (!this.#tailing.signal.aborted || this.#stop.signal.aborted) return;
    const tailing = (this.#tailing = new AbortController());
    this.refreshState();
    const { signal } = this.#stop;
    const now = await tailrace.value
      .stream(this.path)
      .head({ signal })
      .catch(() => null);
    if (signal.aborted) return;
    const isSameLife = now === null || this.#generation === undefined || now?.generation === this.#generation;
    if (!isSameLife) this.#begunAnew();
    if (this.follows.value || !isSameLife) await this.show();
    else this.#reach(now?.head ?? 0);
    if (tailing === this.#tailing && !tailing.signal.aborted) void this.#tail();
  }

  #newSpan(): Span {
    const { types, text, only } = untracked(() => route.value);
    return new Span({ types, text, only }, (query, signal) => page(this.path, query, signal));
  }

  #reach(head: number): void {
    this.head.value = Math.max(this.head.value, head);
    this.span.value.head = this.head.value;
    this.changes.value += 1;
  }

  async #tail(): Promise<void> {
    const { signal } = this.#tailing;
    const lost = (): void => {
      this.#isConnected = false;
      if (signal.aborted) return;
      this.status.value = "trouble";
      void this.#isGone(signal);
    };
    const live = client(lost)
      .stream(this.path)
      .tail({
        afterOffset: this.head.value,
        signal,
        onCaughtUp: (at) => {
          this.#isConnected = true;
          // It never has less than it had: perhaps this is another life, begun while nobody listened.
          if (at < this.head.value) void this.#lookWhichLife(signal);
          // What could not be fetched meanwhile is asked for again.
          if (this.status.value === "trouble") {
            this.changes.value += 1;
            this.refreshState();
          }
          this.status.value = at > 0 || this.head.value > 0 ? "live" : "waiting";
          this.trouble.value = undefined;
        },
        onEphemeral: (event) => this.#ephemeralListeners.forEach((listener) => listener(event)),
        onReset: () => this.#begunAnew(),
      });
    try {
      for await (const event of live) this.#hear(event);
    } catch (error) {
      if (!signal.aborted) this.#refused(error);
    }
  }

  /** Asks whether the connection ended because the stream was deleted. */
  async #isGone(signal: AbortSignal): Promise<void> {
    const now = await tailrace.value
      .stream(this.path)
      .head({ signal })
      .catch(() => null);
    if (now !== undefined || signal.aborted || this.status.value !== "trouble") return;
    this.#begunAnew();
    this.status.value = "waiting";
  }

  async #lookWhichLife(signal: AbortSignal): Promise<void> {
    const now = await tailrace.value
      .stream(this.path)
      .head({ signal })
      .catch(() => undefined);
    if (!now || signal.aborted || !this.#generation || now.generation === this.#generation) return;
    this.#begunAnew();
    await this.show();
  }

  #hear(event: StoredEvent): void {
    this.#heard.push({ event, size: JSON.stringify(event).length });
    this.#listeners.forEach((listener) => listener(event));
    if (isControl(event.type)) this.refreshState();
    // A busy stream brings hundreds between two frames; a hidden page has no frames.
    if (document.hidden) this.#flush();
    else if (this.#heard.length === 1) this.#frame = requestAnimationFrame(() => this.#flush());
  }

  #flush(): void {
    const heard = this.#heard;
    this.#heard = [];
    const last = heard.at(-1);
    if (!last) return;
    batch(() => {
      const span = this.span.value;
      span.hear(heard, { follows: this.follows.value });
      this.head.value = Math.max(this.head.value, last.event.offset);
      if (this.status.value === "waiting") this.status.value = "live";
      this.changes.value += 1;
    });
  }

  /** It was deleted; what follows belongs to another life of it. */
  #begunAnew(): void {
    this.#heard = [];
    this.#generation = undefined;
    const wasOpening = this.#opening !== undefined;
    this.#opening?.close();
    this.#opening = undefined;
    if (wasOpening) void this.show();
    batch(() => {
      this.span.value.close();
      this.span.value = this.#newSpan();
      this.head.value = 0;
      this.state.value = undefined;
      this.changes.value += 1;
    });
    this.refreshState();
  }

  #refused(error: unknown): void {
    this.trouble.value = heed(error);
    this.status.value = "refused";
  }
}

/** Whether an event may change the control state. */
const isControl = (type: string): boolean =>
  /^(stream|breaker|schedule|subscription)\.|^webhook\.(configured|removed)$|^tool\.(configured|removed)$/.test(type);

/** The stream of the address; `undefined` at home. */
export const open = signal<OpenStream | undefined>(undefined);

/** Another path or another token is another stream. */
const place = computed(() => [path.value, token.value] as const);

effect(() => {
  const [at] = place.value;
  untracked(() => {
    open.value?.close();
    open.value = typeof at === "string" ? new OpenStream(at) : undefined;
    void open.value?.start(wanted.value);
  });
});

// Who goes to an event that is not held is shown what lies around it.
effect(() => {
  const at = wanted.value;
  const stream = open.value;
  untracked(() => {
    if (stream === undefined || at === undefined || stream.status.value === "loading") return;
    const { low, high } = stream.span.value;
    if (at <= low || at > high) void stream.show(at);
  });
});

/** What is filtered, as one value that changes only when a part does. */
const filtered = computed(() => {
  const { types = "", text = "", only = "" } = route.value;
  return [path.value ?? "", types, text, only].join("\n");
});

let shown = filtered.value;
effect(() => {
  const now = filtered.value;
  const isSamePath = now.split("\n")[0] === shown.split("\n")[0];
  const isChanged = now !== shown;
  shown = now;
  if (isChanged && isSamePath) untracked(() => void open.value?.show());
});

let sleep: ReturnType<typeof setTimeout> | undefined;
document.addEventListener("visibilitychange", () => {
  clearTimeout(sleep);
  if (document.hidden) sleep = setTimeout(() => open.value?.sleep(), ASLEEP_AFTER_MS);
  else void open.value?.wake();
});
