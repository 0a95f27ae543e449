/** Opens the tree where it has no place beside the page. */
import type { JSX } from "preact";
import { isTreeOpen } from "./shown.ts";

export function MenuButton(): JSX.Element {
  return (
    <button
      type="button"
      class="quiet menu"
      aria-label="Streams"
      aria-expanded={isTreeOpen.value}
      onClick={() => (isTreeOpen.value = !isTreeOpen.value)}
    >
      ☰
    </button>
  );
}
