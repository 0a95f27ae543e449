//! The storage a stream is written against: the `SQLite` of its Durable Object, or a real one in tests.

use crate::Failure;

/// A value bound to a `?`.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// NULL
    Null,
    /// A whole number below 2^53 in size.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl From<u64> for Param<'_> {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// A value read from a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL
    Null,
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One row of a result.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// Column `index` as a whole number of at least 0; NULL and other kinds count as 0.
    #[must_use]
    pub fn number(&self, index: usize) -> u64 {
        u64::try_from(self.integer(index)).unwrap_or(0)
    }

    /// Column `index` as a whole number; NULL and other kinds count as 0.
    #[must_use]
    pub fn integer(&self, index: usize) -> i64 {
        match self.0.get(index) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    /// Column `index` as text; NULL and other kinds count as empty.
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        match self.0.get(index) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Column `index` as bytes; NULL and other kinds count as empty.
    #[must_use]
    pub fn blob(&self, index: usize) -> &[u8] {
        match self.0.get(index) {
            Some(Value::Blob(bytes)) => bytes,
            _ => &[],
        }
    }

    /// True when column `index` is NULL or not there.
    #[must_use]
    pub fn is_null(&self, index: usize) -> bool {
        matches!(self.0.get(index), None | Some(Value::Null))
    }
}

/// Stored text on its way out. In the object it stays a string of the platform: joining pages costs no copy into Wasm.
pub trait Text: Clone + Default {
    /// From text made here.
    fn from_str(text: &str) -> Self;
    /// This text and `more`, with `separator` between them unless one is empty.
    #[must_use]
    fn joined(&self, separator: &str, more: &Self) -> Self;
    /// The text with every `from` replaced by `to`.
    #[must_use]
    fn replaced(&self, from: &str, to: &str) -> Self;
}

impl Text for String {
    fn from_str(text: &str) -> Self {
        text.to_owned()
    }

    fn joined(&self, separator: &str, more: &Self) -> Self {
        if self.is_empty() || more.is_empty() {
            return format!("{self}{more}");
        }
        format!("{self}{separator}{more}")
    }

    fn replaced(&self, from: &str, to: &str) -> Self {
        self.replace(from, to)
    }
}

/// Lines of the log, joined.
#[derive(Clone, Debug, Default)]
pub struct Joined<T> {
    /// Their text.
    pub text: T,
    /// How many events there are in it.
    pub count: u64,
}

/// A `SQLite` database. Statements are constant texts: the platform caches them by text.
pub trait Sql {
    /// The platform's string.
    type Text: Text;

    /// Runs a statement and returns its rows. Writes take effect when the surrounding transaction does.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    fn run(&self, statement: &'static str, params: &[Param]) -> Result<Vec<Row>, Failure>;

    /// Runs a statement whose columns are `(last, count, lines)` and joins the lines, as a row has them, from the event
    /// `first` on, `max_count` of them. Every row is read: a statement that is left in the middle locks its table.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    fn join(
        &self,
        statement: &'static str,
        params: &[Param],
        first: u64,
        max_count: u64,
    ) -> Result<Joined<Self::Text>, Failure>;
}
