/** Which card shows an event. */
import type { StoredEvent } from "tailrace";
import { fieldsOf } from "../payload.ts";
import type { Card } from "./card.ts";
import { Failure } from "./failure.tsx";
import { Hook, HookConfigured } from "./hook.tsx";
import { Message, Plain, isSaying } from "./plain.tsx";
import { SubscriptionChanged, SubscriptionConfigured, SubscriptionHalted } from "./push.tsx";
import { ScheduleConfigured, ScheduleOver } from "./schedule.tsx";
import { Born, BreakerConfigured, MetadataUpdated, Paused } from "./stream.tsx";
import { Tool, ToolCall } from "./tool.tsx";
import { Output, Stopped, TurnFailed, TurnInterrupted, TurnStarted } from "./turn.tsx";

const cards: Readonly<Record<string, Card>> = {
  "agent.input-added": Message,
  "agent.context-added": Message,
  "agent.turn-started": TurnStarted,
  "agent.output-added": Output,
  "agent.turn-failed": TurnFailed,
  "agent.turn-interrupted": TurnInterrupted,
  "agent.interrupt-requested": Stopped,
  "agent.stopped": Stopped,
  "tool.configured": Tool,
  "tool.removed": Tool,
  "tool.approval-requested": ToolCall,
  "tool.approved": ToolCall,
  "tool.denied": ToolCall,
  "tool.requested": ToolCall,
  "tool.started": ToolCall,
  "tool.completed": ToolCall,
  "tool.failed": ToolCall,
  "webhook.received": Hook,
  "webhook.configured": HookConfigured,
  "webhook.removed": HookConfigured,
  "schedule.configured": ScheduleConfigured,
  "schedule.removed": ScheduleOver,
  "schedule.ended": ScheduleOver,
  "subscription.configured": SubscriptionConfigured,
  "subscription.halted": SubscriptionHalted,
  "subscription.resumed": SubscriptionChanged,
  "subscription.removed": SubscriptionChanged,
  "stream.created": Born,
  "stream.child-created": Born,
  "stream.child-deleted": Born,
  "stream.paused": Paused,
  "stream.resumed": Paused,
  "stream.metadata-updated": MetadataUpdated,
  "breaker.configured": BreakerConfigured,
  "error.occurred": Failure,
};

/** By the type; an event of another type is a message when it says something, else its fields. */
export function cardOf({ type, payload }: StoredEvent): Card {
  const known = Object.hasOwn(cards, type) ? cards[type] : undefined;
  return known ?? (isSaying(fieldsOf(payload)) ? Message : Plain);
}
