/** What a panel begins with: what it is about while there is nothing, and templates to make the first one. */
import type { ComponentChildren, JSX } from "preact";
import { compose } from "./draft.ts";
import type { OpenStream } from "../log/open.ts";
import { template } from "./templates.ts";

export function Begin(props: {
  stream: OpenStream;
  /** What is made: `Schedule`. */
  title: string;
  /** The words of a button, and the template that it opens. */
  variants: readonly (readonly [words: string, title: string])[];
  children?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="nothing-here">
      {props.children && <p>{props.children}</p>}
      <div class="panel-acts" role="group" aria-label={`New ${props.title.toLowerCase()}`}>
        {props.variants.map(([words, title]) => (
          <button key={title} type="button" onClick={() => compose(props.stream.path, template(title))}>
            + <span class="unseen">New {props.title.toLowerCase()}: </span>
            {words}
          </button>
        ))}
      </div>
    </div>
  );
}
