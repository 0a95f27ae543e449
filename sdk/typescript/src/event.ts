/** Any event that a stream may hold, as its writer thinks of it: a type and what it carries. */
export interface Kind {
  readonly type: string;
  readonly payload?: unknown;
}

/** The event that another one answers. */
export interface Cause {
  /** The stream that it is in. */
  readonly streamPath: string;
  readonly offset: number;
  /** How often the chain of causes went from one stream to another. */
  readonly hops: number;
  /** How many turns of a model lie in the chain. */
  readonly turns: number;
}

/** An event as it stands in a stream. Fields that this version does not know are there too. */
export interface StoredEvent<Type extends string = string, Payload = unknown> {
  /** Its place in the stream: 1, 2, 3 … without gaps. */
  readonly offset: number;
  readonly type: Type;
  /** Any JSON; `{}` when none was given. */
  readonly payload: Payload;
  /** Its key `tailrace` is the system's: `by` says who wrote it. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly idempotencyKey?: string;
  readonly cause?: Cause;
  readonly streamPath: string;
  /** RFC 3339; never decreases within a stream. */
  readonly createdAt: string;
}

/** An event that is not stored: it goes to those who follow the stream live, and has no offset. */
export type EphemeralEvent<Type extends string = string, Payload = unknown> = Omit<
  StoredEvent<Type, Payload>,
  "offset"
>;

// A text that TypeScript never takes for one of the names, so that these tell events apart.
declare enum Other {
  Type = "…",
}

/** The type of an event that is none of those you named: any text. */
export type OtherType = Other.Type;

/** The types of events that Tailrace itself knows. Any of them may be appended to a stream of typed events. */
export type SystemType =
  `${"stream" | "breaker" | "schedule" | "subscription" | "webhook" | "agent" | "tool"}.${string}`;

type Stored<K extends Kind> = K extends Kind ? StoredEvent<K["type"], PayloadOf<K>> : never;
type PayloadOf<K extends Kind> = K extends { readonly payload: infer Payload } ? Payload : unknown;

/**
 * The events of a stream whose types you named: `{type: "message", payload: {text: string}} | …`. By `type` TypeScript tells
 * them apart; a type that you did not name has the payload `unknown`. Without names: any event.
 */
export type EventOf<Known extends Kind = never> = [Known] extends [never]
  ? StoredEvent
  : Stored<Known> | StoredEvent<OtherType>;

/** An event to append. */
export interface NewEvent<Type extends string = string, Payload = unknown> {
  /** 1 to 256 characters without control characters. */
  readonly type: Type;
  /** Any JSON; `{}` when none is given. */
  readonly payload?: Payload;
  /** At most 64 KiB. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** The same key with the same type and payload is the same event, and is written once. */
  readonly idempotencyKey?: string;
  /** The event that this one answers; without `streamPath` in this stream. */
  readonly cause?: { readonly streamPath?: string; readonly offset: number };
}

/** An event to append to a stream: only if it gets `offset`, when that is given. */
export interface Appendable<Type extends string = string, Payload = unknown> extends NewEvent<Type, Payload> {
  /** Else `412 offset_mismatch`, and nothing is written. */
  readonly offset?: number;
}

/** An event that a processor appends: to another stream, when `streamPath` names one (`/billing`, `../other`, `below`). */
export interface Answer<Type extends string = string, Payload = unknown> extends NewEvent<Type, Payload> {
  readonly streamPath?: string;
}

type Named<K extends Kind> = K extends Kind
  ? undefined extends K["payload"]
    ? Appendable<K["type"], PayloadOf<K>>
    : Appendable<K["type"], PayloadOf<K>> & { readonly payload: PayloadOf<K> }
  : never;

/** What may be appended to a stream of these types; without names: anything. */
export type AppendableOf<Known extends Kind = never> = [Known] extends [never]
  ? Appendable
  : Named<Known> | Appendable<SystemType>;
