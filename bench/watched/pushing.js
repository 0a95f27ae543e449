// The pushing floor, watched.
import { WorkerEntrypoint } from "cloudflare:workers";
import { Stream as Real } from "../floors/pushing.js";
import { Front } from "../floors/front.js";
import { answer, watched } from "./watched.js";

export const Stream = watched(Real);

export default class extends WorkerEntrypoint {
  fetch(request) {
    if (new URL(request.url).pathname === "/watched") return answer();
    return Front.prototype.fetch.call(this, request);
  }
}
