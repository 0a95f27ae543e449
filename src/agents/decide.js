// An agent decides with what it leased. What it decides is in decide.rs; here is what waits for it.
import { Front } from "../../build/index.js";

/**
 * Says what is to be settled. What must happen outside happens before that: whoever dies in between does it again, and to
 * do it twice is the same as once.
 *
 * @param requests requests that were made in this delivery, by id: the turn that they start is delivered next.
 */
export async function decide(env, stream, leased, requests, goesOn) {
  const decider = Front.readAgent(leased);
  try {
    for (const query of decider.needs()) decider.takeNeeded(await stream.read(query));
    for (const [call, path, query] of decider.reads(env)) {
      decider.takeRead(call, await env.STREAM.getByName(path).read(query));
    }
    if (decider.decide(env, Date.now())) {
      for (let query = decider.nextQuery(); query !== undefined; query = decider.nextQuery()) {
        decider.takePage(await stream.read(query));
      }
      const [id, request] = decider.prepare() ?? [];
      if (id !== undefined) requests.set(id, request);
    }
    for (const [what, name, ask, id] of decider.effects()) {
      const runner = env.RUNNER.getByName(name);
      await (what === "ask" ? runner.ask(ask, requests.get(id)) : runner.breakOff(ask));
    }
    return decider.said(goesOn);
  } catch (error) {
    console.error("agent", error);
    return decider.failed(`it could not decide: ${error?.message}`, goesOn);
  } finally {
    decider.free();
  }
}
