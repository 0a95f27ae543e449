// The object's SQLite as the core's `Sql` trait wants it.
export class Database {
  #sql;

  constructor(sql) {
    this.#sql = sql;
  }

  /** Runs a statement; its rows as arrays. */
  run(statement, params) {
    return this.#sql.exec(statement, ...params).raw().toArray();
  }

  /**
   * Joins `lines` of the rows `(last, count, bytes, lines)` while they fit: `[text, first offset, count, bytes]`.
   * Here and not in Rust, so that a page's text never goes through the memory of the Wasm module.
   */
  join(statement, params, maxCount, maxBytes) {
    let text = "";
    let first = 0;
    let count = 0;
    let bytes = 0;
    for (const [last, rowCount, rowBytes, lines] of this.#sql.exec(statement, ...params).raw()) {
      if (count + rowCount > maxCount || bytes + rowBytes > maxBytes) break;
      if (count === 0) {
        first = last - rowCount + 1;
        text = lines;
      } else {
        text += ",\n" + lines;
      }
      count += rowCount;
      bytes += rowBytes;
    }
    return [text, first, count, bytes];
  }
}
