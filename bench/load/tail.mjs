// A live reader: server-sent events from a raw socket.
import net from "node:net";
import { message } from "./connection.mjs";
import { inParts } from "./program.mjs";
import { ResponseReader } from "./response.mjs";

/**
 * Opens a tail and resolves when it has reached the head.
 *
 * @param {string} url
 * @param {string} path
 * @param {(block: string) => void} onEvent called with every event's block, history and live alike
 * @param {object} [headers]
 * @returns {Promise<{close(): void}>}
 */
export function tail(url, path, onEvent, headers = {}) {
  const { hostname, port, host } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    const reader = { close: () => socket.destroy() };
    const take = inParts("\n\n", (block) => {
      if (block.includes("\ndata:") || block.startsWith("data:")) {
        if (/^event: *tail$/m.test(block)) resolve(reader);
        else onEvent(block);
      }
    });
    const response = new ResponseReader({
      head: (status) => status === 200 || reject(new Error(`the tail was answered with ${status}`)),
      body: take,
      end: () => reject(new Error("the tail ended before the head")),
    });
    socket.on("data", (piece) => response.push(piece));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the tail was closed before the head")));
    socket.write(message("GET", path, host, { accept: "text/event-stream", ...headers }));
  });
}
