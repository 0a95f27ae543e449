// A floor: the bare one, which also fetches its subscribers' URLs itself, at once, for each append. No order, no retry, no
// signature, nothing written about it; and the object is busy for as long as a subscriber takes.
import { Stream as Bare } from "./bare.js";

export { Front as default } from "./front.js";

export class Stream extends Bare {
  subscribers = [];
  appended = [];

  append(text, prefer) {
    const { subscribers } = this;
    const answer = super.append(text, prefer);
    const events = this.appended.splice(0);
    for (const { target, batch } of subscribers) {
      for (let from = 0; from < events.length; from += batch) {
        this.ctx.waitUntil(push(target.url, events.slice(from, from + batch)));
      }
    }
    return answer;
  }

  insert(event) {
    if (event.type === "subscription.configured") this.subscribers = [...this.subscribers, event.payload];
    const inserted = super.insert(event);
    this.appended.push(inserted);
    return inserted;
  }
}

async function push(url, events) {
  const response = await fetch(url, { method: "POST", body: JSON.stringify({ events }) });
  await response.arrayBuffer();
}
