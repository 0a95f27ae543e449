// One keep-alive connection with at most one request under way: cheaper than a full HTTP client, so that the
// server is what is measured.
import net from "node:net";
import { ResponseReader } from "./response.mjs";

export class Connection {
  #socket;
  #host;
  #waiting;
  #status = 0;
  #body = [];

  /** @returns {Promise<Connection>} */
  static open(url) {
    const { hostname, port, host } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Connection(socket, host)));
    });
  }

  constructor(socket, host) {
    this.#socket = socket;
    this.#host = host;
    const reader = new ResponseReader({
      head: (status) => (this.#status = status),
      body: (piece) => this.#body.push(piece),
      end: () => this.#answer(),
    });
    socket.on("data", (piece) => reader.push(piece));
    socket.removeAllListeners("error");
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  get(path, headers) {
    return this.send(message("GET", path, this.#host, headers));
  }

  post(path, body, headers) {
    return this.send(this.prepare(path, body, headers));
  }

  /** A POST as bytes, to be sent again and again. */
  prepare(path, body, headers = {}) {
    const all = { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers };
    return message("POST", path, this.#host, all, body);
  }

  /** @returns {Promise<Buffer>} the body; anything but a 200 is an error */
  send(bytes) {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) throw new Error("the server has closed the connection");
      this.#waiting = { resolve, reject };
      this.#socket.write(bytes);
    });
  }

  close() {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #answer() {
    const body = this.#body.length === 1 ? this.#body[0] : Buffer.concat(this.#body);
    this.#body = [];
    const { resolve, reject } = this.#waiting;
    this.#waiting = undefined;
    if (this.#status === 200) resolve(body);
    else reject(new Error(`${this.#status}: ${body.toString().slice(0, 300)}`));
  }

  #fail(error) {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

export function message(method, path, host, headers = {}, body = "") {
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body}`);
}
