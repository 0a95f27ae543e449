/** The row that the keys move: known by the first offset that it shows. */
import { signal } from "@preact/signals";

export const cursor = signal<number | undefined>(undefined);
