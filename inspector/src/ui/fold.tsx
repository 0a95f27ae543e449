/** Something large that stands folded until somebody wants to see it. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { visible } from "./visible.ts";

/** So many characters are shown at once; a text of a megabyte would halt the page. */
const MOST = 20_000;

/** @param props.children what is shown, or what makes it when it is unfolded */
export function Fold(props: { title: ComponentChildren; children: () => ComponentChildren }): JSX.Element {
  const [isOpen, open] = useState(false);
  return (
    <details class="fold" onToggle={({ currentTarget }) => open(currentTarget.open)}>
      <summary>{props.title}</summary>
      {isOpen && props.children()}
    </details>
  );
}

/** Any JSON as text, folded. */
export function FoldedJson({ title, value }: { title: ComponentChildren; value: unknown }): JSX.Element {
  return <Fold title={title}>{() => <Json value={value} />}</Fold>;
}

/** Any JSON as text; what is very long is cut, and says so. */
export function Json({ value }: { value: unknown }): JSX.Element {
  const [isWhole, whole] = useState(false);
  const text = value === undefined ? "" : visible(JSON.stringify(value, null, 2));
  const isCut = text.length > MOST && !isWhole;
  return (
    <>
      <pre class="json-text" tabIndex={0}>
        {isCut ? `${text.slice(0, MOST)} …` : text}
      </pre>
      {isCut && (
        <button type="button" class="quiet" onClick={() => whole(true)}>
          All {text.length.toLocaleString("en")} characters
        </button>
      )}
    </>
  );
}
