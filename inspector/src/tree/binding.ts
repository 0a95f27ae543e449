/** Headless Tree for Preact: which rows there are, which one the keys are on, and the keys themselves. */
import {
  buildProxiedInstance,
  createTree,
  hotkeysCoreFeature,
  syncDataLoaderFeature,
  type FeatureImplementation,
  type TreeInstance,
} from "@headless-tree/core";
import { useCallback, useLayoutEffect, useRef, useState } from "preact/hooks";

/** The row that nobody sees, above all others. */
const TOP = "top";

export interface Grown {
  readonly tree: TreeInstance<string>;
  readonly unfold: (ids: readonly string[]) => void;
}

/**
 * A tree whose rows are known by text, and have no other data.
 *
 * @param of.change another value when rows have come or gone
 * @param of.focus puts the focus of the page on the row that the keys are on
 */
export function useTree(of: {
  change: unknown;
  top: readonly string[];
  unfolded: readonly string[];
  below: (id: string) => readonly string[];
  isFolder: (id: string) => boolean;
  focus: () => void;
}): Grown {
  const [, render] = useState(0);
  const again = useCallback(() => render((times) => times + 1), []);
  const current = useRef(of);
  current.current = of;
  const [tree] = useState(() => {
    // The keys move further than the rows that exist: what to do then only the list knows.
    const focus: FeatureImplementation<string> = {
      key: "focus",
      treeInstance: { updateDomFocus: () => current.current.focus() },
    };
    return createTree<string>({
      rootItemId: TOP,
      initialState: { expandedItems: [...of.unfolded] },
      features: [syncDataLoaderFeature, hotkeysCoreFeature, focus],
      // Thousands of rows need no methods of their own.
      instanceBuilder: buildProxiedInstance,
      dataLoader: {
        getItem: (id) => id,
        getChildren: (id) => [...(id === TOP ? current.current.top : current.current.below(id))],
      },
      getItemName: (item) => item.getId(),
      isItemFolder: (item) => current.current.isFolder(item.getId()),
      setState: again,
    });
  });
  useLayoutEffect(() => {
    tree.setMounted(true);
    return () => tree.setMounted(false);
  }, [tree]);
  useLayoutEffect(() => tree.rebuildTree(), [tree, of.change]);
  const unfold = useCallback(
    (ids: readonly string[]) => {
      const { expandedItems } = tree.getState();
      const more = ids.filter((id) => !expandedItems.includes(id));
      if (more.length === 0) return;
      tree.applySubStateUpdate("expandedItems", (now) => [...now, ...more]);
      tree.rebuildTree();
    },
    [tree],
  );
  return { tree, unfold };
}
