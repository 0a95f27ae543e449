/** How a person likes to see logs. Kept in this browser. */
import { effect, signal } from "@preact/signals";
import { keep, kept } from "../ui/kept.ts";

export interface View {
  readonly newestFirst: boolean;
  readonly grouped: boolean;
  /** `14:03:22.120` instead of `3 min ago`. */
  readonly absoluteTime: boolean;
}

const KEY = "tailrace-view";
const usual: View = { newestFirst: false, grouped: false, absoluteTime: true };

export const view = signal<View>(last());

effect(() => keep("localStorage", KEY, JSON.stringify(view.value)));

function last(): View {
  try {
    return { ...usual, ...(JSON.parse(kept("localStorage", KEY) ?? "{}") as Partial<View>) };
  } catch {
    return usual;
  }
}
