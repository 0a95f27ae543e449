/** The agents of the stream, their turns, and what was sent at each. */
import { later } from "../ui/later.tsx";

export const Agents = later(async () => (await import("./agents-panel.tsx")).AgentsPanel);
