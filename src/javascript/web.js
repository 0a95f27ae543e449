// What a processor finds of the web that the engine does not have: only texts come in and go out.

const encoder = new TextEncoder();
const PARTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname"];
PARTS.push("search", "hash");

/** At most so many bytes of chance at once, as in browsers. */
const RANDOM_BYTES = 65_536;

export const web = {
  uuid: () => crypto.randomUUID(),
  random: (count) => crypto.getRandomValues(new Uint8Array(Math.min(count, RANDOM_BYTES))).toBase64(),
  encode: (text) => encoder.encode(text).toBase64(),

  /** Nothing if it is to be UTF-8 and is not. */
  decode(base64, options) {
    const [fatal, ignoreBOM] = [options.includes("fatal"), options.includes("ignoreBOM")];
    try {
      return new TextDecoder("utf-8", { fatal, ignoreBOM }).decode(Uint8Array.fromBase64(base64));
    } catch {
      return undefined;
    }
  },

  /** The parts of a URL as JSON, after one of them was set. Nothing if it is none. */
  url(text, base, part, value) {
    try {
      const url = new URL(text, base);
      if (part !== undefined && PARTS.includes(part) && part !== "origin") url[part] = value;
      return JSON.stringify(Object.fromEntries(PARTS.map((name) => [name, url[name]])));
    } catch {
      return undefined;
    }
  },
};
