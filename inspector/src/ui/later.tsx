/** A part of the page whose code is loaded when it is first seen. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

type Part<Props> = (props: Props) => JSX.Element | null;

/**
 * Makes a stand-in for a part.
 *
 * @param load imports it; it is asked again when that failed and somebody tries again
 */
export function later<Props extends object>(load: () => Promise<Part<Props>>): Part<Props> {
  let loaded: Part<Props> | undefined;
  return function Later(props) {
    const [Known, know] = useState<{ part: Part<Props> } | undefined>(loaded && { part: loaded });
    const [isFailed, fail] = useState(false);
    const [tries, again] = useState(0);
    useEffect(() => {
      if (Known) return;
      fail(false);
      load().then(
        (part) => know({ part: (loaded = part) }),
        () => fail(true),
      );
    }, [tries]);
    if (Known) return <Known.part {...props} />;
    if (!isFailed) return <p class="dim">Loading …</p>;
    return (
      <p class="error" role="alert">
        This part of the page could not be loaded.{" "}
        <button type="button" onClick={() => again(tries + 1)}>
          Try again
        </button>
      </p>
    );
  };
}
