/** Why an event happened, up to the first outside input, and what followed from it, in any stream, as a graph. */
import "./why.css";
import type { HierarchyNode } from "d3-hierarchy";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { wordsOf } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import type { OpenStream } from "../log/open.ts";
import { offset } from "../route.ts";
import { span } from "../ui/time.tsx";
import type { Looked } from "./chain.ts";
import { keyOf, type Fact, type Ref } from "./fact.ts";
import { Graph } from "./graph.tsx";
import { layout, shape, STEP, type Branch } from "./layout.ts";
import { useChain, type Chain, type Looking } from "./use.ts";

type Hierarchy = (data: Branch, then: (branch: Branch) => Branch[]) => HierarchyNode<Branch>;

export function WhyPanel({ stream }: { stream: OpenStream }): JSX.Element | null {
  const looking = useChain(stream, offset.value);
  const { chain, changes, isLooking, trouble } = looking;
  const [hierarchy, load] = useState<{ of: Hierarchy } | undefined>(undefined);
  const [isFailed, fail] = useState(false);
  const [opened, open] = useState<ReadonlyMap<string, number>>(new Map());
  const [allCauses, showCauses] = useState(false);
  const mains = useRef(new Map<string, string>());

  useEffect(() => {
    import("d3-hierarchy").then(
      (d3) => load({ of: d3.hierarchy }),
      () => fail(true),
    );
  }, []);
  useEffect(() => {
    open(new Map());
    showCauses(false);
  }, [chain]);

  const drawn = useMemo(() => {
    if (!chain || !hierarchy) return undefined;
    const behind = (fact: Fact): Fact[] => chain.followers.behind(fact);
    // While more comes, what is long may still turn out to be short.
    if (isLooking) mains.current.clear();
    return layout(shape({ ...chain, behind, opened, allCauses }), hierarchy.of, mains.current);
  }, [chain, changes, hierarchy, opened, allCauses, isLooking]);

  if (trouble && !chain) {
    return (
      <div class="why">
        <p class="error" role="alert">
          {wordsOf(trouble)}
        </p>
        <button type="button" onClick={looking.again}>
          Try again
        </button>
      </div>
    );
  }
  if (isFailed) {
    return (
      <p class="error" role="alert">
        A part of the page could not be loaded. Open it again.
      </p>
    );
  }
  if (!chain || !drawn) return <p class="dim">Looking for causes …</p>;
  const more = (of: Ref, shown: number): void => open(new Map(opened).set(keyOf(of), shown + STEP));
  return (
    <div class="why" aria-busy={isLooking}>
      <Told chain={chain} isLooking={isLooking} />
      <Graph layout={drawn} more={more} showCauses={() => showCauses(true)} again={looking.again} />
      <Rest chain={chain} looking={looking} />
    </div>
  );
}

/** The graph in a sentence. */
function Told({ chain, isLooking }: { chain: Chain; isLooking: boolean }): JSX.Element {
  const { of, causes, end, followers } = chain;
  const all = followers.all();
  const streams = new Set(all.map(({ path }) => path));
  const last = Math.max(of.at, ...all.map(({ at }) => at));
  const first = causes[0];
  return (
    <div class="why-told" role="status">
      <p>
        {!["outside", "unasked"].includes(end.kind) ? (
          `${count(causes.length, "cause is", "causes are")} known.`
        ) : first ? (
          <>
            It goes back to{" "}
            <a href={`${pageOf(first.path, first.offset)}&panel=why`}>
              event {first.offset}
              {first.path === of.path ? "" : ` of ${first.path}`}
            </a>
            , {count(causes.length, "step")} up: from {origin(first)}.
          </>
        ) : (
          `Nothing caused it: it came from ${origin(of)}.`
        )}
      </p>
      <p>
        {all.length === 0
          ? isLooking
            ? "Looking for what followed …"
            : followers.unfinished.length > 0
              ? "Nothing that followed from it is known."
              : "Nothing followed from it."
          : `${count(all.length, "event")} followed${isLooking ? " so far" : ""}, within ${span(last - of.at)}` +
            (streams.size > 1 || !streams.has(of.path) ? `, in ${count(streams.size, "stream")}.` : ".")}
      </p>
    </div>
  );
}

/** Where an event without a cause comes from. */
function origin({ by, type }: Fact): string {
  if (by === "hook") return "outside, through a hook";
  if (by === "owner") return "outside, by the deployment's owner";
  if (by !== undefined) return `outside, by ${by}`;
  const isSystem = /^(stream\.(created|child-created|child-deleted)|schedule\.ended|subscription\.halted)$/.test(type);
  return isSystem ? "the system itself" : "outside";
}

/** What was not looked at, and how to. */
function Rest({ chain, looking }: { chain: Chain; looking: Looking }): JSX.Element {
  const { followers } = chain;
  const { isLooking, trouble, further } = looking;
  return (
    <div class="why-rest">
      {followers.unfinished.map((looked) => (
        <p key={looked.path}>
          <span class={looked.error === undefined ? "" : "error"}>{unfinished(looked)}</span>{" "}
          <button
            type="button"
            disabled={isLooking}
            onClick={() => further((known, signal, grew) => known.lookFurther(looked.path, signal, grew))}
          >
            {looked.error === undefined ? "Look further" : "Try again"}
          </button>
        </p>
      ))}
      {trouble && (
        <p class="error" role="alert">
          {wordsOf(trouble)}
        </p>
      )}
      <p class="dim">
        {isLooking
          ? `Looking … ${count(followers.looked.size, "stream")} so far`
          : `Looked in ${count(followers.looked.size, "stream")}.`}
      </p>
      {followers.mayBeElsewhere && (
        <button
          type="button"
          disabled={isLooking}
          title="What followed may also stand in streams that nothing here speaks of"
          onClick={() => further((known, signal, grew) => known.lookElsewhere(signal, grew))}
        >
          Look in more streams
        </button>
      )}
      <button type="button" disabled={isLooking} onClick={looking.again}>
        Look again
      </button>
    </div>
  );
}

function unfinished({ path, upTo, head, error }: Looked): string {
  if (error !== undefined) return `${path} could not be read: ${wordsOf(error)}`;
  return `${path} is long: all was seen up to event ${upTo.toLocaleString("en")} of ${head.toLocaleString("en")}.`;
}

const count = (number: number, one: string, many = `${one}s`): string =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
