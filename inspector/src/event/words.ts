/** What is configured, in words. */
import { fieldsOf, nameOf, numberOf, textOf, type Fields } from "./payload.ts";

/** Milliseconds of a duration: a number, or ISO 8601 of weeks, days, hours, minutes and seconds. */
export function durationMs(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  const parts = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$/i.exec(
    textOf(value) ?? "",
  );
  if (!parts) return undefined;
  const [, weeks, days, hours, minutes, seconds] = parts.map((part: string | undefined) =>
    Number((part ?? "0").replace(",", ".")),
  );
  const inDays = (weeks ?? 0) * 7 + (days ?? 0);
  return ((inDays * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60_000 + Math.round((seconds ?? 0) * 1_000);
}

const units: readonly [ms: number, name: string][] = [
  [7 * 86_400_000, "week"],
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1_000, "second"],
];

/** `10 minutes`, `1 hour 30 minutes`, `1.5 seconds`. */
export function lasting(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  const words: string[] = [];
  let rest = ms;
  for (const [size, name] of units) {
    const count = name === "second" ? rest / 1_000 : Math.floor(rest / size);
    if (count === 0) continue;
    words.push(`${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`);
    rest -= count * size;
  }
  return words.join(" ");
}

/** When a schedule fires: `every 10 minutes`, `once, 6 seconds later`, `at 09:00, Monday to Friday, Europe/Berlin`. */
export function rhythm({ at, after, every, cron, timezone, maxRuns, until }: Fields): string {
  const ends = [
    ...(numberOf(maxRuns) === undefined ? [] : [`${String(maxRuns)} times at most`]),
    ...(textOf(until) === undefined ? [] : [`until ${String(until)}`]),
  ];
  return [when({ at, after, every, cron, timezone }), ...ends].join(", ");
}

function when({ at, after, every, cron, timezone }: Fields): string {
  if (at !== undefined) return `once, at ${nameOf(at) ?? "?"}`;
  const [later, apart] = [durationMs(after), durationMs(every)];
  if (after !== undefined)
    return later === undefined ? `once, after ${nameOf(after) ?? "?"}` : `once, ${lasting(later)} later`;
  if (every !== undefined) {
    if (apart === undefined) return `every ${nameOf(every) ?? "?"}`;
    return `every ${lasting(apart).replace(/^1 (\w+)$/, "$1")}`;
  }
  if (typeof cron === "string") return [ofCron(cron), textOf(timezone) ?? "UTC"].join(", ");
  return "never";
}

const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const shortWeekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/** The common cron expressions in words, the others as they are. */
export function ofCron(cron: string): string {
  const fields = cron.trim().split(/\s+/);
  const [second, minute, hour, day, month, weekday] = fields.length === 5 ? ["0", ...fields] : fields;
  const asItIs = `whenever the clock shows ${cron}`;
  if (fields.length < 5 || fields.length > 6 || day !== "*" || month !== "*" || second !== "0") return asItIs;
  const days = ofWeekdays(weekday ?? "");
  if (days === undefined) return asItIs;
  const isNumber = (field: string | undefined): field is string => /^\d{1,2}$/.test(field ?? "");
  const step = (field: string | undefined): string | undefined => /^(?:\*|0)\/(\d{1,2})$/.exec(field ?? "")?.[1];
  const two = (field: string): string => field.padStart(2, "0");
  const steps = step(minute);
  let time: string | undefined;
  if (hour === "*" && minute === "*") time = "every minute";
  else if (hour === "*" && steps && 60 % Number(steps) === 0) time = `every ${lasting(Number(steps) * 60_000)}`;
  else if (hour === "*" && isNumber(minute)) time = minute === "0" ? "every hour" : `every hour, at ${minute} past`;
  else if (isNumber(hour) && isNumber(minute)) time = `at ${two(hour)}:${two(minute)}`;
  if (time === undefined) return asItIs;
  if (days === "") return time.startsWith("at") ? `every day ${time}` : time;
  return `${time}, ${days}`;
}

function ofWeekdays(field: string): string | undefined {
  if (field === "*" || field === "?") return "";
  const day = (text: string): string | undefined => {
    const at = /^[0-7]$/.test(text) ? Number(text) : shortWeekdays.indexOf(text.toUpperCase());
    return weekdays[at];
  };
  const range = field.split("-");
  if (range.length === 2) {
    const [from, to] = range.map(day);
    return from && to ? `${from} to ${to}` : undefined;
  }
  const days = field.split(",").map(day);
  return days.every((it) => it !== undefined) ? days.join(", ") : undefined;
}

/** Who a subscription hands events to: `POST https://…`, `workers that pull`, `the model gpt-4.1-mini`, `JavaScript`. */
export function targetWords(target: unknown): string {
  const { url, pull, agent, javascript } = fieldsOf(target);
  if (typeof url === "string") return url;
  if (pull === true) return "workers that pull";
  if (agent !== undefined) return `the model ${textOf(fieldsOf(agent)["model"]) ?? "?"}`;
  return javascript === undefined ? "nobody" : "JavaScript";
}

/** `130 events in 1 second, 100 are allowed`. */
export function breakerWords(breaker: unknown): string | undefined {
  const { limit, windowMs, observed } = fieldsOf(breaker);
  const window = numberOf(windowMs);
  if (numberOf(observed) === undefined || window === undefined) return undefined;
  return `${String(observed)} events in ${lasting(window)}, ${String(limit)} are allowed`;
}

/** What a hook's verification came to. */
export function verifiedWords({ verified, reason }: Fields): string {
  if (verified === true) return "verified";
  const why = textOf(reason);
  if (verified === false) return `does not verify${why ? `: ${why}` : ""}`;
  return why ? `not verified: ${why}` : "not verified";
}
