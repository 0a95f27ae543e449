//! The `Sql` trait over a real `SQLite`, with the platform's limits.

use std::rc::Rc;

use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ToSql, params_from_iter};
use tailrace_durable::Failure;
use tailrace_durable::log::SEPARATOR;
use tailrace_durable::sql::{Joined, Param, Row, Sql, Value};

/// A database; clones are handles of the same one, so it outlives the stream that was opened on it.
#[derive(Clone)]
pub struct Database(pub Rc<Connection>);

impl Database {
    pub fn in_memory() -> Self {
        Self::of(Connection::open_in_memory().unwrap())
    }

    /// One that lies in a file and can be closed.
    pub fn in_file(path: &std::path::Path) -> Self {
        Self::of(Connection::open(path).unwrap())
    }

    fn of(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(100);
        // What workerd sets for a Durable Object's database.
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 2_200_000).unwrap();
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000).unwrap();
        connection.set_limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100).unwrap();
        Self(Rc::new(connection))
    }

    pub fn execute(&self, statement: &str) {
        self.0.execute_batch(statement).unwrap();
    }

    /// Rows written since the database was opened.
    pub fn rows_written(&self) -> u64 {
        self.0.total_changes()
    }

    /// A number out of the database; `None` for NULL, no row or no table.
    pub fn number(&self, statement: &str) -> Option<i64> {
        self.0.query_row(statement, [], |row| row.get(0)).ok().flatten()
    }

    pub fn has_table(&self, name: &str) -> bool {
        self.number(&format!("SELECT count(*) FROM sqlite_master WHERE name = '{name}'")) == Some(1)
    }

    /// True when nothing was ever made in it.
    pub fn is_untouched(&self) -> bool {
        self.number("SELECT count(*) FROM sqlite_master") == Some(0)
    }
}

struct Bound<'a>(&'a Param<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match self.0 {
            Param::Null => rusqlite::types::Null.into(),
            Param::Int(number) => (*number).into(),
            Param::Text(text) => (*text).into(),
            Param::Blob(bytes) => (*bytes).into(),
        })
    }
}

impl Sql for Database {
    type Text = String;

    fn run(&self, statement: &'static str, params: &[Param]) -> Result<Vec<Row>, Failure> {
        for param in params {
            assert!(
                !matches!(param, Param::Int(number) if number.unsigned_abs() > 1 << 53),
                "the platform's numbers are exact up to 2^53 only: {statement}"
            );
        }
        let run = || {
            let mut prepared = self.0.prepare_cached(statement)?;
            let columns = prepared.column_count();
            let mut rows = prepared.query(params_from_iter(params.iter().map(Bound)))?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let values = (0..columns).map(|index| row.get_ref(index).map(to_value));
                out.push(Row(values.collect::<rusqlite::Result<_>>()?));
            }
            Ok(out)
        };
        run().map_err(|error: rusqlite::Error| Failure::Storage(format!("{error}: {statement}")))
    }

    fn join(
        &self,
        statement: &'static str,
        params: &[Param],
        first: u64,
        max_count: u64,
    ) -> Result<Joined<String>, Failure> {
        let mut lines = Vec::new();
        for row in self.run(statement, params)? {
            let offsets = row.number(0) + 1 - row.number(1)..;
            let wanted = row.text(2).split(SEPARATOR).zip(offsets).filter(|(_, offset)| *offset >= first);
            lines.extend(wanted.map(|(line, _)| line.to_owned()));
        }
        lines.truncate(usize::try_from(max_count).unwrap());
        Ok(Joined { count: lines.len() as u64, text: lines.join(SEPARATOR) })
    }
}

fn to_value(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        ValueRef::Real(number) => panic!("a fraction in the database: {number}"),
    }
}
