/** The page at `/`: what this is, which streams heard something last, and how to begin. */
import "./home.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { token } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import { toCreate } from "./create.tsx";
import { Lines } from "./lines.tsx";
import { MenuButton } from "./menu-button.tsx";
import { Since } from "./since.tsx";
import { current, isShut, known } from "./streams.ts";
import { whyNot } from "./whynot.ts";

/** So many are shown, of so many that are looked at by themselves. Nobody keeps them in that order: each is asked. */
const SHOWN = 10;
const LOOKED_AT = 200;
/** So many more when a person wants that. */
const MORE = 1_000;

export function Home({ isPath }: { isPath: boolean }): JSX.Element {
  const { root } = known.value;
  const below = root === "/" ? "/" : `${root}/`;
  return (
    <div class="home">
      <div class="home-head">
        <MenuButton />
        <h1>{isPath ? "Every agent is a stream with a URL." : "No stream can have this path."}</h1>
      </div>
      {isPath ? (
        <p>
          Everything that happens to it is an immutable event in that stream. Anything that speaks HTTP can be a part of
          the agent: it reads events and appends events, and that is all there is.
        </p>
      ) : (
        <NoPath />
      )}
      <section aria-labelledby="recent">
        <div class="section-head">
          <h2 id="recent">Recently active</h2>
          <button type="button" class="primary" onClick={() => (toCreate.value = below)}>
            New stream
          </button>
        </div>
        <Recent />
      </section>
      <section aria-labelledby="terminal">
        <h2 id="terminal">From a terminal</h2>
        <Lines path={`${below}demo`} />
        <p class="dim">
          {token.value !== null && (
            <>
              <code>TAILRACE_TOKEN</code> stands for your token.{" "}
            </>
          )}
          All that the API does is described in <a href="/api/openapi.json">openapi.json</a>.
        </p>
      </section>
    </div>
  );
}

function NoPath(): JSX.Element {
  const text = location.pathname.slice("/streams".length);
  return (
    <div class="notice">
      <p class="path">{readable(text)}</p>
      <p>{whyNot(text) ?? "A path looks like /support/anna."}</p>
    </div>
  );
}

function readable(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function Recent(): JSX.Element {
  const now = current();
  const [wanted, want] = useState({ most: LOOKED_AT });
  const [isLooking, setLooking] = useState(true);
  useEffect(() => now.surveyAnew(), [now]);
  useEffect(() => {
    let isOver = false;
    const look = async (): Promise<void> => {
      while (!isOver && !isShut.value && !now.survey.isWhole && now.survey.seen < wanted.most) {
        await now.surveyOn({ details: true });
      }
    };
    setLooking(true);
    look()
      .catch(() => {})
      .finally(() => {
        if (!isOver) setLooking(false);
      });
    return () => (isOver = true);
  }, [now, wanted]);
  const streams = now
    .streams()
    .sort((one, other) => (other.lastEventAt ?? "").localeCompare(one.lastEventAt ?? ""))
    .slice(0, SHOWN);
  const { seen, isWhole } = now.survey;
  if (isShut.value) return <p class="dim">A token is needed to see them.</p>;
  if (streams.length === 0 && (isWhole || isLooking)) {
    return <p class="dim">{isWhole ? "None yet. The first line below makes one." : "Looking …"}</p>;
  }
  return (
    <>
      <ul class="recent">
        {streams.map(({ path, head, lastEventAt, paused }) => (
          <li key={path}>
            <a href={pageOf(path)}>{path}</a>
            {paused === true && <span class="held" title="paused" role="img" aria-label="paused" />}
            <span class="count">
              {head?.toLocaleString("en")} {head === 1 ? "event" : "events"}
            </span>
            <Since at={lastEventAt} />
          </li>
        ))}
      </ul>
      {!isWhole && (
        <p class="dim" role="status">
          Of the first {seen.toLocaleString("en")} streams by path; there are more.{" "}
          {isLooking ? (
            "Looking …"
          ) : (
            <button type="button" class="quiet" onClick={() => want({ most: seen + MORE })}>
              Look at {MORE.toLocaleString("en")} more
            </button>
          )}
        </p>
      )}
    </>
  );
}
