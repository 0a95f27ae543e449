/** The agents of the stream: what each is, what it is at, its turns, and the exact request of any of them. */
import "./values.css";
import "./agents.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { StoredEvent } from "tailrace";
import { heed, wordsOf } from "../api/connection.ts";
import { Badge, EventLink, Rest, StreamLink } from "../event/parts.tsx";
import { fieldsOf, numberOf, textOf, type Fields } from "../event/payload.ts";
import type { OpenStream } from "../log/open.ts";
import { go, offset } from "../route.ts";
import { Fold } from "../ui/fold.tsx";
import { Time } from "../ui/time.tsx";
import { numbersOf, Outcome } from "./outcome.tsx";
import { TurnView } from "./turn.tsx";
import { phaseOf, turnsOf, type Phase, type Turn } from "./turns.ts";
import { useSteps, type Steps } from "./use-steps.ts";

export function AgentsPanel({ stream }: { stream: OpenStream }): JSX.Element | null {
  const steps = useSteps(stream);
  const { event, trouble } = useOpenEvent(stream);
  const fields = fieldsOf(event?.payload);
  const [agent, turn] = [textOf(fields["agent"]), numberOf(fields["turn"])];
  // Each event of a turn shows the turn.
  const isTurn = event?.type.startsWith("agent.") && agent !== undefined && turn !== undefined;
  if (trouble) {
    return (
      <p class="error" role="alert">
        {wordsOf(trouble)}
      </p>
    );
  }
  return (
    <div class="agents">
      {isTurn ? (
        <TurnView stream={stream} agent={agent} turn={turn} turns={turnsOf(steps.steps)} />
      ) : (
        <All stream={stream} steps={steps} />
      )}
    </div>
  );
}

/** The event of the address, when there is one. */
function useOpenEvent(stream: OpenStream): { event: StoredEvent | undefined; trouble: Error | undefined } {
  const at = offset.value;
  const [event, hold] = useState<StoredEvent | undefined>(undefined);
  const [trouble, fail] = useState<Error | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    fail(undefined);
    if (at === undefined) hold(undefined);
    else {
      stream.event(at, stop.signal).then(hold, (error: unknown) => {
        if (!stop.signal.aborted) fail(heed(error));
      });
    }
    return () => stop.abort();
  }, [stream, at]);
  return { event: at === undefined ? undefined : event, trouble };
}

function All({ stream, steps }: { stream: OpenStream; steps: Steps }): JSX.Element {
  const subscriptions = stream.state.value?.subscriptions ?? {};
  const agents = Object.values(subscriptions).filter(({ target }) => "agent" in target);
  const turns = turnsOf(steps.steps);
  const gone = new Set(turns.map(({ agent }) => agent).filter((slug) => !agents.some((it) => it.slug === slug)));
  return (
    <>
      {agents.map((subscription) => (
        <Agent
          key={subscription.slug}
          slug={subscription.slug}
          subscription={subscription}
          {...{ stream, steps, turns }}
        />
      ))}
      {[...gone].map((slug) => (
        <Agent key={slug} slug={slug} subscription={undefined} {...{ stream, steps, turns }} />
      ))}
      {agents.length + gone.size === 0 && !steps.isLoading && (
        <p class="dim">
          {stream.path} has no agent. An event <code>subscription.configured</code> with a target <code>agent</code>{" "}
          makes one.
        </p>
      )}
      {steps.trouble && (
        <p class="error" role="alert">
          {wordsOf(steps.trouble)}
        </p>
      )}
      {steps.isLoading ? (
        <p class="dim">Looking for turns …</p>
      ) : (
        steps.hasEarlier && (
          <button type="button" onClick={steps.earlier}>
            Earlier turns
          </button>
        )
      )}
    </>
  );
}

function Agent(props: {
  stream: OpenStream;
  slug: string;
  /** `undefined`: it was taken away. */
  subscription: Fields | undefined;
  steps: Steps;
  turns: readonly Turn[];
}): JSX.Element {
  const { stream, slug, subscription, steps } = props;
  const config = fieldsOf(fieldsOf(subscription?.["target"])["agent"]);
  const own = props.turns.filter(({ agent }) => agent === slug);
  const spawned = steps.steps.filter(({ agent, streamPath }) => agent === slug && streamPath !== undefined).reverse();
  return (
    <section class="agent" aria-label={`Agent ${slug}`}>
      <div class="agent-head">
        <h2>{slug}</h2>
        {subscription ? (
          <PhaseWords stream={stream} phase={phaseOf(slug, steps.steps)} subscription={subscription} />
        ) : (
          <Badge is="plain">removed</Badge>
        )}
      </div>
      {subscription && (
        <>
          <p class="dim agent-model">
            {textOf(config["model"])} by {textOf(config["api"])}
            {textOf(config["baseUrl"]) !== undefined && ` at ${textOf(config["baseUrl"])}`}
          </p>
          <Fold title="Configuration">
            {() => (
              <>
                <Rest fields={config} />
                <p>
                  Configured by <EventLink path={stream.path} offset={subscription["offset"]} />
                </p>
              </>
            )}
          </Fold>
        </>
      )}
      <h3>
        Turns <span class="badge">{own.length}</span>
      </h3>
      {own.length === 0 && !steps.isLoading && <p class="dim">None yet.</p>}
      <Turns turns={own} />
      {spawned.length > 0 && (
        <>
          <h3>
            Sub-agents <span class="badge">{spawned.length}</span>
          </h3>
          <ul role="list">
            {spawned.map((step) => (
              <li key={step.offset}>
                <StreamLink path={step.streamPath} /> <span class="dim">since</span>{" "}
                <EventLink path={stream.path} offset={step.offset} />
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

/** So many turns are rows at once. */
const TURNS = 50;

function Turns({ turns }: { turns: readonly Turn[] }): JSX.Element {
  const [most, show] = useState(TURNS);
  return (
    <>
      <ol class="turns" role="list">
        {turns.slice(0, most).map((turn) => (
          <li key={turn.started.offset}>
            <button type="button" onClick={() => go({ offset: turn.started.offset, panel: "agents" })}>
              <span class="turn-line">
                <strong>Turn {turn.turn}</strong>
                <Outcome turn={turn} />
                <span class="spring" />
                <Time at={new Date(turn.started.at).toISOString()} />
              </span>
              <span class="turn-line dim">
                <span class="turn-words">{turn.end?.words ?? ""}</span>
                <span class="turn-numbers">{numbersOf(turn)}</span>
              </span>
            </button>
          </li>
        ))}
      </ol>
      {turns.length > most && (
        <button type="button" class="quiet" onClick={() => show(most + TURNS)}>
          {turns.length - most} more
        </button>
      )}
    </>
  );
}

const phases: Record<Phase["kind"], string> = {
  idle: "idle",
  debouncing: "about to answer",
  asking: "asking the model",
  retrying: "waits to try again",
  tools: "waits for tools",
  approval: "waits for approval",
  stopped: "stopped",
};

function PhaseWords(props: { stream: OpenStream; phase: Phase; subscription: Fields }): JSX.Element {
  const { stream, phase, subscription } = props;
  const { kind, since, calls } = phase;
  const halted = subscription["halted"];
  const error = textOf(subscription["lastError"]);
  if (halted !== undefined) {
    const { reason, offset: at } = fieldsOf(halted);
    return (
      <>
        <Badge is="bad">halted</Badge> <span>{textOf(reason)}</span> <EventLink path={stream.path} offset={at} />
      </>
    );
  }
  const looks =
    kind === "approval" || kind === "retrying" ? "warn" : kind === "asking" || kind === "tools" ? "good" : "plain";
  return (
    <>
      <span role="status">
        <Badge is={looks}>
          {phases[kind]}
          {kind === "tools" && calls > 1 && ` (${calls})`}
        </Badge>
      </span>
      {kind === "stopped" && since && <span>{since.words}</span>}
      {since && kind !== "idle" && <EventLink path={stream.path} offset={since.offset} />}
      {stream.state.value?.paused && <Badge is="warn">the stream is paused</Badge>}
      {error !== undefined && <span class="error">{error}</span>}
    </>
  );
}
