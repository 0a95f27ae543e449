//! Reading back: pages of the log. Whole rows are joined as they are; only where a page begins or ends inside a row, or
//! a filter applies, are lines looked at.

use serde::{Deserialize, Serialize};
use tailrace_model::line::StoredEvent;
use tailrace_model::time::Millis;
use tailrace_model::types::TypeFilter;
use tailrace_model::{json, limits};

use crate::Failure;
use crate::log::{SEPARATOR, lines_with_types};
use crate::scan::{FAR_ROWS, NEAR_ROWS, Sieve, Stretch};
use crate::sql::{Row, Sql, Text};
use crate::stream::Stream;

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Query {
    /// Only events behind this offset.
    pub after: u64,
    /// Only events before this offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u64,
    /// Of all that match, only the last so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Globs over types, as [`TypeFilter::parse`] reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
    /// Only events of this instant or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Only events of this instant or earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// At most so many bytes, but one row at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Only events that the event at this offset caused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// The path of the stream in which that event stands; the same stream if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_path: Option<String>,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page<T> {
    /// The lines, joined with `,` and a line end.
    pub lines: T,
    /// How many there are.
    pub count: u64,
    /// The offset up to which was looked: go on behind it.
    pub after: u64,
    /// With `last`, when fewer were found: nothing before this offset was looked at. Look further before it.
    pub before: Option<u64>,
    /// The stream's last offset.
    pub head: u64,
    /// True when nothing that matches lies behind `after` now.
    pub up_to_date: bool,
}

/// Reads a page.
///
/// # Errors
/// [`tailrace_model::Problem::StreamNotFound`]; [`Failure::Storage`].
pub fn read<S: Sql>(stream: &Stream<S>, query: &Query) -> Result<Page<S::Text>, Failure> {
    let head = stream.life()?.head;
    let range = range(stream, query, head)?;
    let filter = Filter::new(stream, query)?;
    let room = Room {
        events: query.limit.min(limits::PAGE_EVENTS),
        bytes: query.max_bytes.unwrap_or(limits::PAGE_BYTES as u64).min(limits::PAGE_BYTES as u64),
    };
    let mut page = if range.first > range.last || room.events == 0 {
        Page { after: range.first.saturating_sub(1), ..Page::default() }
    } else {
        match (filter.is_empty(), query.last) {
            (true, last) => {
                let first = last.map_or(range.first, |last| range.first.max((range.last + 1).saturating_sub(last)));
                plain(&stream.sql, first, range.last, room)?
            }
            (false, None) => forward(&stream.sql, &filter, range, room)?,
            (false, Some(last)) => {
                let Tail { first, count, before } = first_of_last(&stream.sql, &filter, range, last)?;
                let mut page = forward(&stream.sql, &filter, Range { first, ..range }, room)?;
                if page.count == count {
                    // These are the last ones: what lies behind them was looked at already.
                    page.after = range.last;
                }
                page.before = before;
                page
            }
        }
    };
    page.head = head;
    page.up_to_date = page.after >= range.last;
    Ok(page)
}

/// How much fits on a page.
#[derive(Clone, Copy, Debug)]
struct Room {
    events: u64,
    bytes: u64,
}

/// Offsets, both inclusive; empty when `first` is above `last`.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u64,
    last: u64,
}

fn range<S: Sql>(stream: &Stream<S>, query: &Query, head: u64) -> Result<Range, Failure> {
    let mut first = query.after.saturating_add(1);
    let mut last = query.before.map_or(head, |before| before.saturating_sub(1).min(head));
    if let Some(since) = query.since {
        first = first.max(first_at(&stream.sql, since, head)?);
    }
    if let Some(until) = query.until {
        last = last.min(first_at(&stream.sql, until.saturating_add(1), head)?.saturating_sub(1));
    }
    Ok(Range { first, last })
}

/// The offset of the first event that is not before `at`; times never decrease, so the rows can be halved.
fn first_at<S: Sql>(sql: &S, at: Millis, head: u64) -> Result<u64, Failure> {
    let (mut low, mut high) = (1, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let rows =
            sql.run("SELECT last, count, at FROM log WHERE last >= ? ORDER BY last LIMIT 1", &[middle.into()])?;
        let Some(row) = rows.first() else { break };
        if row.integer(2) < at {
            low = row.number(0) + 1;
        } else {
            high = row.number(0) + 1 - row.number(1);
        }
    }
    Ok(low)
}

/// Everything from `first` to `last` that fits, by whole rows.
fn plain<S: Sql>(sql: &S, first: u64, last: u64, room: Room) -> Result<Page<S::Text>, Failure> {
    let count = room.events.min(last + 1 - first);
    let joined = sql.join(
        "SELECT last, count, lines FROM log WHERE last >= ? AND last <= ? ORDER BY last",
        &[first.into(), last_row(sql, first, first + count - 1, room.bytes)?.into()],
        first,
        count,
    )?;
    Ok(Page { lines: joined.text, count: joined.count, after: first - 1 + joined.count, ..Page::default() })
}

/// The last of the rows that hold the events from `first` to `last` and, together, at most `max_bytes`; at least one.
fn last_row<S: Sql>(sql: &S, first: u64, last: u64, max_bytes: u64) -> Result<u64, Failure> {
    let rows = sql.run(
        "SELECT max(last), sum(bytes) FROM log WHERE last >= ?1 AND last <= (SELECT min(last) FROM log WHERE last >= ?2)",
        &[first.into(), last.into()],
    )?;
    let (end, bytes) = rows.first().map_or((0, 0), |row| (row.number(0), row.number(1)));
    if bytes <= max_bytes {
        return Ok(end);
    }
    let rows = sql
        .run("SELECT last, bytes FROM log WHERE last >= ? AND last <= ? ORDER BY last", &[first.into(), end.into()])?;
    let mut room = max_bytes;
    let fits = |row: &&Row| match room.checked_sub(row.number(1)) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    let fitting = rows.iter().take_while(fits).last();
    Ok(fitting.or(rows.first()).map_or(end, |row| row.number(0)))
}

/// What an event must be like to be on the page.
struct Filter {
    types: Option<TypeFilter>,
    cause: Option<Caused>,
    /// What rows with a match have.
    sieve: Sieve,
}

/// Caused by an event of this stream, or of another.
struct Caused {
    path: String,
    offset: u64,
    /// How that stands in a line.
    text: String,
}

impl Filter {
    fn new<S: Sql>(stream: &Stream<S>, query: &Query) -> Result<Self, Failure> {
        let types = query.types.as_deref().map(TypeFilter::parse).transpose()?;
        let path = query.cause_path.clone().unwrap_or_else(|| stream.path().to_string());
        let cause = query.cause.map(|offset| Caused {
            text: format!("\"cause\":{{\"streamPath\":{},\"offset\":{offset},", json::quoted(&path)),
            path,
            offset,
        });
        let text = cause.as_ref().map_or("", |caused| &caused.text);
        let sieve = Sieve::of_types(types.as_ref()).with_text(text);
        Ok(Self { types, cause, sieve })
    }

    fn is_empty(&self) -> bool {
        self.types.is_none() && self.cause.is_none()
    }

    fn may_match_row(&self, types: &str) -> bool {
        self.types.as_ref().is_none_or(|filter| types.split('\n').any(|it| filter.matches(it)))
    }

    fn matches(&self, event_type: &str, line: &str) -> bool {
        self.types.as_ref().is_none_or(|filter| filter.matches(event_type))
            && self.cause.as_ref().is_none_or(|caused| caused.matches(line))
    }
}

impl Caused {
    fn matches(&self, line: &str) -> bool {
        line.contains(&self.text)
            && StoredEvent::parse(line)
                .ok()
                .and_then(|event| event.cause)
                .is_some_and(|cause| cause.stream_path == self.path && cause.offset == self.offset)
    }
}

/// Matching events from the front on.
fn forward<S: Sql>(sql: &S, filter: &Filter, range: Range, room: Room) -> Result<Page<S::Text>, Failure> {
    let mut found = Found::default();
    let mut after = range.first - 1;
    let mut scanned = 0;
    'scan: while after < range.last && scanned < limits::PAGE_SCAN_ROWS {
        let stretch =
            Stretch::behind(sql, after, if scanned == 0 || filter.sieve.is_open() { NEAR_ROWS } else { FAR_ROWS })?;
        if stretch.rows == 0 {
            break;
        }
        scanned += stretch.rows;
        for head in filter.sieve.rows(sql, after, stretch.end)? {
            for (offset, line) in matching(sql, filter, &head)? {
                if offset < range.first || offset > range.last {
                    continue;
                }
                if !found.take(offset, line, room) {
                    after = found.last.max(after);
                    break 'scan;
                }
            }
            after = head.number(0).min(range.last);
            if after >= range.last {
                break 'scan;
            }
        }
        after = stretch.end.min(range.last);
    }
    Ok(found.into_page(after))
}

/// The last events that match.
struct Tail {
    /// The offset of the first of them.
    first: u64,
    /// How many there are.
    count: u64,
    /// Nothing before this offset was looked at, though there may be more; `None` when these are all that were wanted.
    before: Option<u64>,
}

/// Looks for the last `count` matching events.
fn first_of_last<S: Sql>(sql: &S, filter: &Filter, range: Range, count: u64) -> Result<Tail, Failure> {
    let mut first = range.last + 1;
    let mut found = 0;
    // The rows at or before this one are still to be looked at: the one that holds the range's end comes first.
    let last = sql.run("SELECT min(last) FROM log WHERE last >= ?", &[range.last.into()])?;
    let mut end = last.first().map_or(0, |row| row.number(0));
    let mut scanned = 0;
    while end >= range.first && scanned < limits::LAST_SCAN_ROWS {
        let rows = if scanned == 0 || filter.sieve.is_open() { NEAR_ROWS } else { FAR_ROWS };
        // A stretch ends where the next row's begins; 0 when there is none before.
        let before = sql.run(
            "SELECT last FROM log WHERE last <= ? ORDER BY last DESC LIMIT 1 OFFSET ?",
            &[end.into(), rows.into()],
        )?;
        let before = before.first().map_or(0, |row| row.number(0));
        scanned += rows;
        for head in filter.sieve.rows(sql, before, end)?.iter().rev() {
            for (offset, _) in matching(sql, filter, head)?.into_iter().rev() {
                if offset < range.first || offset > range.last {
                    continue;
                }
                if found == count {
                    return Ok(Tail { first, count, before: None });
                }
                found += 1;
                first = offset;
            }
        }
        end = before;
    }
    let before = (end >= range.first && found < count).then_some(end + 1);
    Ok(Tail { first, count: found, before })
}

/// The matching events of one row.
fn matching<S: Sql>(sql: &S, filter: &Filter, head: &Row) -> Result<Vec<(u64, String)>, Failure> {
    if !filter.may_match_row(head.text(2)) {
        return Ok(Vec::new());
    }
    let rows = sql.run("SELECT lines FROM log WHERE last = ?", &[head.number(0).into()])?;
    let first = head.number(0) + 1 - head.number(1);
    Ok(rows
        .first()
        .into_iter()
        .flat_map(|row| lines_with_types(row.text(0)))
        .zip(first..)
        .filter(|((line, event_type), _)| filter.matches(event_type, line))
        .map(|((line, _), offset)| (offset, line.to_owned()))
        .collect())
}

/// Events that matched so far.
#[derive(Default)]
struct Found {
    lines: Vec<String>,
    bytes: u64,
    last: u64,
}

impl Found {
    /// False when the page is full; the event is not taken then.
    fn take(&mut self, offset: u64, line: String, room: Room) -> bool {
        let bytes = self.bytes + line.len() as u64;
        let full = self.lines.len() as u64 >= room.events || bytes > room.bytes;
        if full && !self.lines.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.last = offset;
        self.lines.push(line);
        true
    }

    fn into_page<T: Text>(self, after: u64) -> Page<T> {
        let count = self.lines.len() as u64;
        Page { lines: T::from_str(&self.lines.join(SEPARATOR)), count, after, ..Page::default() }
    }
}
