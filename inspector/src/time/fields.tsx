/** The control state for reading: each part by its name, what just changed marked. */
import type { ComponentChildren, JSX } from "preact";
import { Value } from "../event/parts.tsx";
import { targetWords } from "../event/words.ts";
import { Time } from "../ui/time.tsx";
import { placeOf, type Fields } from "./changes.ts";

type Marks = ReadonlyMap<string, string>;
type Keys = readonly string[];

/** Parts that hold several things by their names. */
const parts = [
  ["subscriptions", "Subscriptions"],
  ["schedules", "Schedules"],
  ["tools", "Tools"],
  ["hooks", "Hooks"],
] as const;

const known = ["streamPath", "generation", "createdAt", "head", "paused", "breaker", "metadata", "lastEventAt"];

export function StateTree({ fields, marks }: { fields: Fields; marks: Marks }): JSX.Element {
  const { paused, breaker, metadata, createdAt } = fields;
  const others = Object.keys(fields).filter((name) => !known.includes(name) && !parts.some(([part]) => part === name));
  return (
    <div class="state">
      <dl class="state-fields">
        <Row name="Paused" keys={["paused"]} marks={marks}>
          {isFields(paused) ? <Pairs fields={paused} keys={["paused"]} marks={marks} /> : "no"}
        </Row>
        <Row name="Breaker" keys={["breaker"]} marks={marks}>
          {isFields(breaker) ? breakerWords(breaker) : <Value value={breaker} label="breaker" />}
        </Row>
        <Row name="Metadata" keys={["metadata"]} marks={marks}>
          {isFields(metadata) && Object.keys(metadata).length > 0 ? (
            <Pairs fields={metadata} keys={["metadata"]} marks={marks} />
          ) : (
            <span class="dim">none</span>
          )}
        </Row>
        <Row name="Born" keys={["createdAt"]} marks={marks}>
          {typeof createdAt === "string" ? <Time at={createdAt} /> : <span class="dim">not yet</span>}
        </Row>
        {others.map((name) => (
          <Row key={name} name={name} keys={[name]} marks={marks}>
            <Value value={fields[name]} label={name} />
          </Row>
        ))}
      </dl>
      {parts.map(([part, title]) => (
        <Part key={part} title={title} of={fields[part]} keys={[part]} marks={marks} />
      ))}
    </div>
  );
}

function breakerWords({ limit, windowMs }: Fields): string {
  return limit === null ? "off" : `${JSON.stringify(limit)} events in ${JSON.stringify(windowMs)} ms`;
}

function Part({ title, of, keys, marks }: { title: string; of: unknown; keys: Keys; marks: Marks }): JSX.Element {
  const entries = isFields(of) ? Object.entries(of) : [];
  return (
    <section class="state-part" aria-label={title}>
      <h3>
        {title} <span class="badge">{entries.length}</span>
      </h3>
      {entries.map(([name, value]) => {
        const place = [...keys, name];
        const mark = marks.get(placeOf(place));
        return (
          <details key={name} open={mark !== undefined} data-sign={mark}>
            <summary>
              <code>{name}</code> <span class="dim">{wordsOf(value)}</span>
            </summary>
            {isFields(value) ? (
              <Pairs fields={value} keys={place} marks={marks} />
            ) : (
              <Value value={value} label={name} />
            )}
          </details>
        );
      })}
    </section>
  );
}

/** What a thing is, in a few words. */
function wordsOf(value: unknown): string {
  if (!isFields(value)) return "";
  if (isFields(value["target"])) return targetWords(value["target"]);
  for (const name of ["cron", "every", "after", "at", "preset", "description", "url"]) {
    const said = value[name];
    if (typeof said === "string" || typeof said === "number") return `${name} ${said}`.slice(0, 120);
  }
  return "";
}

function Pairs({ fields, keys, marks }: { fields: Fields; keys: Keys; marks: Marks }): JSX.Element {
  return (
    <dl class="state-fields">
      {Object.entries(fields).map(([name, value]) => {
        const place = [...keys, name];
        const isDeep = isFields(value) && Object.keys(value).length > 0 && place.length < 5;
        return (
          <Row key={name} name={name} keys={place} marks={marks}>
            {isDeep ? <Pairs fields={value} keys={place} marks={marks} /> : <Value value={value} label={name} />}
          </Row>
        );
      })}
    </dl>
  );
}

function Row(props: { name: string; keys: Keys; marks: Marks; children: ComponentChildren }): JSX.Element {
  return (
    <div data-sign={props.marks.get(placeOf(props.keys))}>
      <dt>{props.name.slice(0, 120)}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
