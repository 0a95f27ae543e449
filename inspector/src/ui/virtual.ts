/** TanStack's virtualizer as a hook: it renders anew when another row comes into sight. */
import {
  defaultRangeExtractor,
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type VirtualizerOptions,
} from "@tanstack/virtual-core";
import { useCallback, useLayoutEffect, useState } from "preact/hooks";

/**
 * @param of.height of every row, in pixels
 * @param of.kept a row that stays though it is out of sight: the one that has the focus would lose it
 */
export function useVirtualizer(of: {
  count: number;
  height: number;
  box: { readonly current: HTMLDivElement | null };
  kept?: number | undefined;
}): Virtualizer<HTMLDivElement, Element> {
  const { count, height, box, kept } = of;
  const [, render] = useState(0);
  const again = useCallback(() => render((times) => times + 1), []);
  const options: VirtualizerOptions<HTMLDivElement, Element> = {
    count,
    estimateSize: () => height,
    getScrollElement: () => box.current,
    overscan: 12,
    // What floats above the last rows hides none that somebody goes to.
    scrollPaddingEnd: 2 * height,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    rangeExtractor: (range) => {
      const seen = defaultRangeExtractor(range);
      if (kept === undefined || kept < 0 || kept >= count || seen.includes(kept)) return seen;
      return [...seen, kept].sort((one, other) => one - other);
    },
    onChange: again,
  };
  const [virtual] = useState(() => new Virtualizer(options));
  virtual.setOptions(options);
  useLayoutEffect(() => virtual._didMount(), []);
  useLayoutEffect(() => virtual._willUpdate());
  useLayoutEffect(() => virtual.measure(), [height]);
  return virtual;
}
