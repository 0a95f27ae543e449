/** The dialog that asks for the token. It stays in this tab, and is sent in a header only. */
import { effect, signal } from "@preact/signals";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { asked, takeToken, token } from "../api/connection.ts";
import { Dialog } from "../ui/dialog.tsx";
import "./ask.css";

/** Whether the dialog is there: a person may close it, and is not asked again for the same. */
export const isAsked = signal(false);

let before: unknown;
effect(() => {
  const now = asked.value;
  if (now && !before) isAsked.value = true;
  if (!now) isAsked.value = false;
  before = now;
});

export function Ask(): JSX.Element {
  return (
    <Dialog
      title="This Tailrace asks for a token"
      isOpen={asked.value !== undefined && isAsked.value}
      close={() => (isAsked.value = false)}
    >
      <Form />
    </Dialog>
  );
}

function Form(): JSX.Element {
  // Who had one already is told why it does not hold.
  const [wrong, setWrong] = useState(token.value === null ? undefined : wordsFor(asked.value?.detail));
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).querySelector("input");
    const given = field?.value.trim() ?? "";
    if (given === "" || isBusy) return;
    setBusy(true);
    const refusal = await refusalOf(given);
    setBusy(false);
    setWrong(refusal);
    if (refusal === undefined) takeToken(given);
    else field?.select();
  };
  return (
    <form class="asks" onSubmit={(event) => void submit(event)}>
      <label for="token">Token</label>
      <input
        id="token"
        type="password"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        autofocus
        required
        aria-describedby="token-hint token-wrong"
        aria-invalid={wrong !== undefined}
      />
      <p id="token-hint" class="dim">
        It stays in this tab until the tab is closed, and is sent in a header only, never in a URL.
      </p>
      <p id="token-wrong" class="error" role="alert">
        {wrong}
      </p>
      <div class="row-of-buttons">
        <button type="submit" class="primary" disabled={isBusy}>
          Use it
        </button>
      </div>
    </form>
  );
}

/** Why a token is not taken; `undefined` when it holds, whatever it may do. */
async function refusalOf(given: string): Promise<string | undefined> {
  let headers: Headers;
  try {
    headers = new Headers({ authorization: `Bearer ${given}`, accept: "application/json" });
  } catch {
    return "This is no token: it has characters that no token has.";
  }
  try {
    // Any answer but a 401 says that the token holds.
    const response = await fetch("/api/children/?limit=1", { headers, cache: "no-store", credentials: "omit" });
    if (response.status !== 401) return undefined;
    const { detail } = (await response.json().catch(() => ({}))) as { detail?: string };
    return wordsFor(detail);
  } catch {
    return "The server cannot be reached.";
  }
}

const wordsFor = (detail: string | undefined): string =>
  `This token does not hold${detail ? `: ${detail}` : ""}. Is it the whole token, and of this deployment?`;
