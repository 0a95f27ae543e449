// The tools that the agent's model may call: plain HTTP. A call comes as any push does; the answer is the result.
import { once } from "node:events";
import { createServer } from "node:http";
import { json } from "node:stream/consumers";

const skies = ["sunny", "cloudy", "windy", "clear"];

const tools = {
  weather: ({ city = "nowhere" }) => ({ city, sky: skies[city.length % skies.length], celsius: 12 + city.length * 2 }),
  book_room: ({ city = "nowhere", nights = 1 }) => ({ room: "a quiet room", city, nights, number: "R-4711" }),
};

/** Serves them on loopback. */
export async function serveTools() {
  const server = createServer(async (request, response) => {
    const tool = tools[request.url.slice(1)];
    const { events } = await json(request).catch(() => ({}));
    const wanted = events?.[0]?.payload?.arguments;
    if (!tool || !wanted) return response.writeHead(404).end();
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(tool(wanted)));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  const text = { type: "string" };
  return {
    /** The events that configure them. */
    configured: [
      {
        name: "weather",
        description: "The weather in a city",
        parameters: { type: "object", properties: { city: text }, required: ["city"] },
        url: `${url}/weather`,
      },
      {
        name: "book_room",
        description: "Books a room. A person is asked first: just call it",
        parameters: { type: "object", properties: { city: text, nights: { type: "integer" } }, required: ["city"] },
        url: `${url}/book_room`,
        approval: true,
      },
    ].map((payload) => ({ type: "tool.configured", payload })),
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
