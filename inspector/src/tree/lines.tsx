/** Lines to paste into a terminal. */
import type { JSX } from "preact";
import { token } from "../api/connection.ts";
import { Copy } from "../ui/copy.tsx";
import { isShut } from "./streams.ts";

/** Where a token is needed, its place: the token itself would end in the shell's history. */
const authorization = (): string =>
  token.value === null && !isShut.value ? "" : ' -H "Authorization: Bearer $TAILRACE_TOKEN"';

/** @param event JSON without a single quote */
export const appendLine = (path: string, event: string): string =>
  `curl ${location.origin}/api/streams${path}${authorization()} -d '${event}'`;

/** @param props.path only what is a path stands here: the line is run by a shell */
export function Lines({ path }: { path: string }): JSX.Element {
  const url = `${location.origin}/api/streams${path}`;
  const auth = authorization();
  const lines: readonly [title: string, line: string][] = [
    ["Append an event", appendLine(path, '{"type":"message","payload":{"text":"hello"}}')],
    ["Read them all", `curl ${url}${auth}`],
    ["Follow live", `curl -N "${url}?live=true"${auth}`],
  ];
  return (
    <ul class="lines">
      {lines.map(([title, line]) => (
        <li key={title}>
          <div class="line-head">
            <span>{title}</span>
            <Copy text={line} label={`Copy: ${title}`}>
              Copy
            </Copy>
          </div>
          <pre tabIndex={0} role="region" aria-label={title}>
            <code>{line}</code>
          </pre>
        </li>
      ))}
    </ul>
  );
}
