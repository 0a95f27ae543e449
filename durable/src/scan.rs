//! Looking through the log for a few events among many: rows that hold none are passed over by the database, in one
//! statement for many rows. What is left is looked at here.

use tailrace_model::types::TypeFilter;

use crate::Failure;
use crate::sql::{Row, Sql};

/// Rows of a first look: most often a match is near.
pub(crate) const NEAR_ROWS: u64 = 200;
/// Rows that the database passes over in one go.
pub(crate) const FAR_ROWS: u64 = 5_000;

/// What stands in every row that may hold a match. More rows than those may pass, none of those is held back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sieve {
    /// One of these stands in the row's types. An empty one stands anywhere.
    types: [String; 4],
    /// This stands in one of its lines.
    text: String,
}

impl Sieve {
    /// Lets the rows pass in which one of these types may be.
    pub fn of_types(filter: Option<&TypeFilter>) -> Self {
        Self { types: filter.and_then(TypeFilter::pieces).unwrap_or_default(), text: String::new() }
    }

    /// Lets only those of them pass in which this text stands as well.
    pub fn with_text(self, text: &str) -> Self {
        Self { text: text.to_owned(), ..self }
    }

    /// True when every row passes.
    pub fn is_open(&self) -> bool {
        self.types.iter().any(String::is_empty) && self.text.is_empty()
    }

    /// `(last, count, types)` of the rows behind `after`, up to `end`, that pass.
    pub fn rows<S: Sql>(&self, sql: &S, after: u64, end: u64) -> Result<Vec<Row>, Failure> {
        let [a, b, c, d] = &self.types;
        sql.run(
            "SELECT last, count, types FROM log WHERE last > ?1 AND last <= ?2
               AND (instr(types, ?3) OR instr(types, ?4) OR instr(types, ?5) OR instr(types, ?6))
               AND (?7 = '' OR instr(lines, ?7)) ORDER BY last",
            &[
                after.into(),
                end.into(),
                a.as_str().into(),
                b.as_str().into(),
                c.as_str().into(),
                d.as_str().into(),
                self.text.as_str().into(),
            ],
        )
    }
}

/// A piece of the log, by whole rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// The last offset in it.
    pub end: u64,
    /// How many rows it has; 0 behind the head.
    pub rows: u64,
}

impl Stretch {
    /// The next rows behind `after`, at most `rows`.
    pub fn behind<S: Sql>(sql: &S, after: u64, rows: u64) -> Result<Self, Failure> {
        let found = sql.run(
            "SELECT max(last), count(*) FROM (SELECT last FROM log WHERE last > ? ORDER BY last LIMIT ?)",
            &[after.into(), rows.into()],
        )?;
        // Without rows the last offset is NULL, and that a 0.
        let number = |column| found.first().map_or(0, |row| row.number(column));
        Ok(Self { end: number(0).max(after), rows: number(1) })
    }
}
