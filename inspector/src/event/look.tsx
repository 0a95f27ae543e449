/** An event, looked at closely: who wrote it and why, a card that says what it is, and its JSON. */
import type { JSX } from "preact";
import type { StoredEvent } from "tailrace";
import { cardOf } from "./cards/table.ts";
import { Head } from "./head.tsx";
import { useEvent } from "./load.ts";
import type { OpenStream } from "../log/open.ts";
import { Plain } from "./cards/plain.tsx";
import { fieldsOf } from "./payload.ts";
import { Guard } from "../ui/guard.tsx";
import { Raw } from "./raw.tsx";
import { cursor } from "../log/cursor.ts";
import { go, offset } from "../route.ts";

export function Look({ stream }: { stream: OpenStream }): JSX.Element | null {
  const at = offset.value;
  const loaded = useEvent(stream, at);
  if (at === undefined) return null;
  const { event, line, missing } = loaded ?? {};
  return (
    <article class="event" aria-label={`Event ${at}`} aria-busy={!event && !missing}>
      <Steps at={at} head={stream.head.value} />
      {event && (
        <>
          <Head key={event.offset} stream={stream} event={event} />
          {/* A card that fails at an event that nobody foresaw is a list of its fields. */}
          <Guard
            key={`${stream.path} ${event.offset}`}
            of={event.offset}
            otherwise={() => <Plain {...partsOf(stream, event)} />}
          >
            <CardOf stream={stream} event={event} />
          </Guard>
          {line !== undefined && <Raw path={stream.path} line={line} offset={event.offset} type={event.type} />}
        </>
      )}
      {missing !== undefined && (
        <p class="nothing" role="status">
          {missing || notYet(at, stream.head.value)}
        </p>
      )}
      {!event && missing === undefined && <p class="nothing">Loading …</p>}
    </article>
  );
}

function notYet(at: number, head: number): string {
  if (head === 0) return "This stream has no events yet.";
  return `There is no event ${at.toLocaleString("en")} yet. The last one is ${head.toLocaleString("en")}.`;
}

const partsOf = (stream: OpenStream, event: StoredEvent) => ({ stream, event, payload: fieldsOf(event.payload) });

function CardOf({ stream, event }: { stream: OpenStream; event: StoredEvent }): JSX.Element {
  const Card = cardOf(event);
  return (
    <section class="card" aria-label="What it says">
      <Card {...partsOf(stream, event)} />
    </section>
  );
}

/** The event before and the one behind, in the log as it is. */
function Steps({ at, head }: { at: number; head: number }): JSX.Element {
  const to = (next: number): void => {
    cursor.value = next;
    go({ offset: next }, { replace: true });
  };
  return (
    <div class="event-steps">
      <button type="button" class="quiet" disabled={at <= 1} onClick={() => to(Math.min(at - 1, Math.max(head, 1)))}>
        <span aria-hidden="true">↑ </span>
        <span class="unseen">Previous event </span>
        {at > 1 && (at - 1).toLocaleString("en")}
      </button>
      <button type="button" class="quiet" disabled={at >= head} onClick={() => to(at + 1)}>
        <span aria-hidden="true">↓ </span>
        <span class="unseen">Next event </span>
        {at < head && (at + 1).toLocaleString("en")}
      </button>
    </div>
  );
}
