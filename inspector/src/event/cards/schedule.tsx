/** A schedule: what it appends, and when. */
import type { JSX } from "preact";
import { Countdown } from "../countdown.tsx";
import { Badge, EventLink, Field, Rest, Value } from "../parts.tsx";
import { fieldsOf, nameOf, numberOf, textOf } from "../payload.ts";
import { rhythm } from "../words.ts";
import type { CardProps } from "./card.ts";

const times = ["at", "after", "every", "cron", "timezone", "maxRuns", "until"];

export function ScheduleConfigured({ stream, event, payload }: CardProps): JSX.Element {
  const slug = nameOf(payload["slug"]) ?? "?";
  const wanted = fieldsOf(payload["event"]);
  const { cron, children } = payload;
  return (
    <>
      <p class="title">
        <strong class="name">{slug}</strong> <span>{rhythm(payload)}</span>
      </p>
      <Runs stream={stream} event={event} payload={payload} />
      <dl class="fields">
        <Field name="appends">{textOf(wanted["type"]) && <code>{textOf(wanted["type"])}</code>}</Field>
        <Field name="payload">
          {wanted["payload"] !== undefined && <Value value={wanted["payload"]} label="payload" />}
        </Field>
        <Field name="metadata">
          {wanted["metadata"] !== undefined && <Value value={wanted["metadata"]} label="metadata" />}
        </Field>
        <Field name="cron">{textOf(cron) && <code>{textOf(cron)}</code>}</Field>
        <Field name="below">{children === true && "also for every stream below"}</Field>
      </dl>
      <Rest fields={payload} but={["slug", "event", "children", ...times]} />
    </>
  );
}

/** When it fires next, as long as this is what it was last configured with. */
function Runs({ stream, event, payload }: CardProps): JSX.Element | null {
  const { state } = stream;
  if (!state.value) return null;
  const now = state.value.schedules[String(payload["slug"])];
  if (now?.["offset"] !== event.offset)
    return (
      <p class="dim">{now ? <Since stream={stream} offset={now["offset"]} /> : "It has ended, or was removed."}</p>
    );
  const next = Array.isArray(now["nextRuns"]) ? now["nextRuns"].map(String) : [];
  const runs = numberOf(now["runs"]) ?? 0;
  if (next.length === 0) return null;
  return (
    <dl class="fields">
      <Field name="next runs">
        <ol class="runs">
          {next.map((at, index) => (
            <li key={at}>
              {new Date(at).toLocaleString()}{" "}
              {index === 0 && (
                <span class="dim">
                  <Countdown to={at} />
                </span>
              )}
            </li>
          ))}
        </ol>
      </Field>
      <Field name="ran">{`${runs.toLocaleString("en")} ${runs === 1 ? "time" : "times"}`}</Field>
    </dl>
  );
}

const Since = ({ stream, offset }: { stream: CardProps["stream"]; offset: unknown }): JSX.Element => (
  <>
    It was configured anew by <EventLink path={stream.path} offset={offset} />.
  </>
);

const reasons: Readonly<Record<string, string>> = {
  completed: "It was for once, and that was it.",
  maxRuns: "It has fired as often as it should.",
  until: "Its time is over.",
};

/** `schedule.ended`, `schedule.removed`. */
export function ScheduleOver({ event, payload }: CardProps): JSX.Element {
  const { slug, reason, runs } = payload;
  const why = textOf(reason);
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(slug) ?? "?"}</strong>
        <Badge is="plain">{event.type === "schedule.ended" ? "ended" : "removed"}</Badge>
      </p>
      {why !== undefined && <p>{(Object.hasOwn(reasons, why) && reasons[why]) || why}</p>}
      <dl class="fields">
        <Field name="runs">{nameOf(runs)}</Field>
      </dl>
      <Rest fields={payload} but={["slug", "reason", "runs"]} />
    </>
  );
}
