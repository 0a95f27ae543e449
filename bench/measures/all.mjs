// A measure: `prepare(target, {quick})` fills what is to be read and gives a context; `run(target, {context, quick})`
// gives one number for each of its `metrics`. Both run in the load generator. `rounds`: [full, quick].
// `contenders`: those it compares, else the bare and the packed floor and Tailrace. `watched`: servers that tell what
// their objects write and how long they are busy. `floor`: with which contender all others are compared.
// `before(contender)`: makes ready in the runner, before anything is timed, what the steps are given as `made`. `limitMs`:
// how long a step may take. `group`: a name for several measures.
import { agentAnswer, agentAsk, agentAskLong, agentFirstToken, agentMany } from "./agent.mjs";
import { append, appendSpread } from "./append.mjs";
import { batchOf100, batchOf1000, batchMinimal } from "./batch.mjs";
import { catchUp, catchUpSingles } from "./catchup.mjs";
import { cold } from "./cold.mjs";
import { flat } from "./flat.mjs";
import { hook } from "./hook.mjs";
import { liveOne, liveMany } from "./live.mjs";
import { pull1, pull100, pullLargeRows, pullWake } from "./pull.mjs";
import {
  idleSubscriptions,
  push1,
  push100,
  push100Subscribers,
  pushCalm,
  rowsOfPushes,
  slowSubscriber,
} from "./push.mjs";
import { sdkAppend1, sdkAppend16, sdkMemory, sdkPull, sdkTail } from "./sdk.mjs";

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
  hook,
  push1,
  push100,
  pushCalm,
  push100Subscribers,
  idleSubscriptions,
  pull1,
  pull100,
  pullLargeRows,
  pullWake,
  rowsOfPushes,
  slowSubscriber,
  agentAsk,
  agentAskLong,
  agentFirstToken,
  agentAnswer,
  agentMany,
  sdkAppend1,
  sdkAppend16,
  sdkTail,
  sdkPull,
  sdkMemory,
];
