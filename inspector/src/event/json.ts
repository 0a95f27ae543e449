/** JSON as it was written, for reading: indented and told apart by kinds, without parsing it. No number is rounded. */

/** What a piece is, for its colour. `mark` is what stands between: brackets, commas, line ends. */
export interface Piece {
  readonly kind: "mark" | "name" | "string" | "number" | "word";
  readonly text: string;
}

/** The text, indented, piece by piece. What is no JSON comes out somehow, and nothing of it is lost. */
export function* indented(text: string): Generator<Piece, void, undefined> {
  // Whether what is open is an object.
  const open: boolean[] = [];
  let isName = false;
  const line = (): string => `\n${"  ".repeat(open.length)}`;
  for (let at = 0; at < text.length;) {
    const char = text.charAt(at);
    if (isSpace(char)) {
      at += 1;
    } else if (char === '"') {
      const end = endOfString(text, at);
      yield { kind: isName ? "name" : "string", text: text.slice(at, end) };
      isName = false;
      at = end;
    } else if (char === "{" || char === "[") {
      const next = afterSpace(text, at + 1);
      if (text.charAt(next) === (char === "{" ? "}" : "]")) {
        yield { kind: "mark", text: char === "{" ? "{}" : "[]" };
        at = next + 1;
        continue;
      }
      open.push(char === "{");
      isName = char === "{";
      yield { kind: "mark", text: char + line() };
      at += 1;
    } else if (char === "}" || char === "]") {
      open.pop();
      yield { kind: "mark", text: line() + char };
      at += 1;
    } else if (char === ",") {
      isName = open.at(-1) ?? false;
      yield { kind: "mark", text: `,${line()}` };
      at += 1;
    } else if (char === ":") {
      yield { kind: "mark", text: ": " };
      at += 1;
    } else {
      let end = at + 1;
      while (end < text.length && !isSpace(text.charAt(end)) && !'{}[],:"'.includes(text.charAt(end))) end += 1;
      yield { kind: /[-\d]/.test(char) ? "number" : "word", text: text.slice(at, end) };
      at = end;
    }
  }
}

/** The first so many characters of the text, indented. */
export function beginning(text: string, most: number): { pieces: Piece[]; isWhole: boolean } {
  const pieces: Piece[] = [];
  let length = 0;
  for (const piece of indented(text)) {
    if (length + piece.text.length > most) {
      pieces.push({ ...piece, text: whole(piece.text, most - length) });
      return { pieces, isWhole: false };
    }
    length += piece.text.length;
    pieces.push(piece);
  }
  return { pieces, isWhole: true };
}

/** The whole text, indented, in chunks of about so many characters that end with lines where there are any. */
export function chunks(text: string, size: number): string[] {
  const found: string[] = [];
  let chunk = "";
  const cut = (): void => {
    while (chunk.length > size) {
      const end = chunk.lastIndexOf("\n", size - 1);
      const part = end > 0 ? chunk.slice(0, end + 1) : whole(chunk, size);
      found.push(part);
      chunk = chunk.slice(part.length);
    }
  };
  for (const piece of indented(text)) {
    chunk += piece.text;
    if (chunk.length > 2 * size) cut();
  }
  cut();
  if (chunk) found.push(chunk);
  return found;
}

/** The fields of an object, each value as it is written. */
export function rawFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let depth = 0;
  let name: string | undefined;
  let from = 0;
  const close = (end: number): void => {
    if (name !== undefined) fields.set(name, text.slice(from, end).trim());
    name = undefined;
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '"') {
      const end = endOfString(text, at);
      if (depth === 1 && name === undefined) {
        name = JSON.parse(text.slice(at, end)) as string;
        from = text.indexOf(":", end) + 1;
        at = from - 1;
      } else at = end - 1;
    } else if (char === "{" || char === "[") depth += 1;
    else if (char === "}" || char === "]") {
      if (depth === 1) close(at);
      depth -= 1;
    } else if (char === "," && depth === 1) close(at);
  }
  return fields;
}

const isSpace = (char: string): boolean => char === " " || char === "\n" || char === "\r" || char === "\t";

function afterSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text.charAt(at))) at += 1;
  return at;
}

/** Behind the closing quote. Found without a regular expression: those give up on texts of a megabyte. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charAt(at - 1 - escapes) === "\\") escapes += 1;
    if (escapes % 2 === 0) return at + 1;
  }
  return text.length;
}

/** Cut so that no character is halved. */
function whole(text: string, length: number): string {
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length);
}
