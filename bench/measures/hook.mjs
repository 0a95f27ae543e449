// A third party's signed request until it is answered: kept, verified, its delivery id claimed. Beside it the same body
// appended to the bare floor, which does none of that.
import { createHmac, randomUUID } from "node:crypto";
import { Connection } from "../load/connection.mjs";
import { withCpu } from "../load/cpu.mjs";
import { percentile } from "../load/numbers.mjs";
import { streamUrl, withoutBreaker } from "../load/stream.mjs";
import { benchSecret } from "../runner/secret.mjs";

/** About 8 kB, as GitHub's are. */
const body = JSON.stringify({ action: "opened", text: "Water that has turned the wheel runs on. ".repeat(200) });
const signature = `sha256=${createHmac("sha256", benchSecret).update(body).digest("hex")}`;

export const hook = {
  name: "hook",
  title: "A signed request of 8 kB by a third party, one after the other",
  contenders: ["bare", "tailrace"],
  rounds: [5, 3],
  metrics: { p50: "p50, ms", p99: "p99, ms", cpu: "CPU a request, µs" },

  async prepare({ url, contender }) {
    await withoutBreaker(url, ["hook"]);
    if (contender !== "tailrace") return;
    const connection = await Connection.open(url);
    const configured = { type: "webhook.configured", payload: { slug: "github", preset: "github" } };
    await connection.post(streamUrl("hook"), JSON.stringify(configured));
    connection.close();
  },

  async run({ url, pid, contender }, { quick }) {
    const connection = await Connection.open(url);
    const path = contender === "tailrace" ? "/hooks/bench/hook?source=github" : streamUrl("hook");
    const count = quick ? 200 : 1000;
    const times = [];
    const { cpu } = await withCpu(pid, async () => {
      for (let sent = 0; sent < count; sent++) {
        const headers = { "x-hub-signature-256": signature, "x-github-delivery": randomUUID() };
        const bytes = connection.prepare(path, body, headers);
        const begun = performance.now();
        await connection.send(bytes);
        times.push(performance.now() - begun);
      }
      return { count };
    });
    connection.close();
    return { p50: percentile(times, 50), p99: percentile(times, 99), cpu };
  },
};
