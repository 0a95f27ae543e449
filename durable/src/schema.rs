//! Every table of a stream, on one screen. Made by the first write, never by a read.

use crate::Failure;
use crate::sql::Sql;

/// A row holds the events of one commit, up to 1 MiB of them, and is never changed.
/// `last` is the offset of its last event, so `last >= n ORDER BY last LIMIT 1` finds the row that holds event n.
/// `lines` are the events' finished lines, joined with `,` and a line end. `types` are the distinct types in it, one a line.
/// `counted` and `hooks` are what the breaker's window is rebuilt from; `raw` names the exact bytes of a hook.
const LOG: &str = "CREATE TABLE IF NOT EXISTS log (
    last INTEGER PRIMARY KEY, count INTEGER NOT NULL, at INTEGER NOT NULL, bytes INTEGER NOT NULL,
    counted INTEGER NOT NULL, hooks INTEGER NOT NULL, raw TEXT, types TEXT NOT NULL, lines TEXT NOT NULL)";

/// Idempotency keys: `c…` are clients' keys, `s…` the system's own.
const KEYS: &str = "CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID";

/// The control state, a row a part, and where the control events stand that made it.
const STATE: &str = "CREATE TABLE IF NOT EXISTS state (part TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID";
const CONTROLS: &str = "CREATE TABLE IF NOT EXISTS controls (offset INTEGER PRIMARY KEY)";

/// Streams right below. Outlives a deletion of this stream: the children are still there.
const CHILDREN: &str = "CREATE TABLE IF NOT EXISTS children (
    path TEXT PRIMARY KEY, generation TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID";

/// What is owed to other streams. Outlives a deletion: the parent must still be told. No id is used twice, for a call under
/// way may outlive its row.
const OBLIGATIONS: &str = "CREATE TABLE IF NOT EXISTS obligations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, due INTEGER NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL)";

/// Hooks that wait to be let in, in order.
const PARKED: &str = "CREATE TABLE IF NOT EXISTS parked (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, bytes INTEGER NOT NULL, raw TEXT, cause TEXT NOT NULL, key TEXT,
    fragment TEXT NOT NULL)";

/// The exact bytes of hooks, in parts of at most 1 MiB.
const RAW: &str = "CREATE TABLE IF NOT EXISTS raw (
    id TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, part)) WITHOUT ROWID";

/// How far each subscription has come, and the state that it keeps. See `delivery::Progress`.
const DELIVERIES: &str = "CREATE TABLE IF NOT EXISTS deliveries (
    slug TEXT PRIMARY KEY, progress TEXT NOT NULL, state TEXT) WITHOUT ROWID";

/// When each schedule fires next.
const SCHEDULES: &str = "CREATE TABLE IF NOT EXISTS schedules (
    slug TEXT PRIMARY KEY, due INTEGER NOT NULL, runs INTEGER NOT NULL) WITHOUT ROWID";

/// What answers append to other streams. Of those that go to the same one, only the first has a time at which it is due.
/// Outlives a deletion: what was settled lands.
const OUTBOX: &str = "CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, due INTEGER, attempt INTEGER NOT NULL,
    slug TEXT NOT NULL, event TEXT NOT NULL, fragment TEXT NOT NULL)";

/// Streams below that have something due for a subscription that holds for them too.
const BELOW: &str = "CREATE TABLE IF NOT EXISTS below (
    slug TEXT NOT NULL, path TEXT NOT NULL, mark TEXT NOT NULL, due INTEGER NOT NULL,
    PRIMARY KEY (slug, path)) WITHOUT ROWID";

/// Makes the tables of a stream that is being born.
pub(crate) fn create<S: Sql>(sql: &S) -> Result<(), Failure> {
    for table in [LOG, KEYS, STATE, CONTROLS, CHILDREN, OBLIGATIONS, PARKED, RAW, DELIVERIES, SCHEDULES, OUTBOX, BELOW]
    {
        sql.run(table, &[])?;
    }
    Ok(())
}

/// Makes the tables that hold bytes before the event that names them.
pub(crate) fn create_for_upload<S: Sql>(sql: &S) -> Result<(), Failure> {
    for table in [OBLIGATIONS, RAW] {
        sql.run(table, &[])?;
    }
    Ok(())
}

/// Drops what dies with a stream.
pub(crate) fn drop<S: Sql>(sql: &S) -> Result<(), Failure> {
    for table in [
        "DROP TABLE IF EXISTS log",
        "DROP TABLE IF EXISTS keys",
        "DROP TABLE IF EXISTS state",
        "DROP TABLE IF EXISTS controls",
        "DROP TABLE IF EXISTS parked",
        "DROP TABLE IF EXISTS raw",
        "DROP TABLE IF EXISTS deliveries",
        "DROP TABLE IF EXISTS schedules",
        "DROP TABLE IF EXISTS below",
    ] {
        sql.run(table, &[])?;
    }
    Ok(())
}

/// True when there is a table of this name.
pub(crate) fn exists<S: Sql>(sql: &S, table: &str) -> Result<bool, Failure> {
    let rows = sql.run("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", &[table.into()])?;
    Ok(!rows.is_empty())
}
