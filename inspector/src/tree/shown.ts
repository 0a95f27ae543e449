/** Whether the tree is drawn over the page, where it has no place beside it. */
import { signal } from "@preact/signals";

export const isTreeOpen = signal(false);

const query = matchMedia("(max-width: 1100px)");

/** Whether the tree is a drawer. The same width stands in the styles. */
export const isDrawer = signal(query.matches);

query.addEventListener("change", () => {
  isDrawer.value = query.matches;
  if (!query.matches) isTreeOpen.value = false;
});
