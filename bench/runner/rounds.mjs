// Measures the contenders side by side: each round runs all of them, the next one in the opposite order, so that what
// disturbs the machine disturbs them alike.
import { contenders } from "./contenders.mjs";
import { Generator } from "./generator.mjs";
import { Server } from "./server.mjs";

/**
 * @param {object} measure
 * @param {string[]} names of the contenders
 * @param {{quick: boolean, state: string, build: string, say: (text: string) => void}} options
 * @returns {Promise<Record<string, {rounds: Record<string, number>[], error?: string}>>}
 */
export async function inRounds(measure, names, { quick, state, build, say }) {
  const results = Object.fromEntries(names.map((name) => [name, { rounds: [] }]));
  const generator = new Generator();
  const made = {};
  // By what runs in them: clients share theirs.
  const running = new Map(names.map((name) => [serverOf(name), {}]));
  const failed = (those, error) => {
    for (const name of those) {
      results[name].error ??= error.message;
      say(`${measure.name}, ${name}: ${error.message}`);
    }
  };
  const guarded = async (name, work) => {
    const those = names.filter((it) => it === name || serverOf(it) === name).filter((it) => !results[it].error);
    if (those.length > 0) await work().catch((error) => failed(those, error));
  };
  const step = (step, contender) => {
    const { server, context } = running.get(serverOf(contender));
    const target = { ...server.target, contender };
    const job = { name: measure.name, step, target, context, quick, made: made[contender] };
    return generator.step(job, measure.limitMs);
  };

  try {
    for (const name of names) await guarded(name, async () => (made[name] = await measure.before?.(name)));
    await Promise.all(
      [...running].map(([name, its]) =>
        guarded(name, async () => (its.server = await Server.start(name, { state, build, watched: measure.watched }))),
      ),
    );
    for (const [name, its] of running) await guarded(name, async () => (its.context = await step("prepare", name)));
    const count = measure.rounds[quick ? 1 : 0];
    for (let round = 0; round < count; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        await guarded(name, async () => {
          if (measure.restart) await running.get(serverOf(name)).server.restart();
          results[name].rounds.push(await step("run", name));
        });
      }
    }
  } finally {
    generator.stop();
    await Promise.all([...running.values()].map(({ server }) => server?.stop()));
  }
  return results;
}

const serverOf = (name) => contenders[name].server ?? name;
