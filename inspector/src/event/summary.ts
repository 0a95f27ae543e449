/** An event in a few words, for its row. */
import type { StoredEvent } from "tailrace";

export function summary({ payload }: StoredEvent): string {
  if (typeof payload === "string") return payload.slice(0, 300);
  const fields = (payload ?? {}) as Record<string, unknown>;
  const words = [fields["text"], fields["content"], fields["message"]].find((it) => typeof it === "string");
  return (typeof words === "string" ? words : JSON.stringify(payload)).slice(0, 300);
}
