/** A request as a provider would send it, without its signature: so one sees a hook land without waiting for a provider. */
import type { Preset } from "./presets.ts";

/** What the server said to it. */
export interface Answer {
  readonly words: string;
  /** The event that it became, if the server said so. */
  readonly offset?: number;
  readonly isRefused: boolean;
}

/** @param url of the hook, with its source */
export async function sendSample(url: string, preset: Preset | undefined): Promise<Answer> {
  const { headers = { "content-type": "application/json" }, body = { hello: "world" }, form } = preset?.sample ?? {};
  const number = Math.floor(Math.random() * 1e9);
  const random = number.toString(36);
  const fill = (text: string): string => text.replaceAll('"{number}"', String(number)).replaceAll("{random}", random);
  const fields = Object.entries(form ?? {}).map(([name, value]) => [name, fill(value)]);
  const sent = form ? new URLSearchParams(fields) : fill(JSON.stringify(body));
  const filled = Object.entries(headers).map(([name, value]) => [name, fill(value)] as const);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: Object.fromEntries(filled),
      body: sent,
      credentials: "omit",
    });
    return said(response.status, await response.text());
  } catch {
    return { words: "The server cannot be reached", isRefused: true };
  }
}

function said(status: number, text: string): Answer {
  const answer = parsed(text) as { offset?: unknown; detail?: unknown } | undefined;
  const offset = typeof answer?.offset === "number" ? answer.offset : undefined;
  if (status === 202) return { words: "202: parked", isRefused: false };
  if (status < 300)
    return { words: `${status}: stored`, isRefused: false, ...(offset === undefined ? {} : { offset }) };
  const why = typeof answer?.detail === "string" ? answer.detail : text.slice(0, 200);
  return { words: `${status}: ${why || "refused"}`, isRefused: true };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
