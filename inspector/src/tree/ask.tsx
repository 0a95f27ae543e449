import type { JSX } from "preact";

export function Ask(): JSX.Element | null {
  return null;
}
