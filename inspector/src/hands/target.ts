/** Subscriptions and schedules in words. */
import type { Subscription } from "tailrace";

/** What hands events to whom: `pushed to example.com`. */
export function targetWords({ target, slug }: Pick<Subscription, "target" | "slug">): { kind: string; words: string } {
  const { url, agent, javascript } = target as { url?: unknown; agent?: { model?: string }; javascript?: unknown };
  if (typeof url === "string") return slug.startsWith("tool.") ? tool(slug, url) : { kind: "push", words: hostOf(url) };
  if (agent) return { kind: "agent", words: agent.model ?? "a language model" };
  if (javascript) return { kind: "javascript", words: "code in this stream" };
  return { kind: "pull", words: "workers lease its events" };
}

const tool = (slug: string, url: string): { kind: string; words: string } => ({
  kind: "tool",
  words: `${slug.slice("tool.".length)}, at ${hostOf(url)}`,
});

/** The host of a URL; what is no URL stands as it is. */
function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
