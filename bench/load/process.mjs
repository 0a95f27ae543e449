// The load generator: a process of its own, told by messages what to do to which server.
import { measures } from "../measures/all.mjs";

process.on("message", async ({ name, step, target, ...given }) => {
  const measure = measures.find((candidate) => candidate.name === name);
  try {
    process.send({ result: (await measure[step]?.(target, given)) ?? null });
  } catch (error) {
    process.send({ error: error.stack ?? String(error) });
  }
});
