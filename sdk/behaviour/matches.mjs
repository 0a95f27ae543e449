// Compares what came with what was expected, as the README says.

/**
 * Where and how they differ; `undefined` when they do not.
 *
 * @param {unknown} actual
 * @param {unknown} expected
 * @param {{names?: Map<string, unknown>, whole?: boolean}} [settings] `names`: what was found under a name before;
 *   `whole`: objects hold nothing that is not expected
 * @returns {string | undefined}
 */
export function matches(actual, expected, { names = new Map(), whole = false } = {}) {
  const differs = (at) => `${at}: ${shown(actual)} is not ${shown(expected)}`;
  if (expected === null || typeof expected !== "object") return actual === expected ? undefined : differs("");
  if ("$any" in expected) return undefined;
  if ("$absent" in expected) return actual === undefined ? undefined : differs("");
  if ("$string" in expected) return typeof actual === "string" && actual !== "" ? undefined : differs("");
  if ("$empty" in expected) return actual === undefined || isEmpty(actual) ? undefined : differs("");
  if ("$is" in expected) {
    if (!names.has(expected.$is) && actual !== undefined) names.set(expected.$is, actual);
    return names.get(expected.$is) === actual && actual !== undefined ? undefined : differs("");
  }
  if ("$not" in expected) return actual !== undefined && names.get(expected.$not) !== actual ? undefined : differs("");
  if ("$oneOf" in expected) {
    const fits = expected.$oneOf.some((one) => matches(actual, one, { names, whole }) === undefined);
    return fits ? undefined : differs("");
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return differs("");
    const length = Math.max(actual.length, expected.length);
    return first(length, (index) => {
      if (index >= expected.length) return `[${index}]: ${shown(actual[index])} is one too many`;
      return within(`[${index}]`, matches(actual[index], expected[index], { names, whole }));
    });
  }
  if (actual === null || typeof actual !== "object" || Array.isArray(actual)) return differs("");
  const keys = Object.keys(expected);
  const more = whole && Object.keys(actual).find((key) => !Object.hasOwn(expected, key));
  if (more) return `.${more}: ${shown(actual[more])} is not expected`;
  return first(keys.length, (index) => {
    const key = keys[index];
    const inner = Object.hasOwn(actual, key) ? actual[key] : undefined;
    return within(`.${key}`, matches(inner, expected[key], { names, whole }));
  });
}

const isEmpty = (value) => Array.isArray(value) && value.length === 0;
const within = (at, differs) => differs && at + differs;

function first(length, find) {
  for (let index = 0; index < length; index += 1) {
    const found = find(index);
    if (found) return found;
  }
  return undefined;
}

const shown = (value) => {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
};
