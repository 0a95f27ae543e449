//! Idempotency: which key stands where.

use std::collections::HashMap;

use crate::Failure;
use crate::sql::Sql;

/// A client's key as it is stored.
#[must_use]
pub fn client(key: &str) -> String {
    format!("c{key}")
}

/// A key of the system, in a namespace that clients cannot write.
#[must_use]
pub fn system(key: &str) -> String {
    format!("s{key}")
}

/// The offsets of those of `keys` that were used before.
pub(crate) fn find<S: Sql>(sql: &S, keys: &[&str]) -> Result<HashMap<String, u64>, Failure> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let list = serde_json::Value::from(keys).to_string();
    let rows =
        sql.run("SELECT key, offset FROM keys WHERE key IN (SELECT value FROM json_each(?))", &[list.as_str().into()])?;
    Ok(rows.iter().map(|row| (row.text(0).to_owned(), row.number(1))).collect())
}

/// True when a key between these two was used before.
pub(crate) fn any_between<S: Sql>(sql: &S, after: &str, before: &str) -> Result<bool, Failure> {
    let rows = sql.run("SELECT 1 FROM keys WHERE key > ? AND key < ? LIMIT 1", &[after.into(), before.into()])?;
    Ok(!rows.is_empty())
}

/// Claims keys for the offsets of their events.
pub(crate) fn claim<S: Sql>(sql: &S, claims: &[(&str, u64)]) -> Result<(), Failure> {
    match claims {
        [] => Ok(()),
        [(key, offset)] => {
            sql.run("INSERT INTO keys (key, offset) VALUES (?, ?)", &[(*key).into(), (*offset).into()]).map(drop)
        }
        _ => {
            let list = serde_json::json!(claims).to_string();
            sql.run(
                "INSERT INTO keys (key, offset) SELECT value ->> 0, value ->> 1 FROM json_each(?)",
                &[list.as_str().into()],
            )
            .map(drop)
        }
    }
}
