/** Which event this is, when it was written, by whom, and because of what. */
import type { JSX } from "preact";
import type { StoredEvent } from "tailrace";
import { kindOf } from "../log/row.tsx";
import { ago, clock } from "../ui/time.tsx";
import type { OpenStream } from "../log/open.ts";
import { EventLink, Field, Rest, StreamLink, Value } from "./parts.tsx";
import { fieldsOf, nameOf, numberOf, textOf } from "./payload.ts";

const shown = ["by", "from", "schedule", "approved", "origin", "reason", "root", "atBirth"];

export function Head({ stream, event }: { stream: OpenStream; event: StoredEvent }): JSX.Element {
  const { tailrace, ...metadata } = fieldsOf(event.metadata);
  const system = fieldsOf(tailrace);
  const { cause } = event;
  const at = new Date(event.createdAt);
  return (
    <header class="event-head">
      <h2 data-kind={kindOf(event)}>{event.type}</h2>
      <dl class="fields">
        <Field name="event">{`${event.offset.toLocaleString("en")} of ${event.streamPath}`}</Field>
        <Field name="time">
          <time dateTime={event.createdAt} title={event.createdAt}>
            {clock(at)} <span class="dim">{ago(Date.now() - at.getTime())}</span>
          </time>
        </Field>
        <Field name="written by">
          <Writer stream={stream} by={textOf(system["by"])} event={event} />
        </Field>
        <Field name="schedule">{system["schedule"] !== undefined && <Occurrence of={system["schedule"]} />}</Field>
        <Field name={system["by"] === "inherited" ? "copied from" : "sent from"}>
          {system["from"] !== undefined && <StreamLink path={system["from"]} />}
        </Field>
        <Field name="came from">{system["root"] !== undefined && <Place of={system["root"]} />}</Field>
        <Field name="at birth">{system["atBirth"] === true && "this stream is younger than that event"}</Field>
        <Field name="approved by">
          {numberOf(system["approved"]) !== undefined && <EventLink path={stream.path} offset={system["approved"]} />}
        </Field>
        <Field name="imported from">{system["origin"] !== undefined && <Place of={system["origin"]} />}</Field>
        <Field name="kept as a hook">{textOf(system["reason"])}</Field>
        <Field name="cause">
          {cause && (
            <>
              <StreamLink path={cause.streamPath} offset={cause.offset}>
                {cause.streamPath === stream.path
                  ? `event ${cause.offset}`
                  : `${cause.streamPath} · event ${cause.offset}`}
              </StreamLink>{" "}
              <span class="dim">{chain(cause)}</span>
            </>
          )}
        </Field>
        <Field name="idempotency key">
          {event.idempotencyKey !== undefined && <code>{event.idempotencyKey}</code>}
        </Field>
      </dl>
      <Rest fields={system} but={shown} />
      <Rest fields={metadata} />
    </header>
  );
}

/** Who wrote it, as the system saw it. */
function Writer(props: { stream: OpenStream; by: string | undefined; event: StoredEvent }): JSX.Element {
  const { stream, by, event } = props;
  if (by === undefined) {
    const isSystems =
      /^stream\.(created|child-)|^schedule\.ended$|^subscription\.halted$/.test(event.type) ||
      (event.type === "stream.paused" && fieldsOf(event.payload)["breaker"] !== undefined);
    return <span class="dim">{isSystems ? "the system" : "not said: a client in the open mode, or the system"}</span>;
  }
  if (by === "owner") return <>the deployment's own token</>;
  if (by === "hook") return <>a request to the hook</>;
  if (by === "inherited") return <>a stream above</>;
  const kind = by.slice(0, Math.max(0, by.indexOf(":")));
  const slug = by.slice(kind.length + 1);
  if (kind === "subscription" || kind === "schedule") {
    const known = stream.state.value?.[`${kind}s`] as Readonly<Record<string, { offset?: unknown }>> | undefined;
    const at = known && Object.hasOwn(known, slug) ? known[slug]?.offset : undefined;
    return (
      <>
        the {kind}{" "}
        {numberOf(at) === undefined ? (
          <strong>{slug}</strong>
        ) : (
          <EventLink path={stream.path} offset={at}>
            {slug}
          </EventLink>
        )}
      </>
    );
  }
  return <strong>{by}</strong>;
}

function Occurrence({ of }: { of: unknown }): JSX.Element {
  const { slug, scheduledFor, run } = fieldsOf(of);
  const due = textOf(scheduledFor);
  return (
    <>
      <strong>{nameOf(slug)}</strong>
      {due !== undefined && <>, due {clock(new Date(due))}</>}
      {run !== undefined && `, run ${nameOf(run) ?? "?"}`}
    </>
  );
}

/** An event in another stream, or in another life of one. */
function Place({ of }: { of: unknown }): JSX.Element {
  const { streamPath, offset, createdAt, ...rest } = fieldsOf(of);
  return (
    <>
      <StreamLink path={streamPath} offset={numberOf(offset)} /> <span class="dim">{textOf(createdAt)}</span>
      {Object.keys(rest).length > 0 && <Value value={rest} label="more of it" />}
    </>
  );
}

function chain({ hops, turns }: { hops: number; turns: number }): string {
  const of = (count: number, name: string): string => (count > 0 ? `${count} ${name}${count === 1 ? "" : "s"}` : "");
  const words = [of(turns, "turn"), of(hops, "hop")].filter(Boolean).join(", ");
  return words ? `${words} in the chain` : "";
}
