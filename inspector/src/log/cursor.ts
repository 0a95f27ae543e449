/** The row that the keys move: known by its key (see `rows.ts`). */
import { signal } from "@preact/signals";

export const cursor = signal<number | undefined>(undefined);
