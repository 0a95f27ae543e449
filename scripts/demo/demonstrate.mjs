// Puts the demo's parts together: Tailrace, a model, tools, a live tail of everything, and the scene.
import { once } from "node:events";
import { start } from "../runtime.mjs";
import { freePort } from "../runtime/processes.mjs";
import { aModel } from "./model.mjs";
import { play } from "./scene.mjs";
import { Tails } from "./tails.mjs";
import { Terminal } from "./terminal.mjs";
import { serveTools } from "./tools.mjs";

/** The agent's stream. */
const path = "/demo/travel";

/** How fast things happen: for people, and for whoever has no eyes. Milliseconds; `after` is a duration. */
const paces = {
  watched: { token: 45, pause: 1_500, approval: 20_000, after: "PT6S" },
  quick: { token: 1, pause: 0, approval: 500, after: "PT1S" },
};

/**
 * Runs the demo to its end, which is the scene's with `once`, else that of `signal`. Returns the exit code.
 *
 * @param {{build: string, port?: number, once: boolean, quick: boolean, signal: AbortSignal}} settings
 */
export async function demonstrate({ build, port, once: isOnce, quick, signal }) {
  const pace = quick ? paces.quick : paces.watched;
  const ends = [];
  try {
    const model = await aModel(process.env, pace);
    ends.push(model.stop);
    const tools = await serveTools();
    ends.push(tools.stop);
    const vars = { TAILRACE_OPEN: "1", TAILRACE_LOOPBACK_TARGETS: "1", ...model.vars };
    const runtime = await start({ build, port: port ?? (await freePort(8787).catch(() => 0)), vars });
    ends.push(() => runtime.stop());

    const terminal = new Terminal(process.stdout, { url: runtime.url, main: path });
    const tails = new Tails(runtime.url, signal, {
      onEvent: (event) => terminal.event(event),
      onSpeech: (streamPath, speech) => terminal.speech(streamPath, speech),
    });
    ends.push(() => tails.close());
    terminal.say(
      `Every event of an agent, as it happens. The model is ${model.name}.`,
      `On a page: ${runtime.url}/streams${path}`,
    );
    const scene = { url: runtime.url, path, tails, terminal, model, tools, pace, signal };
    const isWell = await play(scene);
    if (isOnce) return isWell ? 0 : 1;

    const input = JSON.stringify({ type: "agent.input-added", payload: { content: "What is the weather in Oslo?" } });
    terminal.say(
      "It goes on until Ctrl-C. Talk to the agent:",
      `curl ${runtime.url}/api/streams${path} -d '${input}'`,
      `All that it is: curl ${runtime.url}/api/streams${path}`,
      `What the model was sent: curl "${runtime.url}/api/agents${path}?slug=guide"`,
    );
    if (!signal.aborted) await once(signal, "abort");
    return 0;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
