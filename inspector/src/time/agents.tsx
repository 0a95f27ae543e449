import type { JSX } from "preact";
import type { OpenStream } from "../log/open.ts";

export function Agents({ stream }: { stream: OpenStream }): JSX.Element | null {
  return <p hidden>{stream.path}</p>;
}
