/** Whether the tree is drawn over the page, where it has no place beside it. */
import { signal } from "@preact/signals";

export const isTreeOpen = signal(false);
