/** Where a person writes: a message to the agent, or any event as JSON. */
import "./composer.css";
import type { JSX } from "preact";
import { draftOf, type Draft } from "./draft.ts";
import { EventForm } from "./event.tsx";
import { MessageForm } from "./message.tsx";
import type { OpenStream } from "../log/open.ts";
import { pausedOf, resume } from "./pause.tsx";

const modes = [
  { mode: "message", title: "Message" },
  { mode: "event", title: "Event" },
] as const;

export function Composer({ stream }: { stream: OpenStream }): JSX.Element {
  const draft = draftOf(stream.path);
  const mode = draft.mode.value;
  return (
    <section class="composer" aria-label="Write to the stream" data-mode={mode}>
      {pausedOf(stream) && (
        <p class="composer-paused">
          <span>The stream is paused: appends are refused, but for resuming and configuring.</span>
          <button type="button" onClick={() => void resume(stream)}>
            Resume
          </button>
        </p>
      )}
      <Modes draft={draft} />
      <div id="composer-form" role="tabpanel" aria-labelledby={`composer-${mode}`}>
        {mode === "message" ? (
          <MessageForm key={stream.path} stream={stream} draft={draft} />
        ) : (
          <EventForm key={stream.path} stream={stream} draft={draft} />
        )}
      </div>
    </section>
  );
}

function Modes({ draft }: { draft: Draft }): JSX.Element {
  const turn = (key: KeyboardEvent): void => {
    if (key.key !== "ArrowLeft" && key.key !== "ArrowRight") return;
    key.preventDefault();
    key.stopPropagation();
    draft.mode.value = draft.mode.value === "message" ? "event" : "message";
    document.getElementById(`composer-${draft.mode.value}`)?.focus();
  };
  return (
    <div class="tabs modes" role="tablist" aria-label="What is written" onKeyDown={turn}>
      {modes.map(({ mode, title }) => (
        <button
          key={mode}
          id={`composer-${mode}`}
          type="button"
          role="tab"
          aria-selected={draft.mode.value === mode}
          aria-controls="composer-form"
          tabIndex={draft.mode.value === mode ? 0 : -1}
          onClick={() => (draft.mode.value = mode)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}
