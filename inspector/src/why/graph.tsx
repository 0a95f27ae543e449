/**
 * The graph of causes: lines and dots at the left, an event on each row as a link. For who does not see it, it is a list
 * in which each entry follows from the one before, and whatever else followed is a list within.
 */
import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { wordsOf } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import { isNarrow } from "../ui/narrow.ts";
import { span } from "../ui/time.tsx";
import type { End } from "./chain.ts";
import type { Ref } from "./fact.ts";
import { STEP, type Item, type Layout, type Node, type Place, type Thread } from "./layout.ts";

/** Pixels. The rows of the list and what is drawn beside them have the same height, whatever stands in them. */
const ROW = 46;
const ROW_NARROW = 54;
const LANE = 16;
const LEFT = 9;
const CURVE = 7;
/** From a row's upper edge to the middle of its first line. */
const MIDDLE = 15;
/** Lanes beyond are drawn as the last one: a page has an end. */
const MOST_LANES = 9;

export interface Hands {
  /** Shows more of what followed; `shown` are there. */
  readonly more: (of: Ref, shown: number) => void;
  readonly showCauses: () => void;
  readonly again: () => void;
}

export function Graph({ layout, ...hands }: Hands & { layout: Layout }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const row = isNarrow.value ? ROW_NARROW : ROW;
  const present = presentOf(layout.thread);
  useLayoutEffect(() => {
    const at = box.current?.querySelector<HTMLElement>("[aria-current]");
    // Who came by a link of the graph goes on where they are, though the link may have moved.
    if (document.activeElement === document.body && box.current?.dataset["used"] === "true") at?.focus();
    at?.scrollIntoView({ block: "nearest" });
  }, [present?.node.key]);
  return (
    <div
      ref={box}
      class="why-graph"
      style={{ "--why-row": `${row}px` }}
      onClick={({ currentTarget }) => (currentTarget.dataset["used"] = "true")}
      onKeyDown={step}
    >
      <Lines layout={layout} row={row} />
      <List thread={layout.thread} label="The chain of causes" hands={hands} />
    </div>
  );
}

function Lines({ layout: { thread, edges, rows, lanes }, row }: { layout: Layout; row: number }): JSX.Element {
  const x = ({ lane }: Place): number => LEFT + Math.min(lane, MOST_LANES) * LANE;
  const y = (place: Place): number => place.row * row + MIDDLE;
  const line = (from: Place, to: Place): string => {
    const [x0, y0, x1, y1] = [x(from), y(from), x(to), y(to)];
    return x0 === x1 ? `M${x0} ${y0}V${y1}` : `M${x0} ${y0}V${y1 - CURVE}Q${x0} ${y1} ${x0 + CURVE} ${y1}H${x1}`;
  };
  return (
    <svg aria-hidden="true" width={LEFT * 2 + Math.min(lanes, MOST_LANES) * LANE} height={rows * row}>
      {edges.map(({ from, to, isAnswer }) => (
        <path key={`${from.row} ${to.row}`} d={line(from, to)} data-answer={isAnswer} />
      ))}
      {itemsOf(thread).map(({ node, ...place }) => (
        <Dot key={node.key} node={node} x={x(place)} y={y(place)} />
      ))}
    </svg>
  );
}

function Dot({ node, x, y }: { node: Node; x: number; y: number }): JSX.Element {
  if (node.kind !== "event") return <circle class="why-dot" data-kind="folded" cx={x} cy={y} r={3} />;
  const isPresent = node.role === "present";
  return (
    <>
      {isPresent && <circle class="why-ring" cx={x} cy={y} r={8} />}
      <circle class="why-dot" data-kind={node.fact.kind} cx={x} cy={y} r={isPresent ? 5 : 4} />
    </>
  );
}

function List({ thread, label, hands }: { thread: Thread; label: string; hands: Hands }): JSX.Element {
  return (
    <ol role="list" aria-label={label}>
      {thread.map((item) => (
        <li key={item.node.key}>
          <Row item={item} hands={hands} />
          {item.branches.map((branch) => (
            <List
              key={branch[0]?.node.key}
              thread={branch}
              label={item.node.kind === "event" ? `Also from event ${item.node.fact.offset}` : "Also"}
              hands={hands}
            />
          ))}
        </li>
      ))}
    </ol>
  );
}

function Row({ item, hands }: { item: Item; hands: Hands }): JSX.Element {
  const { node, lane } = item;
  const left = `${LEFT * 2 + Math.min(lane, MOST_LANES) * LANE + 2}px`;
  if (node.kind === "event") return <EventLink node={node} left={left} />;
  return (
    <div class="why-row" style={{ marginLeft: left }}>
      {node.kind === "end" && <EndWords end={node.end} again={hands.again} />}
      {node.kind === "between" && (
        <button type="button" class="quiet" onClick={hands.showCauses}>
          {node.count} more causes
        </button>
      )}
      {node.kind === "more" && (
        <button
          type="button"
          class="quiet"
          aria-label={`${node.count} more that followed from event ${node.of.offset}: show ${Math.min(STEP, node.count)}`}
          onClick={() => hands.more(node.of, node.shown)}
        >
          {node.count.toLocaleString("en")} more
        </button>
      )}
    </div>
  );
}

function EventLink({ node, left }: { node: Extract<Node, { kind: "event" }>; left: string }): JSX.Element {
  const { fact, role, afterMs, isAnswer, where } = node;
  const { path, offset, type, words } = fact;
  return (
    <a
      class="why-row why-event"
      style={{ marginLeft: left }}
      href={`${pageOf(path, offset)}&panel=why`}
      aria-current={role === "present" ? "true" : undefined}
      title={`${path} ${offset}\n${words}`}
    >
      <span class="why-line">
        <span class="why-offset">{offset}</span>
        <span class="why-type" data-kind={fact.kind}>
          {type}
        </span>
        {isAnswer && <span class="why-answers">answers</span>}
        {afterMs !== undefined && afterMs >= 0 && (
          <span class="why-gap">
            +{span(afterMs)}
            <span class="unseen"> after {isAnswer ? "what it answers" : "its cause"}</span>
          </span>
        )}
      </span>
      <span class="why-line">
        {where !== undefined && (
          <span class="why-path">
            <bdi>{where}</bdi>
          </span>
        )}
        <span class="why-words">{words}</span>
      </span>
    </a>
  );
}

function EndWords({ end, again }: { end: End; again: () => void }): JSX.Element | null {
  if (end.kind === "outside") return null;
  if (end.kind === "unasked")
    return <p class="why-end">It answers a call, but no question about that call was found.</p>;
  const { path, offset } = end.ref;
  const name = (
    <a href={`${pageOf(path, offset)}&panel=why`}>
      event {offset} of {path}
    </a>
  );
  const words: Record<typeof end.kind, ComponentChildren> = {
    gone: (
      <>
        Caused by event {offset} of {path}, which is gone.
      </>
    ),
    replaced: (
      <>
        Caused by event {offset} of {path} as it was: it was deleted since, and <a href={pageOf(path)}>begun anew</a>.
      </>
    ),
    loop: <>The chain comes back to {name}.</>,
    further: <>The chain goes on at {name}.</>,
    failed: (
      <>
        The chain could not be read on at {name}: {end.kind === "failed" && wordsOf(end.error)}{" "}
        <button type="button" class="quiet" onClick={again}>
          Try again
        </button>
      </>
    ),
  };
  return <p class="why-end">{words[end.kind]}</p>;
}

/** Up and down walk along the rows. */
function step(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by === undefined) return;
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>("a, button")];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  if (at < 0) return;
  event.preventDefault();
  event.stopPropagation();
  rows[Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
}

const itemsOf = (thread: Thread): Item[] => thread.flatMap((item) => [item, ...item.branches.flatMap(itemsOf)]);

const presentOf = (thread: Thread): Item | undefined =>
  itemsOf(thread).find(({ node }) => node.kind === "event" && node.role === "present");
