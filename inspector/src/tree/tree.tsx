import type { JSX } from "preact";

export function Tree(): JSX.Element {
  return <nav class="tree" aria-label="Streams" />;
}
