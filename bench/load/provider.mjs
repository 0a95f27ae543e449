// A provider of models that plays a script: chat completions over raw sockets. It costs next to nothing, so that what is
// measured is who asks it.
import net from "node:net";
import { ResponseReader } from "./response.mjs";

const head = Buffer.from("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const delta = (more, finish) => ({ model: "m", choices: [{ index: 0, delta: more, finish_reason: finish }] });
const data = (json) => `data: ${JSON.stringify(json)}\n\n`;
const over = Buffer.from(`${chunk(`${data(delta({}, "stop"))}data: [DONE]\n\n`)}0\r\n\r\n`);

export class Provider {
  #server;
  #sockets = new Set();

  /**
   * @param {(request: {model: string, at: number}, answer: Answer) => void} onRequest called when all of a request is
   *   there; `at` is when
   * @returns {Promise<Provider>}
   */
  static listen(onRequest) {
    const provider = new Provider();
    return new Promise((resolve, reject) => {
      provider.#server = net.createServer({ noDelay: true }, (socket) => provider.#serve(socket, onRequest));
      provider.#server.once("error", reject);
      provider.#server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => resolve(provider));
    });
  }

  get baseUrl() {
    return `http://127.0.0.1:${this.#server.address().port}/v1`;
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
        const at = performance.now();
        const model = /"model":"([^"]*)"/.exec(Buffer.concat(body.splice(0)).subarray(0, 300).toString())?.[1];
        onRequest({ model, at }, new Answer(socket));
      },
    });
    socket.on("data", (piece) => reader.push(piece));
  }
}

/** What is said on a connection. */
class Answer {
  #socket;
  #begun = false;

  constructor(socket) {
    this.#socket = socket;
  }

  /** Says tokens, each an event, in one write. */
  say(...tokens) {
    const events = tokens.map((content) => chunk(data(delta({ content }, null)))).join("");
    this.#socket.write(this.#begun ? events : Buffer.concat([head, Buffer.from(events)]));
    this.#begun = true;
  }

  end() {
    this.#socket.write(this.#begun ? over : Buffer.concat([head, over]));
  }
}
