/** The dialog that opens a new stream. Nothing is made here: a stream is born with its first event. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { token } from "../api/connection.ts";
import { streamPath } from "../api/path.ts";
import { go } from "../route.ts";
import { Dialog } from "../ui/dialog.tsx";
import { claimsOf, lacks } from "./claims.ts";
import { known } from "./streams.ts";
import { whyNot } from "./whynot.ts";

/** What the field begins with; `undefined` while nobody wants a new stream. */
export const toCreate = signal<string | undefined>(undefined);

export function Create(): JSX.Element {
  const close = (): void => void (toCreate.value = undefined);
  return (
    <Dialog title="New stream" isOpen={toCreate.value !== undefined} close={close}>
      <Form begun={toCreate.value ?? "/"} close={close} />
    </Dialog>
  );
}

function Form({ begun, close }: { begun: string; close: () => void }): JSX.Element {
  const [text, setText] = useState(begun);
  const [wasTried, setTried] = useState(false);
  const path = streamPath(text);
  // Who is just beginning a next part is not told that it is empty.
  const isBegun = text === "" || (path !== undefined && (text === begun || text.endsWith("/")));
  const wrong = path === undefined ? whyNot(text) : lacks(claimsOf(token.value), "append", path);
  const isThere = path !== undefined && known.value.paths().has(path);
  const submit = (event: Event): void => {
    event.preventDefault();
    setTried(true);
    if (path === undefined || whyNot(text)) return;
    close();
    go({ path });
  };
  return (
    <form class="asks" noValidate onSubmit={submit}>
      <p>A path like /support/anna. The stream is born with its first event: opened, it waits for it.</p>
      <label for="new-path">Path</label>
      <input
        id="new-path"
        type="text"
        class="path"
        value={text}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        autofocus
        aria-describedby="new-path-said"
        aria-invalid={wrong !== undefined && (wasTried || !isBegun)}
        onInput={({ currentTarget: { value } }) => setText(value)}
      />
      <p id="new-path-said" class={wrong !== undefined ? "error" : "dim"} role="status">
        {wrong ?? (isThere ? "There is such a stream: it is opened." : path === undefined ? "" : `Opens ${path}`)}
      </p>
      <div class="row-of-buttons">
        <button type="submit" class="primary" disabled={path === undefined}>
          Open
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </form>
  );
}
