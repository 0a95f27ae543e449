/** The event as JSON, exactly as it is stored, and what one can take of it with one. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, heed, token, wordsOf } from "../api/connection.ts";
import { pageOf } from "../api/path.ts";
import { Copy } from "../ui/copy.tsx";
import { notify } from "../ui/notices.tsx";
import { curlOf } from "./curl.ts";
import { Json } from "./parts.tsx";

/** So much of a large event is shown at first. */
const SHOWN = 16_000;

export function Raw({
  path,
  line,
  offset,
  type,
}: {
  path: string;
  line: string;
  offset: number;
  type: string;
}): JSX.Element {
  const place = { origin: location.origin, path, hasToken: token.value !== null };
  return (
    <section class="raw" aria-label="Raw JSON">
      <div class="raw-head">
        <h3>JSON</h3>
        <Copy text={line}>Copy JSON</Copy>
        <Copy text={() => curlOf(line, place)}>Copy as curl</Copy>
        <Copy text={location.origin + pageOf(path, offset)}>Copy link</Copy>
        {type === "webhook.received" && <RawBytes path={path} offset={offset} />}
      </div>
      <Json key={offset} text={line} most={SHOWN} label="event as JSON" />
    </section>
  );
}

/** The exact bytes that a hook received. They are a stranger's: only ever a download, never shown. */
function RawBytes({ path, offset }: { path: string; offset: number }): JSX.Element {
  const [isLoading, load] = useState(false);
  const name = `hook-${offset}`;
  // Without a token the browser can fetch it by itself, however large it is.
  if (token.value === null) {
    return (
      <a class="button" href={`/api/raw${path}?offset=${offset}`} download={name}>
        Raw bytes
      </a>
    );
  }
  const download = async (): Promise<void> => {
    load(true);
    try {
      const response = await get("raw", path, { offset }, { accept: "*/*" });
      const bytes = new Blob([await response.arrayBuffer()], { type: "application/octet-stream" });
      const url = URL.createObjectURL(bytes);
      const link = Object.assign(document.createElement("a"), { href: url, download: name });
      link.click();
      // The browser has begun to read it by then.
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      notify({ words: `The raw bytes cannot be had: ${wordsOf(heed(error))}`, isError: true });
    }
    load(false);
  };
  return (
    <button type="button" class="quiet" disabled={isLoading} onClick={() => void download()}>
      Raw bytes
    </button>
  );
}
