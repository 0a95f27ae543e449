/** The control state of the stream, as it was at any time. */
import { later } from "../ui/later.tsx";

export const StatePanel = later(async () => (await import("./state-panel.tsx")).StatePanel);
