/** The field above the tree: it finds a stream by a part of its path, and opens any path, also of a stream to come. */
import { computed, signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { wordsOf } from "../api/connection.ts";
import { pageOf, streamPath } from "../api/path.ts";
import { go } from "../route.ts";
import { matching } from "./match.ts";
import { Since } from "./since.tsx";
import { current, isShut, known } from "./streams.ts";
import { whyNot } from "./whynot.ts";

/** So many are shown; who sees more than these types more. */
const MOST = 60;
/** So many streams are looked through by themselves; further ones when a person says so. */
const LOOKED_THROUGH = 5_000;
/** So many pages of levels that are loaded in part are loaded first: that costs far less than looking everywhere. */
const PAGES_OF_LEVELS = 5;
/** What was looked through longer ago is looked through again. */
const OLD_MS = 30_000;

export const sought = signal("");

const found = computed(() => matching(current().paths(), sought.value, MOST));

/** What can be opened, the best first: what is typed as a path stands for itself. */
const choices = computed<readonly { path: string; isKnown: boolean }[]>(() => {
  const text = sought.value.trim();
  if (text === "") return [];
  const streams = found.value.paths.map((path) => ({ path, isKnown: true }));
  const typed = streamPath(text);
  if (typed === undefined || known.value.paths().has(typed)) return streams;
  const itself = { path: typed, isKnown: false };
  return text.startsWith("/") ? [itself, ...streams] : [...streams, itself];
});

const idOf = (path: string): string => `found-${path}`;

/** @param props.choose is told when something was opened */
export function Find({ choose }: { choose: () => void }): JSX.Element {
  const [active, setActive] = useState<string>();
  const [wrong, setWrong] = useState<string>();
  const text = sought.value;
  const all = choices.value;
  const place = Math.max(
    0,
    all.findIndex(({ path }) => path === active),
  );
  const chosen = all[place]?.path;
  const take = (path: string): void => {
    sought.value = "";
    setActive(undefined);
    go({ path });
    choose();
  };
  const step = (by: number): void => {
    const next = all[(place + by + all.length) % all.length]?.path;
    setActive(next);
    if (next !== undefined) document.getElementById(idOf(next))?.scrollIntoView({ block: "nearest" });
  };
  const press = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "Enter") {
      if (chosen !== undefined) take(chosen);
      else if (text.trim() !== "") setWrong(whyNot(text));
    } else if (event.key === "Escape" && text !== "") {
      sought.value = "";
      event.stopPropagation();
    } else return;
    event.preventDefault();
  };
  return (
    <>
      <div class="find" role="search" aria-label="Find a stream">
        <label class="unseen" for="find">
          Search or open a path
        </label>
        <input
          id="find"
          type="text"
          role="combobox"
          aria-expanded={text.trim() !== ""}
          aria-controls="found"
          aria-autocomplete="list"
          aria-activedescendant={chosen === undefined ? undefined : idOf(chosen)}
          aria-describedby="find-wrong"
          aria-invalid={wrong !== undefined}
          placeholder="Search or open a path"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          maxLength={1_000}
          value={text}
          onInput={({ currentTarget: { value } }) => {
            sought.value = value;
            setActive(undefined);
            setWrong(undefined);
          }}
          onKeyDown={press}
        />
        <p id="find-wrong" class="error" role="alert">
          {wrong}
        </p>
      </div>
      {text.trim() !== "" && <Results active={chosen} take={take} />}
    </>
  );
}

function Results({ active, take }: { active: string | undefined; take: (path: string) => void }): JSX.Element {
  const all = choices.value;
  const { more } = found.value;
  return (
    <div class="results">
      <div id="found" role="listbox" aria-label="Streams that were found">
        {all.map(({ path, isKnown }) => (
          // The keys are the field's: it keeps the focus.
          <a
            key={path}
            id={idOf(path)}
            role="option"
            aria-selected={path === active}
            data-path={path}
            href={pageOf(path)}
            tabIndex={-1}
            title={path}
            onClick={(event) => {
              if (event.metaKey || event.ctrlKey || event.shiftKey) return;
              event.preventDefault();
              take(path);
            }}
          >
            <span class="found">{isKnown ? <Marked text={path} part={sought.value.trim()} /> : path}</span>
            {isKnown ? <Since at={known.value.stream(path)?.lastEventAt} /> : <span class="dim">new</span>}
          </a>
        ))}
      </div>
      {more > 0 && <p class="dim">{more.toLocaleString("en")} more match: type more of the path.</p>}
      {all.length === 0 && <p class="dim">No stream has this in its path.</p>}
      <Survey />
    </div>
  );
}

/** The part that was typed, in the path that has it. */
function Marked({ text, part }: { text: string; part: string }): JSX.Element {
  const at = text.toLowerCase().indexOf(part.toLowerCase());
  if (at < 0) return <>{text}</>;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + part.length)}</mark>
      {text.slice(at + part.length)}
    </>
  );
}

let lookedThroughAt = 0;

/** Looks through all streams while somebody searches, and says how far that is. */
function Survey(): JSX.Element | null {
  const [most, setMost] = useState(LOOKED_THROUGH);
  const [trouble, setTrouble] = useState<string>();
  const now = current();
  useEffect(() => {
    let isOver = false;
    const look = async (): Promise<void> => {
      if (now.survey.isWhole && Date.now() - lookedThroughAt > OLD_MS) now.surveyAnew();
      for (let pages = PAGES_OF_LEVELS; !isOver && !isShut.value;) {
        const level = pages > 0 ? now.unfinished()[0] : undefined;
        if (level !== undefined) {
          pages -= 1;
          await now.loadMore(level);
        } else if (!now.survey.isWhole && now.survey.seen < most) await now.surveyOn();
        else break;
      }
      if (now.survey.isWhole) lookedThroughAt = Date.now();
    };
    look().catch((error: unknown) => isOver || setTrouble(wordsOf(error)));
    return () => (isOver = true);
  }, [now, most]);
  const { seen, isWhole } = now.survey;
  if (trouble !== undefined) return <p class="error">Not all streams could be looked through: {trouble}</p>;
  if (isWhole) return null;
  const count = seen.toLocaleString("en");
  if (seen < most) return <p class="dim">Looking through all streams … {count}</p>;
  return (
    <p class="dim">
      {count} streams were looked through, and there are more.{" "}
      <button type="button" class="quiet" onClick={() => setMost(seen + LOOKED_THROUGH)}>
        Look further
      </button>
    </p>
  );
}
