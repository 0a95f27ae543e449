/** What every card is: an event of the stream that is open, for people. */
import type { JSX } from "preact";
import type { StoredEvent } from "tailrace";
import type { OpenStream } from "../../log/open.ts";
import type { Fields } from "../payload.ts";

export interface CardProps {
  readonly stream: OpenStream;
  readonly event: StoredEvent;
  /** The payload's fields; none when it is no object. */
  readonly payload: Fields;
}

export type Card = (props: CardProps) => JSX.Element;
