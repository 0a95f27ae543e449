// The object's SQLite as the core's `Sql` trait wants it.
export class Database {
  #sql;

  constructor(sql) {
    this.#sql = sql;
  }

  /** Runs a statement; its rows as arrays. */
  run(statement, params) {
    return this.#sql
      .exec(statement, ...params)
      .raw()
      .toArray();
  }

  /**
   * Joins the lines of the rows `(last, count, lines)` from the event `first` on: `[text, count]`. See the trait. Here
   * and not in Rust, so that a page's text never goes through the memory of the Wasm module.
   */
  join(statement, params, first, maxCount) {
    let text = "";
    let count = 0;
    for (const [last, rowCount, lines] of this.#sql.exec(statement, ...params).raw()) {
      const skip = Math.max(0, first - (last - rowCount + 1));
      const take = Math.min(rowCount - skip, maxCount - count);
      const piece = take === rowCount ? lines : cut(lines, skip, take);
      text = count === 0 ? piece : text + SEPARATOR + piece;
      count += take;
    }
    return [text, count];
  }
}

/** What stands between two lines of a row. */
const SEPARATOR = ",\n";

/** `take` lines of a row, behind the first `skip`. */
function cut(lines, skip, take) {
  let start = 0;
  for (let line = 0; line < skip; line++) start = lines.indexOf(SEPARATOR, start) + SEPARATOR.length;
  let end = start - SEPARATOR.length;
  for (let line = 0; line < take; line++) {
    end = lines.indexOf(SEPARATOR, end + SEPARATOR.length);
    if (end === -1) return lines.slice(start);
  }
  return lines.slice(start, end);
}
