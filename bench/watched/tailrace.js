// Tailrace, watched.
import worker, { Stream as Real } from "../../src/entry.js";
import { answer, watched } from "./watched.js";

export { Courier } from "../../src/entry.js";
export const Stream = watched(Real);

export default {
  fetch(request, env, ctx) {
    return new URL(request.url).pathname === "/watched" ? answer() : worker.fetch(request, env, ctx);
  },
};
