import type { JSX } from "preact";
import type { OpenStream } from "../log/open.ts";

export function EventPanel({ stream }: { stream: OpenStream }): JSX.Element | null {
  return <p hidden>{stream.path}</p>;
}
