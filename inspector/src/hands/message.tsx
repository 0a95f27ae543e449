/** A message, in one field: to the agent if there is one, else `message`. */
import type { JSX } from "preact";
import { effect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Appendable } from "tailrace";
import { act } from "./act.ts";
import type { Draft } from "./draft.ts";
import type { OpenStream } from "../log/open.ts";
import { pausedOf } from "./pause.tsx";

/** The slugs of a stream's agents. */
const agentsOf = (stream: OpenStream): string[] =>
  Object.values(stream.state.value?.subscriptions ?? {})
    .filter(({ target }) => "agent" in target)
    .map(({ slug }) => slug);

/** They are written in the order in which they were sent. */
let sent: Promise<unknown> = Promise.resolve();

export function MessageForm({ stream, draft }: { stream: OpenStream; draft: Draft }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const agents = agentsOf(stream);
  const text = draft.message.value;
  const to = agents.includes(draft.to.value) ? draft.to.value : "";
  const isPaused = pausedOf(stream) !== null;
  useLayoutEffect(() => grow(field.current), [text]);

  const send = (): void => {
    if (text.trim() === "" || isPaused) return;
    draft.message.value = "";
    sent = sent.then(async () => {
      await known(stream);
      if (await act(stream.path, said(text, agentsOf(stream), to))) return;
      // What was refused is not lost; what was written meanwhile neither.
      draft.message.value = [text, draft.message.value].filter(Boolean).join("\n");
    });
  };
  const press = (key: KeyboardEvent): void => {
    // An input method uses Enter to choose a word; Safari says so by this code alone.
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way
    if (key.isComposing || key.keyCode === 229) return;
    if (key.key === "Enter" && !key.shiftKey && !key.altKey) {
      key.preventDefault();
      send();
    } else if (key.key === "Escape") document.getElementById("events")?.focus();
  };

  const [only] = agents;
  const words =
    agents.length === 1 ? `Say something to ${only}` : agents.length > 1 ? "Say something" : "Write a message";
  return (
    <form
      class="message-form"
      onSubmit={(submit) => {
        submit.preventDefault();
        send();
      }}
    >
      {agents.length > 1 && (
        <select aria-label="To" value={to} onChange={({ currentTarget }) => (draft.to.value = currentTarget.value)}>
          <option value="">all agents</option>
          {agents.map((slug) => (
            <option key={slug} value={slug}>
              {slug}
            </option>
          ))}
        </select>
      )}
      <textarea
        ref={field}
        id="composer-text"
        rows={1}
        aria-label={words}
        placeholder={`${words}  (c)`}
        title="Enter sends, Shift and Enter begins a new line"
        value={text}
        onInput={({ currentTarget }) => (draft.message.value = currentTarget.value)}
        onKeyDown={press}
      />
      <button type="submit" class="primary" disabled={text.trim() === "" || isPaused}>
        Send
      </button>
    </form>
  );
}

/** Waits until it is known whether the stream has agents: before, nobody knows what a message is. */
function known(stream: OpenStream): Promise<void> {
  let stop: (() => void) | undefined;
  const found = new Promise<void>((resolve) => {
    stop = effect(() => {
      const isLoading = stream.status.value === "loading";
      if (!isLoading && (stream.state.value !== undefined || stream.head.value === 0)) resolve();
    });
  });
  return found.finally(stop);
}

/** The event that a message becomes. */
function said(text: string, agents: readonly string[], to: string): Appendable {
  if (agents.length === 0) return { type: "message", payload: { text } };
  return { type: "agent.input-added", payload: { content: text, ...(to ? { to } : {}) } };
}

/** As high as its text, up to what the style allows. */
function grow(field: HTMLTextAreaElement | null): void {
  if (!field) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}
