/** What a person is writing, by stream: it stays while they look at something else. */
import { signal, type Signal } from "@preact/signals";
import { isNarrow } from "../ui/narrow.ts";
import { go } from "../route.ts";
import { template, textOf } from "./templates.ts";

export class Draft {
  readonly mode = signal<"message" | "event">("message");
  /** What is said to the agent. */
  readonly message = signal("");
  /** The agent that it is for, when there are several; empty: all of them. */
  readonly to = signal("");
  /** The event, as JSON. */
  readonly event = signal(textOf(template("message")));
  /** Counts the times when the event was put there from elsewhere: an editor takes it then. */
  readonly given = signal(0);

  /** What stood there before, while no editor is there that could undo it. */
  replaced: string | undefined;

  /** Puts another event there; one step of undoing brings back what was there. */
  give(text: string): void {
    this.replaced = this.event.value;
    this.event.value = text;
    this.given.value += 1;
  }
}

const drafts = new Map<string, Draft>();

export function draftOf(path: string): Draft {
  const known = drafts.get(path);
  if (known) return known;
  const draft = new Draft();
  drafts.set(path, draft);
  return draft;
}

/** Set when the editor is to have the focus as soon as it is there. */
export const wantsFocus: Signal<boolean> = signal(false);

/** Opens the composer with an event, for a person to look at and to append. */
export const compose = (path: string, event: { type: string; payload: unknown }): void =>
  composeText(path, textOf(event));

/** The same with the event as text. */
export function composeText(path: string, text: string): void {
  const draft = draftOf(path);
  draft.give(text);
  draft.mode.value = "event";
  wantsFocus.value = true;
  // The panel covers the page there.
  if (isNarrow.value) go({ panel: undefined, offset: undefined });
}
