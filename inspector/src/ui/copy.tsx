/** A button that puts a text into the clipboard, and says so. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** @param props.text the text, or what makes it when it is wanted */
export function Copy(props: {
  text: string | (() => string | Promise<string>);
  label?: string;
  children: ComponentChildren;
}): JSX.Element {
  const [said, say] = useState<string | undefined>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(typeof props.text === "string" ? props.text : await props.text());
      say("Copied");
    } catch {
      say("Not copied");
    }
    clearTimeout(timer.current);
    timer.current = setTimeout(() => say(undefined), 1_500);
  };
  return (
    <button type="button" class="quiet copy" aria-label={said ?? props.label} onClick={() => void copy()}>
      {said ?? props.children}
    </button>
  );
}
