// What the model says that plays a script: enough for the scene, and for whoever goes on talking.

const wants = (name, args) => ({ name, arguments: JSON.stringify(args) });

/** The first whose pattern fits is what is done. `call` asks for tools, `say` is all there is to say. */
const lines = [
  { asked: /^Reminder: (.*)/, say: ([, what]) => `You wanted to be reminded: ${what}.` },
  {
    asked: /^Write a packing list/,
    say: () => "Two shirts, a pullover for the evening, good shoes, the passport, and one book too many.",
  },
  {
    asked: /weather\b.*?\bin ([A-Z][\w-]*)/,
    call: ([, city]) => ["I will look.", wants("weather", { city })],
  },
  {
    asked: /in (\d+) seconds?\b.*?\bto (.+?)(?:,| and have |\.|$)/i,
    call: ([, seconds, what], text) => [
      "I will see to it.",
      wants("schedule", { content: `Reminder: ${what}`, after: `PT${Math.min(Number(seconds), 3_600)}S` }),
      ...(/packing list/i.test(text)
        ? [wants("spawn", { input: "Write a packing list for a weekend in Lisbon." })]
        : []),
    ],
  },
  {
    asked: /\bbook\b.*?\bin ([A-Z][\w-]*)/i,
    call: ([, city]) => ["That costs money, so somebody must approve it.", wants("book_room", { city, nights: 2 })],
  },
  { asked: /\b(hello|hi|hey)\b/i, say: () => "Hello! I know the weather, remind you of things, and book rooms." },
];

const otherwise =
  "I only play a script. Ask me for the weather in Oslo, to remind you in 5 seconds to get up, or to book a room in Rome.";

/** The answer to a request of chat completions, as aimock takes it. */
export function answer({ messages }) {
  const last = messages.at(-1);
  if (last.role === "tool") return { content: told(messages) };
  const text = textOf(last);
  for (const { asked, call, say } of lines) {
    const found = asked.exec(text);
    if (!found) continue;
    if (say) return { content: say(found) };
    const [content, ...toolCalls] = call(found, text);
    return { content, toolCalls };
  }
  return { content: otherwise };
}

/** What is said when tools have answered: their results stand at the end, behind the calls. */
function told(messages) {
  const at = messages.findLastIndex(({ role }) => role !== "tool");
  const results = messages.slice(at + 1).map(textOf);
  const said = (messages[at].tool_calls ?? []).map(({ function: { name, arguments: args } }, index) =>
    about(name, args, results[index] ?? ""),
  );
  return said.join(" ") || otherwise;
}

function about(name, args, result) {
  if (/^(failed|denied)/.test(result)) return `${name} did not work out: ${result}.`;
  const json = parsed(result);
  switch (name) {
    case "weather":
      return `In ${json.city} it is ${json.sky}, ${json.celsius} degrees. Take something against the sun.`;
    case "schedule":
      return "I will remind you.";
    case "spawn":
      return `And the list: ${result}`;
    case "book_room":
      return `Booked: ${json.room} in ${json.city}, ${json.nights} nights, number ${json.number}.`;
    default:
      return `${name} says: ${result}`;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "").join(" ");
