/** A modal dialog of the browser's own: it keeps the focus, and Escape closes it. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

export function Dialog(props: {
  title: string;
  isOpen: boolean;
  /** Hears that it was closed, however. */
  close: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    if (props.isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [props.isOpen]);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={props.close}>
      {props.isOpen && (
        <>
          <div class="dialog-head">
            <h2 id={id}>{props.title}</h2>
            <button type="button" class="quiet close" aria-label="Close" onClick={() => dialog.current?.close()}>
              ✕
            </button>
          </div>
          {props.children}
        </>
      )}
    </dialog>
  );
}
