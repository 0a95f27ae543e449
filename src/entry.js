// The Worker's entry: the class of the Durable Objects, and the front, which is Rust.
import { Front } from "../build/index.js";

export { Stream } from "../durable/stream.js";

export default {
  async fetch(request, env) {
    try {
      return await Front.handle(request, env);
    } catch (error) {
      console.error(error);
      return Front.answerToPanic();
    }
  },
};
