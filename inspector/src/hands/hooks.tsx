/** Where third parties send to: the URL of each source, how its requests are verified, and the providers that are known. */
import "./hands.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { StoredEvent } from "tailrace";
import { heed, lastOf } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import type { OpenStream } from "../log/open.ts";
import { verdict } from "../log/filter.ts";
import { act } from "./act.ts";
import { Begin } from "./begin.tsx";
import { edit } from "./edit.ts";
import type { Preset } from "./presets.ts";
import { sendSample, type Answer } from "./sample.ts";
import { Confirm } from "../ui/confirm.tsx";
import { Copy } from "../ui/copy.tsx";

/** As `/api/state` has it. */
interface Hook {
  readonly slug: string;
  readonly preset?: string;
  readonly reject?: boolean;
  readonly verify?: { readonly scheme?: string; readonly secrets?: readonly string[] };
  /** The event that configured it. */
  readonly offset: number;
}

/** So many of the last hooks are counted. */
const LAST = 50;

export function Hooks({ stream }: { stream: OpenStream }): JSX.Element {
  const hooks = Object.values(stream.state.value?.hooks ?? {}) as Hook[];
  const received = useReceived(stream);
  const presets = usePresets();
  return (
    <>
      <p class="dim">
        Any third party can be pointed at the stream. What it sends is stored as <code>webhook.received</code>; a source
        says how that is verified.
      </p>
      <ul class="cards">
        <li class="card">
          <div class="card-head">
            <h2>Any sender</h2>
            <span class="dim">nothing is verified</span>
          </div>
          <Url stream={stream} />
          <Counts received={received.filter(({ payload }) => sourceOf(payload) === undefined)} />
          <div class="card-acts">
            <Sample stream={stream} preset={presets?.find(({ name }) => name === "none")} />
          </div>
        </li>
        {hooks.map((hook) => (
          <li key={hook.slug} class="card">
            <Source
              stream={stream}
              hook={hook}
              received={received.filter(({ payload }) => sourceOf(payload) === hook.slug)}
              preset={presets?.find(({ name }) => name === hook.preset)}
            />
          </li>
        ))}
      </ul>
      <h2 class="presets-title">Add a source</h2>
      <ul class="presets" aria-label="Providers">
        {presets?.map((preset) => (
          <li key={preset.name}>
            <AddPreset stream={stream} preset={preset} taken={hooks.map(({ slug }) => slug)} />
          </li>
        ))}
      </ul>
      <Begin stream={stream} title="Source" variants={[["one of your own", "webhook.configured (own)"]]} />
    </>
  );
}

function Url({ stream, slug }: { stream: OpenStream; slug?: string }): JSX.Element {
  const url = urlOf(stream.path, slug);
  return (
    <div class="hook-url">
      <code>{url}</code>
      <Copy text={url} label={slug === undefined ? "Copy the hook URL" : `Copy the hook URL of ${slug}`}>
        Copy
      </Copy>
    </div>
  );
}

const urlOf = (path: string, slug?: string): string =>
  `${location.origin}/hooks${path}${slug === undefined ? "" : `?source=${encodeURIComponent(slug)}`}`;

function Source(props: {
  stream: OpenStream;
  hook: Hook;
  received: readonly StoredEvent[];
  preset: Preset | undefined;
}): JSX.Element {
  const { stream, hook, received, preset } = props;
  const { slug, verify } = hook;
  const secrets = verify?.secrets ?? [];
  return (
    <>
      <div class="card-head">
        <h2>{slug}</h2>
        <span>{preset?.title ?? hook.preset ?? "of your own"}</span>
        <span class="dim">{verify?.scheme ?? "nothing is verified"}</span>
        {hook.reject && <span class="pill">rejects what does not verify</span>}
      </div>
      <Url stream={stream} slug={slug} />
      <Counts received={received} />
      {secrets.length > 0 && (
        <p class="dim">
          Secret: {secrets.map((name) => `TAILRACE_SECRET_${name}`).join(", ")}
          {preset?.secret && `, ${preset.secret.is}`}
        </p>
      )}
      {preset?.steps && (
        <p class="dim">
          {preset.steps.join("; ").replaceAll("`", "")}. More in <code>docs/webhooks/{preset.name}.md</code>
        </p>
      )}
      <div class="card-acts">
        <Sample stream={stream} preset={preset} slug={slug} />
        <button type="button" aria-label={`Edit ${slug}`} onClick={() => void edit(stream, hook.offset)}>
          Edit
        </button>
        <Reject stream={stream} hook={hook} />
        <Confirm
          button="Remove"
          label={`Remove ${slug}`}
          title={`Remove the source ${slug}`}
          isDanger
          act={async () => (await act(stream.path, { type: "webhook.removed", payload: { slug } })) !== undefined}
        >
          <p>What it sends is still stored, and verified no more.</p>
        </Confirm>
        <span class="spring" />
        <a href={pageOf(stream.path, hook.offset)}>event {hook.offset}</a>
      </div>
    </>
  );
}

/** Refusing what does not verify is the same event with one field more. */
function Reject({ stream, hook }: { stream: OpenStream; hook: Hook }): JSX.Element | null {
  if (!hook.verify) return null;
  const reject = !hook.reject;
  const configure = async (): Promise<boolean> => {
    const event = await stream.event(hook.offset).catch((error: unknown) => (heed(error), undefined));
    const payload = { ...(event?.payload as object | undefined), reject };
    return event !== undefined && (await act(stream.path, { type: "webhook.configured", payload })) !== undefined;
  };
  return (
    <Confirm
      button={reject ? "Reject unverified" : "Store unverified"}
      label={`${reject ? "Reject" : "Store"} unverified of ${hook.slug}`}
      title={reject ? "Reject what does not verify" : "Store what does not verify"}
      yes={reject ? "Reject" : "Store"}
      act={configure}
    >
      <p>
        {reject
          ? "What does not verify is refused with 401 and not stored. While its secret is not set, that is everything."
          : "What does not verify is stored, with verified: false and why."}
      </p>
    </Confirm>
  );
}

/** How the last requests were verified. */
function Counts({ received }: { received: readonly StoredEvent[] }): JSX.Element {
  const verdicts = received.map(verdict);
  const verified = verdicts.filter((it) => it === true).length;
  const failed = verdicts.filter((it) => it === false).length;
  const unknown = received.length - verified - failed;
  const last = received.at(-1);
  const doubtful = received.findLast((event) => verdict(event) !== true);
  const { reason } = (doubtful?.payload ?? {}) as { reason?: unknown };
  if (!last) return <p class="dim">Nothing came lately.</p>;
  return (
    <div>
      {verified > 0 && (
        <span class="pill" data-status="good">
          {verified} verified
        </span>
      )}{" "}
      {failed > 0 && (
        <span class="pill" data-status="bad">
          {failed} failed
        </span>
      )}{" "}
      {unknown > 0 && <span class="pill">{unknown} not verified</span>}{" "}
      <span class="dim">
        last: <a href={pageOf(last.streamPath, last.offset)}>event {last.offset}</a>
      </span>
      {typeof reason === "string" && <p class={failed > 0 ? "error" : "dim"}>{reason}</p>}
    </div>
  );
}

/** A request as the provider would send it, but for the signature, from here. */
function Sample({
  stream,
  preset,
  slug,
}: {
  stream: OpenStream;
  preset: Preset | undefined;
  slug?: string;
}): JSX.Element {
  const [said, say] = useState<Answer | undefined>(undefined);
  const [isSending, sending] = useState(false);
  const send = async (): Promise<void> => {
    say(undefined);
    sending(true);
    say(await sendSample(urlOf(stream.path, slug), preset));
    sending(false);
  };
  return (
    <span class="sample">
      <button
        type="button"
        aria-label={slug === undefined ? "Send a sample" : `Send a sample to ${slug}`}
        title="An unsigned request, from this browser"
        disabled={isSending}
        onClick={() => void send()}
      >
        Send a sample
      </button>
      <span role="status" class={said?.isRefused ? "error" : "dim"}>
        {said?.words}
        {said?.offset !== undefined && (
          <>
            {" "}
            <a href={pageOf(stream.path, said.offset)}>event {said.offset}</a>
          </>
        )}
      </span>
    </span>
  );
}

function AddPreset(props: { stream: OpenStream; preset: Preset; taken: readonly string[] }): JSX.Element {
  const { stream, preset, taken } = props;
  const slug = free(preset.name, taken);
  const add = (): void => void act(stream.path, { type: "webhook.configured", payload: { slug, preset: preset.name } });
  return (
    <button type="button" title={`webhook.configured {"slug": "${slug}", "preset": "${preset.name}"}`} onClick={add}>
      + <span class="unseen">Add </span>
      {preset.title}
    </button>
  );
}

/** A name that nobody has yet: `github`, `github-2`. */
function free(name: string, taken: readonly string[]): string {
  for (let count = 1; ; count += 1) {
    const slug = count === 1 ? name : `${name}-${count}`;
    if (!taken.includes(slug)) return slug;
  }
}

const sourceOf = (payload: unknown): string | undefined => {
  const source = (payload as { source?: unknown } | null)?.source;
  return typeof source === "string" ? source : undefined;
};

/** The last hooks, from the log and then live. */
function useReceived(stream: OpenStream): readonly StoredEvent[] {
  const [received, set] = useState<readonly StoredEvent[]>([]);
  const generation = stream.state.value?.generation;
  useEffect(() => {
    const stop = new AbortController();
    set([]);
    const add = (events: readonly StoredEvent[]): void =>
      set((known) => {
        const fresh = events.filter(({ offset }) => !known.some((event) => event.offset === offset));
        return [...known, ...fresh].sort((one, other) => one.offset - other.offset).slice(-LAST);
      });
    lastOf(stream.path, { types: "webhook.received", last: LAST }, stop.signal).then(
      ({ entries }) => add(entries.map(({ event }) => event)),
      (error: unknown) => {
        if (!stop.signal.aborted) heed(error);
      },
    );
    const ended = stream.onEvent((event) => {
      if (event.type === "webhook.received") add([event]);
    });
    return () => {
      ended();
      stop.abort();
    };
  }, [stream, generation]);
  return received;
}

function usePresets(): readonly Preset[] | undefined {
  const [presets, set] = useState<readonly Preset[] | undefined>(undefined);
  useEffect(() => {
    import("./presets.ts").then(
      ({ presets: known }) => set(known),
      () => {},
    );
  }, []);
  return presets;
}
