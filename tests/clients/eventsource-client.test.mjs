// npm eventsource-client.
import { test } from "node:test";
import { createEventSource } from "eventsource-client";
import { followOverKills } from "./support.mjs";

test("eventsource-client resumes over kills without a gap or a double", (t) =>
  followOverKills(t, (stream, seen) => {
    const source = createEventSource({
      url: stream.url,
      onMessage: ({ event, data }) => event === undefined && seen(JSON.parse(data)),
    });
    return () => source.close();
  }));
