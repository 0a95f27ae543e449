// What the agent answers is posted to the thread that its stream is named after.
export default {
  async afterAppend({ event, fetch }) {
    const [, , channel, thread] = event.streamPath.split("/");
    const response = await fetch("https://slack.com/api/chat.postMessage", {
      method: "POST",
      headers: { authorization: "Bearer {{secret:SLACK_BOT}}", "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify({ channel, thread_ts: thread, text: event.payload.content }),
    });
    const answer = await response.json();
    // Slack says 200 to everything. What is thrown is tried again later, and stands in GET /api/subscriptions.
    if (!answer.ok) throw new Error(`Slack: ${answer.error}`);
  },
};
