/** Where we are: which stream, which event, what is filtered, which panel. All of it stands in the address. */
import { computed, signal } from "@preact/signals";
import { pageOf, streamPath } from "./api/path.ts";

/** What the side panel shows. */
export type Panel = "event" | "why" | "state" | "agents" | "subscriptions" | "schedules" | "hooks";

export interface Route {
  /** The stream; `undefined` at home, `null` when the address names none that could exist. */
  readonly path: string | null | undefined;
  /** The event that is looked at. */
  readonly offset?: number | undefined;
  readonly panel?: Panel | undefined;
  /** Globs, comma-separated, as `?types=` of the API takes them. */
  readonly types?: string | undefined;
  readonly text?: string | undefined;
  /** Only what is wrong, or only what was verified. */
  readonly only?: "failed" | "verified" | "unverified" | undefined;
}

const panels: readonly string[] = ["event", "why", "state", "agents", "subscriptions", "schedules", "hooks"];

function parse(url: URL): Route {
  const isStream = url.pathname === "/streams" || url.pathname.startsWith("/streams/");
  const path = isStream ? (streamPath(url.pathname.slice("/streams".length) || "/") ?? null) : undefined;
  const query = url.searchParams;
  const offset = Number(query.get("offset"));
  const panel = query.get("panel") ?? "";
  const only = query.get("only") ?? "";
  return {
    path,
    offset: Number.isSafeInteger(offset) && offset > 0 ? offset : undefined,
    panel: panels.includes(panel) ? (panel as Panel) : undefined,
    types: query.get("types") ?? undefined,
    text: query.get("text") ?? undefined,
    only: ["failed", "verified", "unverified"].includes(only) ? (only as Route["only"]) : undefined,
  };
}

export const route = signal<Route>(parse(new URL(location.href)));

/** Parts of the route, so that who looks at one is not told of the others. */
export const path = computed(() => route.value.path);
export const offset = computed(() => route.value.offset);
export const panel = computed(() => route.value.panel);

addEventListener("popstate", () => (route.value = parse(new URL(location.href))));

/**
 * Goes somewhere else: what is not named stays as it is. Another stream begins without event, panel and filter.
 *
 * @param options.replace the step back leads past it: for what changes with every key
 */
export function go(to: Partial<Route>, { replace = false } = {}): void {
  const isElsewhere = "path" in to && to.path !== route.value.path;
  const next: Route = isElsewhere
    ? { path: undefined, ...to }
    : { ...route.value, ...to, path: route.value.path ?? undefined };
  const query = new URLSearchParams();
  for (const name of ["offset", "panel", "types", "text", "only"] as const) {
    const value = next[name];
    if (value !== undefined && value !== "") query.set(name, String(value));
  }
  const url = (next.path ? pageOf(next.path) : "/") + (query.size > 0 ? `?${query}` : "");
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  route.value = next;
}

/** Lets links within the page be followed without loading it anew. New tabs and other sites are the browser's. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = (event.target as Element | null)?.closest("a");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  const url = new URL(link.href);
  // A place on this page is the browser's, too.
  if (url.hash !== "") return;
  if (url.pathname !== "/" && url.pathname !== "/streams" && !url.pathname.startsWith("/streams/")) return;
  event.preventDefault();
  history.pushState(null, "", url);
  route.value = parse(url);
}
