/** Where things stand in the text of an event: for completion, and to mark what the server does not take. */
import type { SyntaxNode, Tree } from "@lezer/common";

/** What is being written at a place. */
export interface Place {
  /** A name of a field, or a value. */
  readonly kind: "name" | "value";
  /** The type of the event that the place is in, as far as it is there. */
  readonly type: string | undefined;
  /** The names that lead to the object that is written in. */
  readonly path: readonly string[];
  /** The field whose value it is. */
  readonly name?: string;
  /** What is there already, quotes included. */
  readonly from: number;
  readonly to: number;
}

const isValue = ({ name }: SyntaxNode): boolean =>
  ["Object", "Array", "String", "Number", "True", "False", "Null"].includes(name);

/** What is being written at a position; `undefined` where nothing can be offered. */
export function placeAt(tree: Tree, text: string, at: number): Place | undefined {
  const node = tree.resolveInner(at, -1);
  const [from, to] = [node.from, node.to];
  // Behind the closing quote it is written already.
  if (at === to && to - from > 1 && text[to - 1] === '"') return undefined;
  if (node.name === "PropertyName") return within(node.parent?.parent, text, { kind: "name", from, to });
  if (node.name === "String" && node.parent?.name === "Property") {
    return within(node.parent.parent, text, { kind: "value", name: nameOf(node.parent, text), from, to });
  }
  const before = text.slice(0, at).trimEnd();
  const property = node.name === "Property" ? node : node.parent?.name === "Property" ? node.parent : undefined;
  if (property && (before.endsWith(":") || node.name !== "Property")) {
    const start = property.lastChild && property.lastChild !== node && isValue(property.lastChild) ? undefined : at;
    if (start !== undefined) {
      const word = /[\w-]*$/.exec(text.slice(0, at))?.[0].length ?? 0;
      const place = { kind: "value", name: nameOf(property, text), from: at - word, to: at } as const;
      return within(property.parent, text, place);
    }
  }
  const object = node.name === "Object" ? node : node.parent?.name === "Object" ? node.parent : undefined;
  if (object && /[{,]$/.test(before)) return within(object, text, { kind: "name", from: at, to: at });
  return undefined;
}

/** The place in its event: an event in a batch, or what a schedule appends, is one of its own. */
function within(
  object: SyntaxNode | null | undefined,
  text: string,
  place: Pick<Place, "kind" | "name" | "from" | "to">,
): Place | undefined {
  if (object?.name !== "Object") return undefined;
  const path: string[] = [];
  let here: SyntaxNode = object;
  for (;;) {
    let above = here.parent;
    while (above?.name === "Array") above = above.parent;
    if (above?.name !== "Property" || !above.parent) break;
    const name = nameOf(above, text);
    if (name === "event") break;
    path.unshift(name);
    here = above.parent;
  }
  const type = valueOf(here, "type", text);
  const known = type && text.slice(type.from, type.to);
  return { ...place, path, type: known === undefined ? undefined : unquoted(known) };
}

/**
 * Where a field stands that the server names, as far down as there is something: `payload.target.url`.
 *
 * @param index the element of a batch
 */
export function placeOf(
  tree: Tree,
  text: string,
  field: string,
  index?: number,
): { from: number; to: number } | undefined {
  let node = tree.topNode.firstChild;
  let marked: SyntaxNode | undefined;
  if (node?.name === "Array") {
    const elements = childrenOf(node).filter(isValue);
    // Without an index it is the one that has such a field.
    const names = field.split(".");
    marked = index === undefined ? only(elements.filter((element) => reaches(element, names, text))) : elements[index];
    node = marked ?? null;
  }
  if (node?.name === "Object" && !valueOf(node, "type", text)) node = valueOf(node, "event", text) ?? node;
  const names = field.split(/[.[\]]+/).filter(Boolean);
  while (node && names.length > 0) {
    const property: SyntaxNode | undefined = propertyOf(node, names, text);
    if (!property) break;
    marked = property;
    node = childrenOf(property).filter(isValue).at(-1) ?? null;
  }
  if (!marked) return undefined;
  const name = marked.name === "Property" ? marked.firstChild : null;
  const isLong = marked.to - marked.from > 200 || ["Object", "Array"].includes(marked.lastChild?.name ?? "");
  return name && isLong
    ? { from: name.from, to: name.to }
    : { from: marked.from, to: Math.min(marked.to, marked.from + 200) };
}

const only = <T>(found: readonly T[]): T | undefined => (found.length === 1 ? found[0] : undefined);

/** Whether all these names lead somewhere. */
function reaches(object: SyntaxNode, names: readonly string[], text: string): boolean {
  const [name, ...rest] = names;
  const value = name === undefined ? object : valueOf(object, name, text);
  return value !== undefined && (rest.length === 0 || reaches(value, rest, text));
}

/** The property with the next name, which is taken from the list; a name may have dots in it. */
function propertyOf(object: SyntaxNode, names: string[], text: string): SyntaxNode | undefined {
  if (object.name !== "Object") return undefined;
  const properties = childrenOf(object).filter(({ name }) => name === "Property");
  for (let count = 1; count <= names.length; count += 1) {
    const wanted = names.slice(0, count).join(".");
    const found = properties.find((property) => nameOf(property, text) === wanted);
    if (found) {
      names.splice(0, count);
      return found;
    }
  }
  return undefined;
}

function valueOf(object: SyntaxNode, name: string, text: string): SyntaxNode | undefined {
  const property = propertyOf(object, [name], text);
  return property && childrenOf(property).filter(isValue).at(-1);
}

function childrenOf(node: SyntaxNode): SyntaxNode[] {
  const children = [];
  for (let child = node.firstChild; child; child = child.nextSibling) children.push(child);
  return children;
}

function nameOf(property: SyntaxNode, text: string): string {
  const name = property.firstChild;
  return name ? unquoted(text.slice(name.from, name.to)) : "";
}

function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text.replace(/^"|"$/g, "");
  }
}
