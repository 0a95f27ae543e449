/** The dialog that deletes a stream: it names what goes, and has the path typed. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { TailraceError } from "tailrace";
import { heed, tailrace, token, wordsOf } from "../api/connection.ts";
import { parentOf } from "../api/path.ts";
import { go, path as opened } from "../route.ts";
import { Dialog } from "../ui/dialog.tsx";
import { notify } from "../ui/notices.tsx";
import { claimsOf, lacks } from "./claims.ts";
import { countBelow, follow } from "./leaving.ts";
import { known } from "./streams.ts";

/** The stream that somebody wants to delete. */
export const toDelete = signal<string | undefined>(undefined);

/** What would go. */
interface Content {
  readonly head: number;
  readonly generation: string;
  readonly below: number;
  readonly isAll: boolean;
}

export function Delete(): JSX.Element {
  const path = toDelete.value;
  const close = (): void => void (toDelete.value = undefined);
  return (
    <Dialog title="Delete a stream" isOpen={path !== undefined} close={close}>
      {path !== undefined && <Form key={path} path={path} close={close} />}
    </Dialog>
  );
}

function Form({ path, close }: { path: string; close: () => void }): JSX.Element {
  const [content, setContent] = useState<Content | "gone">();
  const [withBelow, setWithBelow] = useState(false);
  const [typed, setTyped] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<string>();
  const refused = lacks(claimsOf(token.value), "control", path);

  useEffect(() => {
    let isOver = false;
    contentOf(path).then(
      (now) => isOver || setContent(now),
      (error: unknown) => isOver || setTrouble(wordsOf(heed(error))),
    );
    return () => (isOver = true);
  }, [path]);

  const found = content === "gone" ? undefined : content;
  const below = found?.below ?? 0;
  const count = `${below.toLocaleString("en")}${found?.isAll === false ? " and more" : ""}`;
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (typed !== path || isBusy || refused) return;
    setBusy(true);
    setTrouble(undefined);
    try {
      await tailrace.value.stream(path).delete({ children: withBelow });
    } catch (error) {
      setTrouble(whyNotDeleted(error));
      setBusy(false);
      return;
    }
    close();
    leave(path, withBelow);
    if (withBelow && below > 0) void follow(path, found?.generation);
    else {
      known.value.died(path);
      notify({ words: `${path} is deleted` });
    }
  };

  return (
    <form class="asks" onSubmit={(event) => void submit(event)}>
      {content === "gone" ? (
        <p>There is no stream at {path}: nothing was written there yet, or it was deleted.</p>
      ) : (
        <p>
          This deletes <strong class="path">{path}</strong>
          {found && `, its ${found.head.toLocaleString("en")} ${found.head === 1 ? "event" : "events"}`} and all that it
          was configured to do. Nobody can bring it back.
        </p>
      )}
      {below > 0 && (
        <>
          <label class="check">
            <input type="checkbox" checked={withBelow} onChange={({ currentTarget: it }) => setWithBelow(it.checked)} />
            {below === 1 ? "and the stream below" : `and all ${count} streams below`}
          </label>
          {!withBelow && (
            <p class="dim">
              Those below stay and answer at their paths, but no list names them until {path} has events again.
            </p>
          )}
        </>
      )}
      <label for="typed-path">Type the path to confirm</label>
      <input
        id="typed-path"
        type="text"
        class="path"
        placeholder={path}
        value={typed}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        autofocus
        disabled={content === "gone" || refused !== undefined}
        onInput={({ currentTarget: { value } }) => setTyped(value)}
      />
      <p class="error" role="alert">
        {refused ?? trouble}
      </p>
      <div class="row-of-buttons">
        <button type="submit" class="danger" disabled={typed !== path || isBusy || refused !== undefined}>
          {withBelow ? "Delete them all" : "Delete"}
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </form>
  );
}

async function contentOf(path: string): Promise<Content | "gone"> {
  const found = await tailrace.value.stream(path).head();
  if (!found) return "gone";
  const { count, isAll } = await countBelow(path);
  return { head: found.head, generation: found.generation, below: count, isAll };
}

function whyNotDeleted(error: unknown): string {
  if (error instanceof TailraceError && error.status === 403) return `This is not allowed: ${error.detail}.`;
  if (error instanceof TailraceError && error.status === 404) return "It is gone already.";
  return `It was not deleted: ${wordsOf(heed(error))}`;
}

/** Whoever looks at what was deleted is led above it. */
function leave(path: string, withBelow: boolean): void {
  const at = opened.value;
  if (typeof at !== "string") return;
  const isGone = at === path || (withBelow && at.startsWith(path === "/" ? "/" : `${path}/`));
  if (!isGone) return;
  go({ path: path === known.value.root ? undefined : parentOf(path) });
}
