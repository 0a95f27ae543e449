/** Who is handed the stream's events: how each subscription stands, why it does not go on, and what can be done. */
import "./hands.css";
import "./subscriptions.css";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { OpenStream } from "../log/open.ts";
import { Begin } from "./begin.tsx";
import { useReports, type Report } from "./report.ts";
import { SubscriptionCard } from "./subscription.tsx";
import { useNow } from "../ui/now.ts";

const variants = [
  ["pull", "subscription.configured (pull)"],
  ["push", "subscription.configured (push)"],
  ["agent", "subscription.configured (agent)"],
  ["JavaScript", "subscription.configured (javascript)"],
] as const;

/** Who needs a person comes first. */
const order = ["halted", "blocked", "retrying", "paused", "delivering", "pending", "idle"];
const rank = ({ status }: Report): number => order.indexOf(status);

export function Subscriptions({ stream }: { stream: OpenStream }): JSX.Element {
  const { reports, trouble } = useReports(stream);
  const now = useNow();
  const [chosen, choose] = useState<Readonly<Record<string, boolean>>>({});
  const sorted = reports?.toSorted((one, other) => rank(one) - rank(other) || (one.slug < other.slug ? -1 : 1));
  return (
    <>
      <Begin stream={stream} title="Subscription" variants={variants}>
        {reports?.length === 0 &&
          "A subscription hands the stream's events, in order, to a URL, to workers that fetch them, to a language model, or to code."}
      </Begin>
      {trouble && (
        <p class="error" role="alert">
          {trouble}
        </p>
      )}
      {!reports && !trouble && <p class="dim">Loading …</p>}
      <ul class="cards">
        {sorted?.map((report) => {
          const isOpen = chosen[report.slug] ?? (sorted.length === 1 || ["halted", "retrying"].includes(report.status));
          return (
            <li key={report.slug} class="card" data-status={report.status}>
              <SubscriptionCard
                stream={stream}
                report={report}
                now={now}
                isOpen={isOpen}
                toggle={() => choose((all) => ({ ...all, [report.slug]: !isOpen }))}
              />
            </li>
          );
        })}
      </ul>
    </>
  );
}
