/** Why an event happened, and what followed from it. */
import { later } from "../ui/later.tsx";

export const Why = later(async () => (await import("./panel.tsx")).WhyPanel);
