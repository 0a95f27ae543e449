// Reads HTTP/1.1 responses from the pieces in which a socket delivers them.
const endOfHead = Buffer.from("\r\n\r\n");
const endOfLine = Buffer.from("\r\n");

export class ResponseReader {
  #rest = Buffer.alloc(0);
  #read = this.#head;
  #left = 0;

  /**
   * @param {object} on
   * @param {(status: number, head: string) => void} on.head
   * @param {(piece: Buffer) => void} on.body
   * @param {() => void} on.end
   */
  constructor(on) {
    this.on = on;
  }

  push(piece) {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : piece;
    while (this.#rest.length > 0 && this.#read());
  }

  #head() {
    const end = this.#rest.indexOf(endOfHead);
    if (end < 0) return false;
    const head = this.#rest.latin1Slice(0, end);
    this.#rest = this.#rest.subarray(end + 4);
    this.on.head(Number(head.slice(9, 12)), head);
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.#read = this.#chunkSize;
      return true;
    }
    this.#left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    this.#read = this.#length;
    return this.#left > 0 || this.#end();
  }

  #length() {
    if (!this.#take()) return false;
    return this.#end();
  }

  #chunkSize() {
    const end = this.#rest.indexOf(endOfLine);
    if (end < 0) return false;
    this.#left = Number.parseInt(this.#rest.latin1Slice(0, end), 16);
    this.#rest = this.#rest.subarray(end + 2);
    this.#read = this.#left > 0 ? this.#chunk : this.#lastLine;
    return true;
  }

  #chunk() {
    if (!this.#take()) return false;
    this.#read = this.#chunkEnd;
    return true;
  }

  #chunkEnd() {
    if (!this.#skipLine()) return false;
    this.#read = this.#chunkSize;
    return true;
  }

  #lastLine() {
    return this.#skipLine() && this.#end();
  }

  #skipLine() {
    if (this.#rest.length < 2) return false;
    this.#rest = this.#rest.subarray(2);
    return true;
  }

  /** Hands on what there is of the body; true when it was the last of it. */
  #take() {
    const piece = this.#rest.subarray(0, this.#left);
    this.#left -= piece.length;
    this.#rest = this.#rest.subarray(piece.length);
    if (piece.length > 0) this.on.body(piece);
    return this.#left === 0;
  }

  #end() {
    this.#read = this.#head;
    this.on.end();
    return true;
  }
}
