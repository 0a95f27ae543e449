// What is said in Slack is said to an agent. Each thread is a stream of its own: /slack/<channel>/<thread>.
export default {
  afterAppend({ event, append }) {
    const { verified, body } = event.payload;
    if (!verified || body?.type !== "event_callback") return;
    const said = body.event;
    const isMention = said.type === "app_mention";
    const isDirect = said.type === "message" && said.channel_type === "im" && !said.subtype;
    if (said.bot_id || !(isMention || isDirect)) return;
    append({
      streamPath: `/slack/${said.channel}/${said.thread_ts ?? said.ts}`,
      type: "agent.input-added",
      payload: { content: said.text.replace(/<@\w+>\s*/g, ""), from: said.user },
      // Of a mention in a direct message Slack tells twice.
      idempotencyKey: `slack:${said.channel}:${said.ts}`,
    });
  },
};
