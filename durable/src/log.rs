//! How events lie in rows: one commit is one row, up to 1 MiB of it; what is larger takes a row per MiB.

use tailrace_model::limits;
use tailrace_model::line::type_of_line;
use tailrace_model::time::Millis;

use crate::Failure;
use crate::breaker::Window;
use crate::sql::{Param, Row, Sql};
use tailrace_model::state::Breaker;

/// What stands between two lines of a row. No line holds a line end, so splitting there is safe.
pub const SEPARATOR: &str = ",\n";

/// A row that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub lines: String,
    pub count: u64,
    types: Vec<String>,
    raw: Option<String>,
}

/// Where an event's line stands in the drafts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    row: usize,
    start: usize,
    end: usize,
}

impl Place {
    /// How long the line is.
    pub fn len(self) -> usize {
        self.end - self.start
    }
}

/// The rows of one commit.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    pub rows: Vec<Draft>,
}

impl Drafts {
    /// Adds an event whose line `write` appends to the text it is given.
    pub fn push(&mut self, event_type: &str, raw: Option<&str>, write: impl FnOnce(&mut String)) -> Place {
        // Exact bytes belong to a row, so an event that has some gets a row of its own.
        if raw.is_some() || self.rows.last().is_none_or(|row| row.raw.is_some()) {
            self.rows.push(Draft { raw: raw.map(str::to_owned), ..Draft::default() });
        }
        let Some(draft) = self.rows.last_mut() else { return Place { row: 0, start: 0, end: 0 } };
        let before = draft.lines.len();
        if draft.count > 0 {
            draft.lines.push_str(SEPARATOR);
        }
        let start = draft.lines.len();
        write(&mut draft.lines);
        if draft.count > 0 && draft.lines.len() > limits::EVENT_BYTES {
            let lines = draft.lines.split_off(start);
            draft.lines.truncate(before);
            self.rows.push(Draft { lines, ..Draft::default() });
        }
        let row = self.rows.len() - 1;
        let Some(draft) = self.rows.last_mut() else { return Place { row: 0, start: 0, end: 0 } };
        let start = if draft.count == 0 { 0 } else { start };
        draft.count += 1;
        if !draft.types.iter().rev().any(|known| known == event_type) {
            draft.types.push(event_type.to_owned());
        }
        Place { row, start, end: draft.lines.len() }
    }

    /// The line at a place.
    pub fn line(&self, place: Place) -> &str {
        self.rows.get(place.row).and_then(|row| row.lines.get(place.start..place.end)).unwrap_or_default()
    }

    /// The distinct types of each row.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().flat_map(|row| row.types.iter().map(String::as_str))
    }

    /// Bytes of all lines together.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.lines.len()).sum()
    }

    /// Writes the rows behind `head`. What the breaker counts stands in the last one.
    pub fn insert<S: Sql>(&self, sql: &S, head: u64, at: Millis, counted: u64, hooks: u64) -> Result<(), Failure> {
        let mut last = head;
        for (index, row) in self.rows.iter().enumerate() {
            last += row.count;
            let is_last = index + 1 == self.rows.len();
            let weigh = |weight: u64| Param::from(if is_last { weight } else { 0 });
            let types = row.types.join("\n");
            sql.run(
                "INSERT INTO log (last, count, at, bytes, counted, hooks, raw, types, lines) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                &[
                    last.into(),
                    row.count.into(),
                    at.into(),
                    (row.lines.len() as u64).into(),
                    weigh(counted),
                    weigh(hooks),
                    row.raw.as_deref().map_or(Param::Null, Param::Text),
                    types.as_str().into(),
                    row.lines.as_str().into(),
                ],
            )?;
        }
        Ok(())
    }
}

/// The last offset and its time; `None` when nothing was written.
pub(crate) fn tip<S: Sql>(sql: &S) -> Result<Option<(u64, Millis)>, Failure> {
    let rows = sql.run("SELECT last, at FROM log ORDER BY last DESC LIMIT 1", &[])?;
    Ok(rows.first().map(|row| (row.number(0), row.integer(1))))
}

/// One event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its finished line.
    pub line: String,
    /// When it was written.
    pub at: Millis,
    /// Under which name its exact bytes are kept, if they are.
    pub raw: Option<String>,
}

/// The event at an offset.
pub(crate) fn event_at<S: Sql>(sql: &S, offset: u64) -> Result<Option<Stored>, Failure> {
    Reader::default().event_at(sql, offset)
}

/// Reads events one by one, and a row only once for those that lie together in it.
#[derive(Default)]
pub(crate) struct Reader {
    row: Option<ReadRow>,
}

struct ReadRow {
    first: u64,
    at: Millis,
    raw: Option<String>,
    lines: String,
    /// Where each line begins in `lines`, and where the one behind the last would.
    starts: Vec<usize>,
}

impl Reader {
    /// The event at an offset.
    pub fn event_at<S: Sql>(&mut self, sql: &S, offset: u64) -> Result<Option<Stored>, Failure> {
        if self.row.as_ref().is_none_or(|row| row.index(offset).is_none()) {
            self.row = ReadRow::holding(sql, offset)?;
        }
        Ok(self.row.as_ref().and_then(|row| row.event(offset)))
    }
}

impl ReadRow {
    fn holding<S: Sql>(sql: &S, offset: u64) -> Result<Option<Self>, Failure> {
        let rows = sql.run(
            "SELECT last, count, at, raw, lines FROM log WHERE last >= ? ORDER BY last LIMIT 1",
            &[offset.into()],
        )?;
        Ok(rows.first().map(|row| {
            let lines = row.text(4).to_owned();
            let starts = lines.split(SEPARATOR).scan(0, |start, line| {
                let begins = *start;
                *start += line.len() + SEPARATOR.len();
                Some(begins)
            });
            let starts = starts.chain([lines.len() + SEPARATOR.len()]).collect();
            Self {
                first: row.number(0) + 1 - row.number(1),
                at: row.integer(2),
                raw: (!row.is_null(3)).then(|| row.text(3).to_owned()),
                starts,
                lines,
            }
        }))
    }

    fn index(&self, offset: u64) -> Option<usize> {
        let index = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        (index + 1 < self.starts.len()).then_some(index)
    }

    fn event(&self, offset: u64) -> Option<Stored> {
        let index = self.index(offset)?;
        let (start, next) = (*self.starts.get(index)?, *self.starts.get(index + 1)?);
        let line = self.lines.get(start..next - SEPARATOR.len())?.to_owned();
        Some(Stored { line, at: self.at, raw: self.raw.clone() })
    }
}

/// The types of the events in a row's `lines`, one after another.
pub(crate) fn lines_with_types(lines: &str) -> impl Iterator<Item = (&str, std::borrow::Cow<'_, str>)> {
    lines.split(SEPARATOR).map(|line| (line, type_of_line(line).unwrap_or_default()))
}

/// Rebuilds the breaker's window as the last commit, at `last_at`, left it.
pub(crate) fn window<S: Sql>(sql: &S, breaker: &Breaker, last_at: Millis) -> Result<Window, Failure> {
    let cutoff = last_at - i64::try_from(breaker.window_ms).unwrap_or(i64::MAX);
    let mut found: Vec<Row> = Vec::new();
    let mut below = u64::MAX >> 11;
    loop {
        let rows = sql.run(
            "SELECT at, counted, hooks, last FROM log WHERE last < ? AND last > ? ORDER BY last DESC LIMIT 200",
            &[below.into(), breaker.since.into()],
        )?;
        let complete = rows.len() < 200 || rows.last().is_some_and(|row| row.integer(0) <= cutoff);
        below = rows.last().map_or(0, |row| row.number(3));
        found.extend(rows.into_iter().filter(|row| row.integer(0) > cutoff));
        if complete {
            break;
        }
    }
    let mut window = Window::default();
    for row in found.iter().rev() {
        window.add(row.integer(0), row.number(1), row.number(2));
    }
    Ok(window)
}
