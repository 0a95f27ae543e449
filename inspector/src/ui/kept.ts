/** What the browser keeps for us. Where it keeps nothing (its owner may forbid it), the page works without. */
export function kept(storage: "localStorage" | "sessionStorage", key: string): string | null {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

/** @param value `null` forgets it */
export function keep(storage: "localStorage" | "sessionStorage", key: string, value: string | null): void {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, value);
  } catch {
    // It lasts as long as the page, then.
  }
}
