// The scene: a person, an agent, its tools, a sub-agent, a reminder, and something that somebody must approve.
import { setTimeout as sleep } from "node:timers/promises";

const system =
  "You are a travel guide. Use your tools for whatever they can do, several at once where that fits, and never ask back. " +
  "Answer in one or two short sentences.";

/** Plays it. False when the agent did not do all that it was asked for. */
export async function play({ url, path, tails, terminal, model, tools, pace, signal }) {
  const append = async (...events) => {
    const response = await fetch(`${url}/api/streams${path}`, { method: "POST", body: JSON.stringify(events), signal });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return (await response.json()).events.at(-1).offset;
  };
  const first = (after, types, isWanted = () => true, ms = undefined) =>
    tails.first(path, (event) => event.offset > after && types.includes(event.type) && isWanted(event), ms);
  /** The agent has said its last word about what was said to it; false when it gave up. */
  const answered = async (after) => {
    const isLast = ({ type, payload }) => type === "agent.stopped" || !payload.toolCalls;
    const said = await first(after, ["agent.output-added", "agent.stopped"], isLast);
    return said?.type === "agent.output-added";
  };
  const pause = () => sleep(pace.pause, undefined, { signal });

  const asks = async (content) => {
    await pause();
    return append({ type: "agent.input-added", payload: { content, from: "anna" } });
  };

  tails.follow(path);
  const agent = { ...model.agent, system };
  await append(...tools.configured, {
    type: "subscription.configured",
    payload: { slug: "guide", target: { agent } },
  });

  terminal.say("A person asks. The agent's turn is an event, and so is each call of a tool, and its result.");
  let isWell = await answered(await asks("Hello! I am off on Friday. What is the weather like in Lisbon?"));

  const seconds = /\d+/.exec(pace.after);
  terminal.say("The agent may remind itself later, and give a task to a sub-agent: a stream of its own, below.");
  const asked = await asks(`Remind me in ${seconds} seconds to pack, and have somebody write a packing list.`);
  isWell = (await answered(asked)) && isWell;
  const isReminder = ({ metadata }) => metadata?.tailrace?.schedule !== undefined;
  const reminded = await first(asked, ["agent.input-added"], isReminder, 60_000);
  isWell = reminded !== undefined && (await answered(reminded.offset)) && isWell;

  terminal.say("Some things are for people to decide.");
  const booked = await asks("Now book me a room in Lisbon for two nights.");
  const wanted = await first(booked, ["tool.approval-requested"], () => true, 60_000);
  if (wanted) {
    const { callId } = wanted.payload;
    const isIts = ({ payload }) => payload.callId === callId;
    terminal.say(
      "The call waits, up to a day, and costs nothing meanwhile. Approve it with the line above (or say tool.denied).",
      `I do it in ${pace.approval / 1_000} s, if nobody else does.`,
    );
    const decided = await first(wanted.offset, ["tool.approved", "tool.denied"], isIts, pace.approval);
    if (!decided) await append({ type: "tool.approved", payload: { callId } });
  }
  isWell = wanted !== undefined && (await answered(booked)) && isWell;
  await pause();
  return isWell;
}
