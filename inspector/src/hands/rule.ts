/** When a schedule fires, in words. */

/** As `/api/state` has it. */
export interface Schedule {
  readonly slug: string;
  readonly at?: string;
  readonly after?: number;
  readonly every?: number;
  readonly cron?: string;
  readonly timezone?: string;
  readonly maxRuns?: number;
  readonly until?: string;
  readonly event: { readonly type: string };
  readonly children?: true;
  /** The event that configured it. */
  readonly offset: number;
  readonly nextRun?: string;
  readonly runs?: number;
}

/** `every 1 h 30 min`, `once`, `at 09:00, Monday to Friday`. */
export function ruleWords({ at, after, every, cron }: Schedule): string {
  if (every !== undefined) return `every ${duration(every)}`;
  if (at !== undefined) return "once";
  if (after !== undefined) return after === 0 ? "once, at once" : `once, after ${duration(after)}`;
  return cron === undefined ? "" : (cronWords(cron) ?? "by the clock");
}

/** What ends it: `at most 3 times, until 2030-01-01T00:00:00Z`; empty when nothing does. */
export function endWords({ maxRuns, until }: Schedule): string {
  const ends = [];
  if (maxRuns !== undefined) ends.push(maxRuns === 1 ? "once at most" : `at most ${maxRuns} times`);
  if (until !== undefined) ends.push(`until ${until}`);
  return ends.join(", ");
}

const units = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
  [1, "ms"],
] as const;

/** A duration, exactly: `1 h 30 min`. */
export function duration(ms: number): string {
  const parts = [];
  let rest = ms;
  for (const [size, name] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(" ") || "0 s";
}

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** The usual expressions in words; `undefined` for the others, which stand there as they are. */
export function cronWords(cron: string): string | undefined {
  const fields = cron.trim().split(/\s+/);
  const hasSeconds = fields.length === 6;
  const [seconds = "0", minute, hour, day, month, weekday] = hasSeconds ? fields : ["0", ...fields];
  if (minute === undefined || hour === undefined || day !== "*" || month !== "*" || weekday === undefined)
    return undefined;
  if (!hasSeconds || seconds === "0") return inMinutes(minute, hour, weekday);
  const step = /^\*\/(\d+)$/.exec(seconds)?.[1];
  if (minute !== "*" || hour !== "*" || weekday !== "*") return undefined;
  if (seconds === "*") return "every second";
  return step === undefined ? undefined : `every ${step} s of a minute`;
}

function inMinutes(minute: string, hour: string, weekday: string): string | undefined {
  const on = weekdays(weekday);
  if (on === undefined) return undefined;
  const step = /^\*\/(\d+)$/.exec(minute)?.[1];
  if (hour === "*" && minute === "*") return `every minute${on && `, ${on}`}`;
  if (hour === "*" && step !== undefined) return `every ${step} min of an hour${on && `, ${on}`}`;
  if (!/^\d{1,2}$/.test(minute)) return undefined;
  if (hour === "*") return `at :${minute.padStart(2, "0")} of every hour${on && `, ${on}`}`;
  if (!/^\d{1,2}$/.test(hour)) return undefined;
  return `at ${hour.padStart(2, "0")}:${minute.padStart(2, "0")}, ${on || "every day"}`;
}

/** Empty for every day. */
function weekdays(weekday: string): string | undefined {
  if (weekday === "*") return "";
  const range = /^([0-7])-([0-7])$/.exec(weekday);
  if (range) return `${days[Number(range[1])]} to ${days[Number(range[2])]}`;
  if (!/^[0-7](,[0-7])*$/.test(weekday)) return undefined;
  return weekday
    .split(",")
    .map((day) => days[Number(day)])
    .join(", ");
}
