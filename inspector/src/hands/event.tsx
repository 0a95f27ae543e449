/** Any event as JSON: templates to begin with, completion, and the server's word on it while one writes. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { TailraceError } from "tailrace";
import { wordsOf } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import { done } from "./act.ts";
import type { Editor } from "./code.ts";
import { wantsFocus, type Draft } from "./draft.ts";
import type { OpenStream } from "../log/open.ts";
import { pausedOf } from "./pause.tsx";
import { check, post } from "./post.ts";
import { groups, template, textOf, titleOf } from "./templates.ts";

/** The server is asked when somebody stops typing. */
const TYPING_MS = 250;

/** What is known of the text. */
type Verdict =
  | { readonly is: "empty" | "checking" | "accepted" | "paused" | "unknown" | "appending" }
  /** It is no JSON; or it is, and the server does not take it. */
  | { readonly is: "fault" | "wrong"; readonly words: string }
  | { readonly is: "appended"; readonly offset: number; readonly count: number };

export function EventForm({ stream, draft }: { stream: OpenStream; draft: Draft }): JSX.Element {
  const editor = useRef<Editor>(undefined);
  const button = useRef<HTMLButtonElement>(null);
  const [verdict, judge] = useState<Verdict>({ is: "empty" });
  // Another pause is another answer.
  const pausedAt = pausedOf(stream)?.offset;
  const judging = useRef(new AbortController());

  /** Says what the server says of the text, soon. */
  const ask = (text: string, fault: string | undefined): void => {
    judging.current.abort();
    const { signal } = (judging.current = new AbortController());
    const isEmpty = text.trim() === "";
    judge(isEmpty ? { is: "empty" } : fault === undefined ? { is: "checking" } : { is: "fault", words: fault });
    if (isEmpty || fault !== undefined) return;
    setTimeout(() => {
      if (signal.aborted) return;
      check(stream.path, text, signal).then(
        (problem) => {
          if (signal.aborted) return;
          const waits = pausedOf(stream) !== null && waitsForResume(text);
          judge(problem ? verdictOf(problem) : { is: waits ? "paused" : "accepted" });
          editor.current?.mark(problem && markOf(problem));
        },
        () => {},
      );
    }, TYPING_MS);
  };

  const submit = async (): Promise<void> => {
    const text = draft.event.value;
    if (button.current?.disabled) return;
    judging.current.abort();
    judge({ is: "appending" });
    try {
      const stored = await post(stream.path, text);
      draft.appended.value = text;
      done(stream.path, stored);
      judge({ is: "appended", offset: stored[0]?.offset ?? 0, count: stored.length });
      editor.current?.mark(undefined);
    } catch (error) {
      judge({ is: "wrong", words: wordsOf(error) });
      if (error instanceof TailraceError) editor.current?.mark(markOf(error));
    }
  };
  // The editor lives longer than a rendering; it is to reach what is true now.
  const now = useRef({ ask, submit });
  now.current = { ask, submit };

  return (
    <form
      class="event-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Code
        stream={stream}
        draft={draft}
        editor={editor}
        changed={(text, fault) => now.current.ask(text, fault)}
        submit={() => void now.current.submit()}
        leave={() => button.current?.focus()}
        pausedAt={pausedAt}
      />
      <div class="event-acts">
        <Templates draft={draft} />
        <p id="event-verdict" class="verdict" data-is={verdict.is} role="status">
          <Words verdict={verdict} path={stream.path} />
        </p>
        <button
          ref={button}
          type="submit"
          class="primary"
          title="Ctrl or ⌘ and Enter"
          aria-describedby="event-verdict"
          disabled={["empty", "fault", "appending"].includes(verdict.is)}
        >
          Append
        </button>
      </div>
    </form>
  );
}

/** The editor itself, which is fetched when it is first wanted. */
function Code(props: {
  stream: OpenStream;
  draft: Draft;
  editor: { current: Editor | undefined };
  changed(text: string, fault: string | undefined): void;
  readonly submit: () => void;
  readonly leave: () => void;
  pausedAt: number | undefined;
}): JSX.Element {
  const { stream, draft, editor, pausedAt } = props;
  const host = useRef<HTMLDivElement>(null);
  const [trouble, setTrouble] = useState(false);
  const fault = useRef<string | undefined>(undefined);

  useEffect(() => {
    let isOver = false;
    let made: Editor | undefined;
    import("./code.ts").then(
      ({ edit }) => {
        if (isOver || !host.current) return;
        const wanted = draft.event.value;
        made = edit({
          host: host.current,
          text: draft.replaced ?? wanted,
          label: "Event as JSON. Escape leaves the editor, Control or Command and Enter appends.",
          changed(text, wrong) {
            draft.event.value = text;
            fault.current = wrong;
            props.changed(text, wrong);
          },
          submit: props.submit,
          leave: props.leave,
          types: () => new Set(stream.span.value.entries.map(({ event }) => event.type)),
        });
        editor.current = made;
        if (draft.replaced !== undefined) made.give(wanted);
        draft.replaced = undefined;
        if (wantsFocus.value) made.focus();
        wantsFocus.value = false;
      },
      () => setTrouble(true),
    );
    return () => {
      isOver = true;
      made?.close();
      editor.current = undefined;
    };
  }, [stream, draft]);

  // What is given from elsewhere: a template, or something to be configured anew.
  const given = draft.given.value;
  const taken = useRef(given);
  useEffect(() => {
    if (taken.current === given) return;
    taken.current = given;
    editor.current?.give(draft.event.peek());
    if (editor.current) draft.replaced = undefined;
    if (wantsFocus.peek() && editor.current) {
      editor.current.focus();
      wantsFocus.value = false;
    }
  }, [given]);

  const pausedBefore = useRef(pausedAt);
  useEffect(() => {
    if (pausedBefore.current === pausedAt) return;
    pausedBefore.current = pausedAt;
    if (editor.current) props.changed(draft.event.peek(), fault.current);
  }, [pausedAt]);

  // Without the editor a plain field does.
  return trouble ? (
    <textarea
      id="composer-text"
      class="editor"
      aria-label="Event as JSON"
      value={draft.event.value}
      onInput={({ currentTarget }) => {
        draft.event.value = currentTarget.value;
        props.changed(currentTarget.value, undefined);
      }}
    />
  ) : (
    <div ref={host} id="composer-text" class="editor" />
  );
}

/** A list of examples; choosing one puts it into the editor. What was there comes back by undoing. */
function Templates({ draft }: { draft: Draft }): JSX.Element {
  return (
    <select
      class="templates"
      aria-label="Begin with a template"
      value=""
      onChange={({ currentTarget }) => {
        const title = currentTarget.value;
        currentTarget.value = "";
        wantsFocus.value = true;
        draft.give(textOf(template(title)));
      }}
    >
      <option value="" disabled hidden>
        Template …
      </option>
      {groups.map(({ title, templates }) => (
        <optgroup key={title} label={title}>
          {templates.map((each) => (
            <option key={titleOf(each)} value={titleOf(each)}>
              {titleOf(each)} – {each.does}
            </option>
          ))}
        </optgroup>
      ))}
    </select>
  );
}

function Words({ verdict, path }: { verdict: Verdict; path: string }): JSX.Element | string {
  switch (verdict.is) {
    case "empty":
      return "An event, or a list of events";
    case "checking":
      return "Checking …";
    case "accepted":
      return "The server would take it";
    case "paused":
      return "It is valid, and refused while the stream is paused";
    case "unknown":
      return "Not checked";
    case "appending":
      return "Appending …";
    case "fault":
    case "wrong":
      return verdict.words;
    case "appended":
      return (
        <>
          Appended: <a href={pageOf(path, verdict.offset)}>event {verdict.offset}</a>
          {verdict.count > 1 && ` to ${verdict.offset + verdict.count - 1}`}
        </>
      );
  }
}

/** Whether a pause refuses this: all but what configures the stream, which includes resuming it. */
function waitsForResume(text: string): boolean {
  const events = [JSON.parse(text)].flat() as ({ type?: string; event?: { type?: string } } | null)[];
  const types = events.map((event) => event?.type ?? event?.event?.type ?? "");
  return types.some(
    (type) => !/^(stream|breaker|schedule|subscription|webhook)\.|^tool\.(configured|removed)$/.test(type),
  );
}

/** A problem of the server; what it could not look at is not wrong for that. */
function verdictOf(problem: TailraceError): Verdict {
  if (problem.status === 0 || problem.code === "invalid_query") return { is: "unknown" };
  return { is: "wrong", words: wordsOf(problem) };
}

const markOf = (error: TailraceError): { words: string; field: string | undefined; index: number | undefined } => ({
  words: wordsOf(error),
  field: error.field,
  index: typeof error.problem["index"] === "number" ? error.problem["index"] : undefined,
});
