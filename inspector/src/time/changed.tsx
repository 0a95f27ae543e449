/** What an event changed in the control state, as lines: + is new, − is gone, ~ is another. */
import { visible } from "../ui/visible.ts";
import type { JSX } from "preact";
import { pathOf, type Change } from "./changes.ts";

const said = { "+": "added", "−": "removed", "~": "changed" } as const;

/** So many lines of an event that is only passed by. */
const BRIEF = 3;
const LONGEST = 240;

/** @param props.changes `undefined`: not known yet */
export function Changes(props: { changes: readonly Change[] | undefined; isBrief?: boolean }): JSX.Element | null {
  const { changes, isBrief = false } = props;
  if (!changes) return null;
  if (changes.length === 0) return isBrief ? null : <p class="dim">Nothing.</p>;
  const shown = isBrief ? changes.slice(0, BRIEF) : changes;
  return (
    <ul class="changes" data-brief={isBrief} role="list">
      {shown.map(({ sign, keys, before, after }) => (
        <li key={pathOf(keys)} data-sign={sign}>
          <span class="changes-sign" aria-hidden="true">
            {sign}
          </span>
          <span class="unseen">{said[sign]}: </span>
          <code>{pathOf(keys)}</code>{" "}
          {!isBrief && (
            <>
              {sign !== "+" && <del>{wordsOf(before)}</del>} {sign === "~" && <span aria-hidden="true">→</span>}{" "}
              {sign !== "−" && <ins>{wordsOf(after)}</ins>}
            </>
          )}
        </li>
      ))}
      {shown.length < changes.length && <li class="dim">and {changes.length - shown.length} more</li>}
    </ul>
  );
}

function wordsOf(value: unknown): string {
  const text = value === undefined ? "" : visible(JSON.stringify(value));
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
}
