// Hands on what one says to the other. It runs in the stream itself.
export default {
  afterAppend({ event, append }) {
    const { agent: from, content } = event.payload;
    append({ type: "agent.input-added", payload: { content, from, to: from === "anna" ? "ben" : "anna" } });
  },
};
