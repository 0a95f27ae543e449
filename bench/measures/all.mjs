// A measure: `prepare(target, {quick})` fills what is to be read and gives a context; `run(target, {context, quick})`
// gives one number for each of its `metrics`. Both run in the load generator. `rounds`: [full, quick].
import { append, appendSpread } from "./append.mjs";
import { batchOf100, batchOf1000, batchMinimal } from "./batch.mjs";
import { catchUp, catchUpSingles } from "./catchup.mjs";
import { cold } from "./cold.mjs";
import { flat } from "./flat.mjs";
import { liveOne, liveMany } from "./live.mjs";

export const measures = [
  append,
  appendSpread,
  batchOf100,
  batchOf1000,
  batchMinimal,
  catchUp,
  catchUpSingles,
  liveOne,
  liveMany,
  flat,
  cold,
];
