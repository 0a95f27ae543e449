/** Reads payloads of which nothing is certain: whoever may append may write anything under a known type. */

export type Fields = Readonly<Record<string, unknown>>;

/** A number as it was written, that JavaScript cannot hold exactly. See {@link parse}. */
export interface Exact {
  readonly rawJSON: string;
}

interface ExactJson {
  parse(text: string, revive: (name: string, value: unknown, context?: { source?: string }) => unknown): unknown;
  rawJSON?(text: string): Exact;
  isRawJSON?(value: unknown): boolean;
}
const json = JSON as unknown as ExactJson;

/** Parses JSON. Numbers of more digits than JavaScript keeps stay as they are written, where the browser can do that. */
export function parse(text: string): unknown {
  // Looking at every value takes long, and few events have such numbers.
  if (!/[\d.]{16}|\de[+-]?\d{3}/i.test(text)) return JSON.parse(text);
  return json.parse(text, (_, value, context) => {
    if (typeof value !== "number" || !context?.source || !json.rawJSON) return value;
    return isRounded(value, context.source) ? json.rawJSON(context.source) : value;
  });
}

const isRounded = (value: number, source: string): boolean =>
  (/\d{16}/.test(source.replace(".", "")) && String(value) !== source) || !Number.isFinite(value);

export const isExact = (value: unknown): value is Exact => json.isRawJSON?.(value) ?? false;

/** The fields of an object; of anything else none. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

export const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

export const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

/** A text or a number as a text: what a name may be. */
export function nameOf(value: unknown): string | undefined {
  if (isExact(value)) return value.rawJSON;
  return typeof value === "number" ? String(value) : textOf(value);
}

/** So many parts of a list are shown at once. */
export const MOST_PARTS = 50;

/** What is said: a text, or the texts of a list of parts. Images are named, not shown. */
export function said(content: unknown): string | undefined {
  if (!Array.isArray(content)) return textOf(content);
  // Who sends more parts sends them to be looked at one by one.
  const parts = content.slice(0, MOST_PARTS).map((part) => {
    const { type, text, url } = fieldsOf(part);
    return type === "image" ? `[image ${textOf(url)?.slice(0, 100) ?? ""}]` : textOf(text);
  });
  return parts.filter((part) => part !== undefined).join("\n");
}

/** A value as JSON on one line, of which no more is written than is wanted. */
export function brief(value: unknown, most = 300): string {
  const out = new Brief(most);
  out.value(value);
  return out.text;
}

/** The same for arguments of a call: `city: "Lisbon", nights: 2`. */
export function briefArguments(value: unknown, most = 300): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return brief(value, most);
  const out = new Brief(most);
  out.fields(value as Fields, (name) => `${name}: `);
  return out.text;
}

class Brief {
  #text = "";
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get text(): string {
    return this.#isFull ? `${this.#text.slice(0, this.#most - 1)}…` : this.#text;
  }

  get #isFull(): boolean {
    return this.#text.length > this.#most;
  }

  value(value: unknown): void {
    if (typeof value === "string") this.#text += JSON.stringify(value.slice(0, this.#most));
    else if (Array.isArray(value)) this.#list(value);
    else if (isExact(value)) this.#text += value.rawJSON;
    else if (typeof value === "object" && value !== null) {
      this.#text += "{";
      this.fields(value as Fields, (name) => `${JSON.stringify(name)}:`);
      this.#text += "}";
    } else this.#text += String(value);
  }

  fields(fields: Fields, label: (name: string) => string): void {
    let isFirst = true;
    for (const name in fields) {
      if (this.#isFull) return;
      this.#text += (isFirst ? "" : ", ") + label(name.slice(0, this.#most));
      this.value(fields[name]);
      isFirst = false;
    }
  }

  #list(list: readonly unknown[]): void {
    this.#text += "[";
    for (const [index, item] of list.entries()) {
      if (this.#isFull) return;
      if (index > 0) this.#text += ", ";
      this.value(item);
    }
    this.#text += "]";
  }
}
