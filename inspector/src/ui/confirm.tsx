/** A button that asks before it acts, with room for what else the act needs to know. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { Dialog } from "./dialog.tsx";

/**
 * @param props.children what is said or asked; rendered while the question is open
 * @param props.act what a yes does; the dialog stays until it is done, and longer when it resolves with `false`
 */
export function Confirm(props: {
  /** What the button says; the dialog's own says the same unless `yes` is given. */
  button: string;
  title: string;
  yes?: string;
  /** For the button, where its words alone could be another's. */
  label?: string;
  isDanger?: boolean;
  isDisabled?: boolean;
  class?: string;
  act(): unknown;
  opened?(): void;
  children: ComponentChildren;
}): JSX.Element {
  const [isOpen, open] = useState(false);
  const [isActing, acting] = useState(false);
  const act = async (): Promise<void> => {
    acting(true);
    try {
      if ((await props.act()) !== false) open(false);
    } finally {
      acting(false);
    }
  };
  return (
    <>
      <button
        type="button"
        class={props.class}
        aria-label={props.label}
        aria-haspopup="dialog"
        disabled={props.isDisabled}
        onClick={() => {
          props.opened?.();
          open(true);
        }}
      >
        {props.button}
      </button>
      <Dialog title={props.title} isOpen={isOpen} close={() => open(false)}>
        <form
          class="confirm"
          onSubmit={(event) => {
            event.preventDefault();
            void act();
          }}
        >
          {props.children}
          <div class="confirm-buttons">
            <button type="button" onClick={() => open(false)}>
              Cancel
            </button>
            <button type="submit" class={props.isDanger ? "danger" : "primary"} disabled={isActing}>
              {props.yes ?? props.button}
            </button>
          </div>
        </form>
      </Dialog>
    </>
  );
}
