/** How a turn ended, in a word and in numbers. */
import type { JSX } from "preact";
import { Badge } from "../event/parts.tsx";
import { span } from "../ui/time.tsx";
import type { Turn } from "./turns.ts";

/** How a turn ended, in a word. */
export function Outcome({ turn: { end, failures } }: { turn: Turn }): JSX.Element | null {
  if (end?.type === "agent.turn-failed") return <Badge is="bad">failed</Badge>;
  if (end?.type === "agent.turn-interrupted") return <Badge is="warn">interrupted</Badge>;
  if (end) return end.calls.length > 0 ? <Badge is="plain">calls {end.calls.length}</Badge> : null;
  return failures.length > 0 ? <Badge is="warn">tried again</Badge> : <Badge is="plain">asking</Badge>;
}

/** How long it took, and how much was said. */
export function numbersOf({ end }: Turn): string {
  if (!end) return "";
  const { latencyMs, inputTokens, outputTokens } = end;
  return [
    ...(latencyMs === undefined ? [] : [span(latencyMs)]),
    ...(inputTokens === undefined
      ? []
      : [`${inputTokens.toLocaleString("en")} → ${(outputTokens ?? 0).toLocaleString("en")} tokens`]),
  ].join(" · ");
}
