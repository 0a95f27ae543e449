/** A command that does again what an event came from, for a shell. Whatever the event says stays inside its quotes. */
import { rawFields } from "./json.ts";
import { fieldsOf, textOf } from "./payload.ts";
import { visible, withoutHidden } from "../ui/visible.ts";

export interface Place {
  /** Where Tailrace is: `https://tailrace.example`. */
  readonly origin: string;
  readonly path: string;
  /** Whether calls need a token. Its place is in the command, the token is not. */
  readonly hasToken: boolean;
}

/** What no client may write again: the command reads it instead. */
const isSystems = (type: string): boolean =>
  /^(stream\.(created|child-created|child-deleted)|schedule\.ended|subscription\.halted|imported\..*)$/.test(type);

/** Without `-g` brackets in a URL would be ranges of URLs. */
const CURL = "curl -g";

/** A shell takes an argument of 128 KiB at most; a longer body is given to curl's input. */
const LONGEST_ARGUMENT = 100_000;
const END = "TAILRACE_EVENT";

/**
 * The command for an event.
 *
 * @param line the event as it is stored
 * @returns one that appends the type, payload and metadata again to the stream; for a hook, that sends the same bytes
 *   again to it; for what only the system writes, that reads the event
 */
export function curlOf(line: string, { origin, path, hasToken }: Place): string {
  const fields = rawFields(line);
  const type = JSON.parse(fields.get("type") ?? '""') as string;
  const offset = Number(fields.get("offset"));
  const token = hasToken ? ' -H "Authorization: Bearer $TAILRACE_TOKEN"' : "";
  if (type === "webhook.received") return hookAgain(fields.get("payload") ?? "{}", { origin, path, token, offset });
  const url = `${origin}/api/streams${path}`;
  if (isSystems(type)) {
    return `${CURL}${token} ${quoted(`${url}?afterOffset=${offset - 1}&beforeOffset=${offset + 1}`)}`;
  }
  const body = visible(bodyOf(fields));
  if (body.length <= LONGEST_ARGUMENT) return `${CURL}${token} ${quoted(url)} -d ${quoted(body)}`;
  return `${CURL}${token} ${quoted(url)} --data-binary @- <<'${END}'\n${body}\n${END}`;
}

/** The event as its writer sent it; what metadata says of the system's is left out, for nobody else may write that. */
function bodyOf(fields: Map<string, string>): string {
  const parts = [`"type":${fields.get("type")}`];
  const payload = fields.get("payload");
  if (payload !== undefined) parts.push(`"payload":${payload}`);
  const metadata = rawFields(fields.get("metadata") ?? "{}");
  metadata.delete("tailrace");
  const kept = [...metadata].map(([name, value]) => `${JSON.stringify(name)}:${value}`);
  if (kept.length > 0) parts.push(`"metadata":{${kept.join(",")}}`);
  return `{${parts.join(",")}}`;
}

/** Headers that belong to a connection or to the way, not to what was sent. */
const isOfTheWay = (name: string): boolean =>
  /^(host|connection|content-length|accept-encoding|transfer-encoding|expect|via|forwarded|cdn-loop|priority|user-agent|accept|x-real-ip)$|^(cf-|x-forwarded-|sec-)/i.test(
    name,
  );

function hookAgain(raw: string, at: { origin: string; path: string; token: string; offset: number }): string {
  const payload = fieldsOf(JSON.parse(raw));
  const method = textOf(payload["method"]) ?? "POST";
  const bytes = `${CURL} -s${at.token} ${quoted(`${at.origin}/api/raw${at.path}?offset=${at.offset}`)}`;
  const headers = Object.entries(fieldsOf(payload["headers"]))
    .filter(([name, value]) => !isOfTheWay(name) && typeof value === "string" && value !== "[redacted]")
    .map(([name, value]) => ` -H ${quoted(withoutHidden(`${name}: ${String(value)}`))}`)
    .join("");
  const query = /\?[^#]*/.exec(textOf(payload["url"]) ?? "")?.[0] ?? "";
  const url = quoted(withoutHidden(`${at.origin}/hooks${at.path}${query}`));
  return payload["size"] === 0
    ? `${CURL} -X ${quoted(method)}${headers} ${url}`
    : `${bytes} | ${CURL} -X ${quoted(method)}${headers} --data-binary @- ${url}`;
}

/** In quotes for a shell. Within single quotes only a single quote means something; in fish a backslash before one, too. */
export const quoted = (text: string): string => `'${text.replace(/'|\\(?=['\\]|$)/g, (mark) => `'\\${mark}'`)}'`;
