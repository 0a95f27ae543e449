/** The event that is looked at. Its cards are loaded when the first one is. */
import "./event.css";
import { later } from "../ui/later.tsx";

export const EventPanel = later(async () => (await import("./look.tsx")).Look);
