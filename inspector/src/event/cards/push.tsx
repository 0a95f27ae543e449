/** Who is handed the events of the stream, and how the last attempts to hand them over went. */
import type { JSX } from "preact";
import { useDetails, type Attempt } from "../../hands/report.ts";
import { Countdown } from "../countdown.tsx";
import { Badge, EventLink, Field, Outward, Rest, Text, Value } from "../parts.tsx";
import { fieldsOf, listOf, nameOf, numberOf, textOf } from "../payload.ts";
import { Time } from "../../ui/time.tsx";
import { lasting, targetWords } from "../words.ts";
import type { CardProps } from "./card.ts";

const shown = ["slug", "target", "types", "where", "from", "children"];

export function SubscriptionConfigured({ stream, payload }: CardProps): JSX.Element {
  const { slug, target, types, where, from, children } = payload;
  const { url, agent, javascript } = fieldsOf(target);
  const source = textOf(fieldsOf(javascript)["source"]);
  const { system, ...model } = fieldsOf(agent);
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(slug) ?? "?"}</strong> →{" "}
        {typeof url === "string" ? <Outward href={url} /> : <span>{targetWords(target)}</span>}
      </p>
      {agent !== undefined && (
        <>
          {typeof system === "string" && <Text text={system} label="System prompt" />}
          <Rest fields={model} />
        </>
      )}
      {source !== undefined && (
        <div class="code">
          <Text text={source} label="Source" />
        </div>
      )}
      <dl class="fields">
        <Field name="types">{types === undefined ? "all" : typesOf(types)}</Field>
        <Field name="where">{textOf(where) && <code>{textOf(where)}</code>}</Field>
        <Field name="from">{nameOf(from) ?? "now"}</Field>
        <Field name="below">{children === true && "also for every stream below"}</Field>
      </dl>
      <Attempts stream={stream} slug={textOf(slug) ?? ""} />
      <Rest fields={payload} but={shown} />
    </>
  );
}

const typesOf = (types: unknown): JSX.Element | string =>
  typeof types === "string" ? types : <code>{listOf(types).map(String).join(", ").slice(0, 2_000)}</code>;

/** How it stands now, and its last attempts. */
function Attempts({ stream, slug }: { stream: CardProps["stream"]; slug: string }): JSX.Element {
  const { details: report, trouble } = useDetails(stream, slug);
  if (report === null) return <p class="dim">There is no such subscription any more.</p>;
  if (!report) return <p class="dim">{trouble ?? "…"}</p>;
  const attempts = listOf(report.attempts) as readonly Attempt[];
  return (
    <section aria-label="Attempts">
      <h3>Now</h3>
      <p>
        <Badge is={standing(report.status)}>{report.status}</Badge>{" "}
        <span class="dim">
          {report.cursor === 0 ? "nothing is done yet" : `done up to event ${report.cursor}`}
          {report.lag > 0 && `, ${report.lag.toLocaleString("en")} behind`}
        </span>
        {report.nextAttempt !== null && report.status === "retrying" && (
          <>
            {" "}
            next attempt <Countdown to={report.nextAttempt} />
          </>
        )}
      </p>
      {attempts.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Attempt</th>
              <th scope="col">Events</th>
              <th scope="col">Status</th>
              <th scope="col">Took</th>
            </tr>
          </thead>
          <tbody>
            {attempts.slice(0, 5).map((attempt) => (
              <AttemptRow key={attempt.at} path={stream.path} attempt={attempt} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function AttemptRow({ path, attempt }: { path: string; attempt: Attempt }): JSX.Element {
  const { at, first, last, status, ms, error } = attempt;
  return (
    <>
      <tr>
        <td>
          <Time at={at} />
        </td>
        <td>
          <EventLink path={path} offset={first}>
            {first}
          </EventLink>
          {last !== first && ` to ${last}`}
        </td>
        <td>
          <Badge is={error === null ? "good" : "bad"}>{status ?? (error === null ? "done" : "no answer")}</Badge>
        </td>
        <td>{lasting(ms)}</td>
      </tr>
      {error !== null && (
        <tr>
          <td colSpan={4} class="error">
            <Text text={error} label="Error" />
          </td>
        </tr>
      )}
    </>
  );
}

const standing = (status: string): "good" | "bad" | "warn" | "plain" => {
  if (status === "halted") return "bad";
  if (["retrying", "blocked", "paused"].includes(status)) return "warn";
  return status === "idle" ? "good" : "plain";
};

/** `subscription.halted`: at which event, and why. */
export function SubscriptionHalted({ stream, payload }: CardProps): JSX.Element {
  const { slug, reason, offset, lastStatus } = payload;
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(slug) ?? "?"}</strong> <Badge is="bad">halted</Badge>
      </p>
      <div class="error">
        <Value value={reason ?? null} label="reason" />
      </div>
      <dl class="fields">
        <Field name="stands at">
          {numberOf(offset) !== undefined && <EventLink path={stream.path} offset={offset} />}
        </Field>
        <Field name="last status">{nameOf(lastStatus)}</Field>
      </dl>
      <Attempts stream={stream} slug={textOf(slug) ?? ""} />
      <Rest fields={payload} but={["slug", "reason", "offset", "lastStatus"]} />
    </>
  );
}

/** `subscription.resumed`, `subscription.removed`. */
export function SubscriptionChanged({ stream, event, payload }: CardProps): JSX.Element {
  const { slug, from, redo, skip } = payload;
  const isGone = event.type === "subscription.removed";
  return (
    <>
      <p class="title">
        <strong class="name">{nameOf(slug) ?? "?"}</strong> <Badge is="plain">{isGone ? "removed" : "resumed"}</Badge>
      </p>
      <dl class="fields">
        <Field name="again from">{nameOf(from)}</Field>
        <Field name="redo">{redo === true && "not only folded into its state"}</Field>
        <Field name="skips">{skip === true && "the event at which it stood"}</Field>
      </dl>
      {!isGone && <Attempts stream={stream} slug={textOf(slug) ?? ""} />}
      <Rest fields={payload} but={["slug", "from", "redo", "skip"]} />
    </>
  );
}
