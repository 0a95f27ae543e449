/** The left side: the tree of streams, what finds and makes one, and whose token this is. A drawer on narrow pages. */
import "./tree.css";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { takeToken, token } from "../api/connection.ts";
import { path } from "../route.ts";
import { isAsked } from "./ask.tsx";
import { Branches } from "./branches.tsx";
import { claimsOf } from "./claims.ts";
import { Create, toCreate } from "./create.tsx";
import { Delete, toDelete } from "./delete.tsx";
import { Find, sought } from "./find.tsx";
import { COUNTED, leaving } from "./leaving.ts";
import { Menu } from "./menu.tsx";
import { isDrawer, isTreeOpen } from "./shown.ts";
import { isShut, known } from "./streams.ts";

export function Tree(): JSX.Element {
  const side = useRef<HTMLElement>(null);
  const isOver = isDrawer.value && isTreeOpen.value;
  useDrawer(side, isOver);
  const close = (): void => void (isTreeOpen.value = false);
  return (
    <>
      {isOver && <div class="behind" onClick={close} />}
      <nav ref={side} class="tree" aria-label="Streams">
        <div class="tree-inside">
          <div class="brand-row">
            <a class="brand" href="/" onClick={close}>
              <img src="/icon.svg" alt="" width="22" height="22" />
              Tailrace
            </a>
            <span class="spring" />
            {isOver && (
              <button type="button" class="quiet close" aria-label="Close the list of streams" onClick={close}>
                ✕
              </button>
            )}
          </div>
          <Find choose={close} />
          <Branches key={token.value ?? ""} known={known.value} isHidden={sought.value.trim() !== ""} choose={close} />
          <Leaving />
          <Foot />
        </div>
      </nav>
      <Menu />
      <Create />
      <Delete />
    </>
  );
}

/** Keeps the focus in the drawer while it is open, and gives it back. */
function useDrawer(side: { readonly current: HTMLElement | null }, isOver: boolean): void {
  useEffect(() => {
    const drawer = side.current;
    if (!isOver || !drawer) return undefined;
    const before = document.activeElement;
    const others = [...(drawer.parentElement?.querySelectorAll<HTMLElement>(".skip, .middle, .panel") ?? [])];
    for (const other of others) other.inert = true;
    drawer.querySelector<HTMLElement>(".close")?.focus();
    const press = (event: KeyboardEvent): void => {
      const isTaken = document.querySelector("dialog[open], :popover-open") !== null || sought.value !== "";
      if (event.key !== "Escape" || isTaken) return;
      event.stopPropagation();
      isTreeOpen.value = false;
    };
    addEventListener("keydown", press, true);
    return () => {
      removeEventListener("keydown", press, true);
      for (const other of others) other.inert = false;
      const back = before instanceof HTMLElement && before.isConnected ? before : document.querySelector(".menu");
      if (back instanceof HTMLElement) back.focus();
    };
  }, [isOver]);
}

/** Deletions that go on. */
function Leaving(): JSX.Element {
  return (
    <div role="status">
      <ul class="leaving">
        {[...leaving.value].map(([at, left]) => (
          <li key={at}>
            Deleting <span class="path">{at}</span> and all below
            {left ? `: ${left.toLocaleString("en")}${left >= COUNTED ? " and more" : ""} left` : " …"}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Foot(): JSX.Element {
  const at = path.value;
  const begin = (): string => {
    const from = typeof at === "string" ? at : known.value.root;
    return from === "/" ? "/" : `${from}/`;
  };
  return (
    <div class="foot">
      <div class="row-of-buttons">
        <button type="button" onClick={() => (toCreate.value = begin())}>
          New stream
        </button>
        <span class="spring" />
        {typeof at === "string" && (
          <button
            type="button"
            class="quiet"
            aria-label={`Delete ${at}`}
            title={`Delete ${at}`}
            onClick={() => (toDelete.value = at)}
          >
            Delete …
          </button>
        )}
      </div>
      <Token />
    </div>
  );
}

/** Whose token this is, and what it may do, as far as it says. */
function Token(): JSX.Element | null {
  if (token.value === null) {
    if (!isShut.value) return null;
    return (
      <button type="button" class="primary" onClick={() => (isAsked.value = true)}>
        Give a token
      </button>
    );
  }
  const claims = claimsOf(token.value);
  return (
    <div class="token">
      <p class="dim">
        {claims
          ? `${claims.by}: may ${claims.can.join(", ")} at ${claims.path} and below`
          : "With the deployment’s token"}
        {claims?.exp !== undefined && `, until ${new Date(claims.exp * 1_000).toLocaleString()}`}
      </p>
      <button type="button" class="quiet" onClick={() => takeToken(null)}>
        Forget the token
      </button>
    </div>
  );
}
