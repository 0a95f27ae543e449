/** What a person is writing, by stream: it stays while they look at something else, and when the page is loaded anew. */
import { signal, type Signal } from "@preact/signals";
import { isNarrow } from "../ui/narrow.ts";
import { go } from "../route.ts";
import { recall, remember, type Remembered } from "./remembered.ts";
import { template, textOf } from "./templates.ts";

const blank = textOf(template("message"));

export class Draft {
  readonly mode: Signal<"message" | "event">;
  /** What is said to the agent. */
  readonly message: Signal<string>;
  /** The agent that it is for, when there are several; empty: all of them. */
  readonly to: Signal<string>;
  /** The event, as JSON. */
  readonly event: Signal<string>;
  /** The event that was appended last: it still stands there, and is no draft any more. */
  readonly appended = signal(blank);
  /** Counts the times when the event was put there from elsewhere: an editor takes it then. */
  readonly given = signal(0);

  /** What stood there before, while no editor is there that could undo it. */
  replaced: string | undefined;

  /** @param begun what it begins with */
  constructor({ mode, message, to, event }: Remembered) {
    this.mode = signal(mode ?? "message");
    this.message = signal(message ?? "");
    this.to = signal(to ?? "");
    this.event = signal(event ?? blank);
  }

  /** What of it outlives the page. */
  get kept(): Remembered {
    const event = this.event.value;
    return {
      mode: this.mode.value === "event" ? "event" : undefined,
      message: this.message.value || undefined,
      to: this.to.value || undefined,
      event: event === blank || event === this.appended.value ? undefined : event,
    };
  }

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
  const draft = new Draft(recall(path));
  drafts.set(path, draft);
  const { mode, message, to, event, appended } = draft;
  for (const part of [mode, message, to, event, appended]) part.subscribe(() => changed(path));
  return draft;
}

/** A draft is kept when somebody stops typing. */
const TYPING_MS = 300;

let timer: ReturnType<typeof setTimeout> | undefined;
const unkept = new Set<string>();

function changed(path: string): void {
  unkept.add(path);
  clearTimeout(timer);
  timer = setTimeout(keepAll, TYPING_MS);
}

function keepAll(): void {
  clearTimeout(timer);
  if (unkept.size === 0) return;
  remember(new Map([...unkept].map((path) => [path, draftOf(path).kept])));
  unkept.clear();
}

addEventListener("pagehide", keepAll);

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
