/** A conversation for reading: who said what, what was called, and what came back. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Json, Outward, Text, Value } from "../event/parts.tsx";
import { MOST_PARTS } from "../event/payload.ts";
import type { Part, Said } from "./conversation.ts";

/** Of a longer one the beginning and the end are seen. */
const LONGEST = 12;
const FIRST = 2;
const LAST = 8;

export function Talk({ said }: { said: readonly Said[] }): JSX.Element {
  const [isWhole, show] = useState(false);
  const isFolded = !isWhole && said.length > LONGEST;
  const hidden = said.length - FIRST - LAST;
  return (
    <ol class="talk" role="list" aria-label="The conversation that the model was sent">
      {said.map((one, index) => {
        if (!isFolded || index < FIRST || index >= said.length - LAST) return <One key={index} said={one} />;
        if (index > FIRST) return null;
        return (
          <li key={index}>
            <button type="button" class="quiet" onClick={() => show(true)}>
              {hidden} more messages
            </button>
          </li>
        );
      })}
    </ol>
  );
}

function One({ said: { role, parts } }: { said: Said }): JSX.Element {
  return (
    <li class="talk-one" data-role={role}>
      <span class="talk-role">{role}</span>
      {parts.length === 0 && <span class="dim">nothing</span>}
      {parts.slice(0, MOST_PARTS).map((part, index) => (
        <Piece key={index} part={part} />
      ))}
      {parts.length > MOST_PARTS && <span class="dim">and {parts.length - MOST_PARTS} more parts</span>}
    </li>
  );
}

function Piece({ part }: { part: Part }): JSX.Element {
  switch (part.kind) {
    case "text":
      return <Text text={part.text} label="message" />;
    case "image":
      // Never loaded: who looks at a log does not tell a stranger so.
      return (
        <p>
          Image <Outward href={part.url.slice(0, 2_000)} />
        </p>
      );
    case "call":
      return (
        <div>
          <span class="dim">calls</span> <code>{part.name}</code>
          <Json text={part.arguments} label={`Arguments of ${part.name}`} />
        </div>
      );
    case "result":
      return (
        <div>
          <span class="dim">result of</span> <code>{part.name || part.id}</code>
          <Text text={part.text} label="result" />
        </div>
      );
    case "other":
      return <Value value={part.value} />;
  }
}
