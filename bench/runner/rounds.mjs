// Measures the contenders side by side: each round runs all of them, the next one in the opposite order, so that what
// disturbs the machine disturbs them alike.
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
  const running = new Map();
  const guarded = async (name, work) => {
    if (results[name].error) return;
    try {
      await work();
    } catch (error) {
      results[name].error = error.message;
      say(`${measure.name}, ${name}: ${error.message}`);
    }
  };

  try {
    await Promise.all(
      names.map((name) =>
        guarded(name, async () =>
          running.set(name, { server: await Server.start(name, { state, build, watched: measure.watched }) }),
        ),
      ),
    );
    for (const name of names) {
      await guarded(name, async () => {
        const { server } = running.get(name);
        const job = { name: measure.name, step: "prepare", target: server.target, quick };
        running.get(name).context = await generator.step(job);
      });
    }
    const count = measure.rounds[quick ? 1 : 0];
    for (let round = 0; round < count; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        await guarded(name, async () => {
          const { server, context } = running.get(name);
          if (measure.restart) await server.restart();
          const job = { name: measure.name, step: "run", target: server.target, context, quick };
          results[name].rounds.push(await generator.step(job));
        });
      }
    }
  } finally {
    generator.stop();
    await Promise.all([...running.values()].map(({ server }) => server.stop()));
  }
  return results;
}
