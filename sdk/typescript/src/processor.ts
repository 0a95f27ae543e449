import type { Answer, EventOf, Kind, StoredEvent } from "./event.js";

/** What is handed to {@link Processor.afterAppend}. */
export interface Context<State, Known extends Kind = never> {
  readonly event: EventOf<Known>;
  /** The state with this event folded in. */
  readonly state: State;
  /**
   * Appends events. They are collected: they, the state and the progress become true together, when this event is settled.
   * Each is caused by this event, unless it names another.
   */
  readonly append: (events: Answer | readonly Answer[]) => void;
  /** Aborts when nothing that is done here will count any more. */
  readonly signal: AbortSignal;
}

/**
 * Something that is handed a stream's events in order, keeps a state, and may answer. {@link run} pulls the events to where
 * you are; {@link handler} takes them as pushes.
 */
export interface Processor<State, Known extends Kind = never> {
  /** The name of its subscription. */
  readonly slug?: string;
  /** The state before the first event, or what makes it: any JSON. */
  readonly initialState: State | (() => State);
  /** The state after an event; `undefined`: as it was. A pure function: history is folded by it, too. */
  reduce?(state: State, event: EventOf<Known>): State | undefined;
  /** Acts on an event that is new. When it throws, the event comes again later, and nothing of it counts. */
  afterAppend?(context: Context<State, Known>): void | Promise<void>;
}

/** The state that was kept, or the first one. */
export function stateOr<State>({ initialState }: Pick<Processor<State>, "initialState">, kept: unknown): State {
  if (kept !== null && kept !== undefined) return kept as State;
  // Each stream has one of its own, even if `reduce` changes it in place.
  return typeof initialState === "function" ? (initialState as () => State)() : structuredClone(initialState);
}

/** Folds an event into the state. */
export function fold<State, Known extends Kind>(
  processor: Processor<State, Known>,
  state: State,
  event: StoredEvent,
): State {
  const next = processor.reduce?.(state, event as EventOf<Known>);
  return next === undefined ? state : next;
}

/** Lets a processor act on an event; returns what it appends. */
export async function act<State, Known extends Kind>(
  processor: Processor<State, Known>,
  state: State,
  event: StoredEvent,
  signal: AbortSignal,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let isOpen = true;
  const append = (events: Answer | readonly Answer[]): void => {
    if (!isOpen) throw new Error(`event ${event.offset} is done: nothing can be appended in its name any more`);
    answers.push(...[events].flat());
  };
  try {
    await processor.afterAppend?.({ event: event as EventOf<Known>, state, append, signal });
  } finally {
    isOpen = false;
  }
  return answers;
}
