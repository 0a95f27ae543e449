import { createServer } from "node:http";
import { json } from "node:stream/consumers";
const processor = createServer(async (request, response) => {
  const { state, events, replay } = await json(request);
  const count = (state ?? 0) + events.length;
  const append = replay ? [] : [{ type: "counted", payload: { count } }];
  response.end(JSON.stringify({ state: count, append }));
});
processor.listen(Number(process.argv[2]), "127.0.0.1");
