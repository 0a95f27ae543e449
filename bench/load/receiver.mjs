// A subscriber: an HTTP server that does next to nothing but to hand on what it is sent.
import net from "node:net";
import { ResponseReader } from "./response.mjs";

const ok = Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");

export class Receiver {
  #server;
  #sockets = new Set();
  #waiting;

  /**
   * @param {(body: Buffer) => Promise<void> | void} onRequest what it waits for is waited for before the answer
   * @returns {Promise<Receiver>}
   */
  static listen(onRequest) {
    const receiver = new Receiver();
    return new Promise((resolve, reject) => {
      receiver.#server = net.createServer({ noDelay: true }, (socket) => receiver.#serve(socket, onRequest));
      receiver.#server.once("error", reject);
      receiver.#server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => resolve(receiver));
    });
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Resolves as soon as it is true after a request. */
  until(isTrue, patienceMs = 60_000) {
    if (isTrue()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`not all was pushed within ${patienceMs / 1000} s`)), patienceMs);
      this.#waiting = () => {
        if (!isTrue()) return;
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve();
      };
    });
  }

  close() {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket, onRequest) {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    const body = [];
    // A request's head is read as an answer's is; one has no status.
    const reader = new ResponseReader({
      head: () => {},
      body: (piece) => body.push(piece),
      end: () => {
        const waits = onRequest(Buffer.concat(body.splice(0)));
        if (waits) waits.then(() => socket.write(ok));
        else socket.write(ok);
        this.#waiting?.();
      },
    });
    socket.on("data", (piece) => reader.push(piece));
  }
}
