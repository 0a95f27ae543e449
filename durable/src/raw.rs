//! The exact bytes of hooks. Large ones come in parts, before the event that names them; they are seen only through it.

use tailrace_model::hook;
use tailrace_model::line::StoredEvent;
use tailrace_model::problem::Problem;

use crate::obligation::{self, Kind};
use crate::sql::{Param, Sql};
use crate::stream::{Moment, Stream};
use crate::{Failure, schema};

/// Milliseconds after which bytes that no event came to name are forgotten.
const SWEEP_AFTER_MS: i64 = 3_600_000;

/// The exact bytes of the hook at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// What the sender called it.
    pub content_type: Option<String>,
    /// Where the bytes are.
    pub bytes: Bytes,
}

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// All of them.
    Whole(Vec<u8>),
    /// In so many parts; see [`part`].
    Parts {
        /// The name they are kept under.
        id: String,
        /// How many.
        count: u64,
        /// Bytes of all together.
        size: u64,
    },
}

/// Stores part `number` of the bytes that an event will name `id`.
///
/// # Errors
/// [`Failure`]
pub fn upload<S: Sql>(stream: &mut Stream<S>, now: Moment, id: &str, number: u64, bytes: &[u8]) -> Result<(), Failure> {
    if number == 0 {
        schema::create_for_upload(&stream.sql)?;
        obligation::owe(stream, now.at + SWEEP_AFTER_MS, Kind::SweepUpload, id)?;
    } else if !is_uploaded(stream, id)? {
        return Err(lost().into());
    }
    keep(stream, id, number, bytes)
}

/// True while an upload waits for the event that names it.
pub(crate) fn is_uploaded<S: Sql>(stream: &Stream<S>, id: &str) -> Result<bool, Failure> {
    if !schema::exists(&stream.sql, "raw")? {
        return Ok(false);
    }
    let rows = stream.sql.run("SELECT 1 FROM raw WHERE id = ? LIMIT 1", &[id.into()])?;
    Ok(!rows.is_empty())
}

/// What is said when the stream was deleted while bytes for it came in.
pub(crate) fn lost() -> Problem {
    Problem::Unavailable { detail: "the stream was deleted while the body came in".to_owned(), retry_after: 1 }
}

/// Stores bytes that come with their event.
pub(crate) fn keep<S: Sql>(stream: &Stream<S>, id: &str, number: u64, bytes: &[u8]) -> Result<(), Failure> {
    stream
        .sql
        .run("INSERT INTO raw (id, part, bytes) VALUES (?, ?, ?)", &[id.into(), number.into(), Param::Blob(bytes)])
        .map(drop)
}

/// An event names the bytes now: they stay.
pub(crate) fn adopt<S: Sql>(stream: &mut Stream<S>, id: &str) -> Result<(), Failure> {
    let rows = stream.sql.run(
        "DELETE FROM obligations WHERE kind = ? AND detail = ? RETURNING id",
        &[Kind::SweepUpload.name().into(), id.into()],
    )?;
    if rows.is_empty() {
        return Err(Failure::Storage(format!("no bytes were uploaded as {id}")));
    }
    obligation::refresh(stream)
}

/// Forgets bytes that no event names.
///
/// # Errors
/// [`Failure::Storage`]
pub fn discard<S: Sql>(stream: &mut Stream<S>, id: &str) -> Result<(), Failure> {
    if !schema::exists(&stream.sql, "raw")? {
        return Ok(());
    }
    stream.sql.run("DELETE FROM raw WHERE id = ?", &[id.into()])?;
    stream
        .sql
        .run("DELETE FROM obligations WHERE kind = ? AND detail = ?", &[Kind::SweepUpload.name().into(), id.into()])?;
    obligation::refresh(stream)
}

/// The exact bytes that the hook at `offset` received.
///
/// # Errors
/// [`Problem::StreamNotFound`]; [`Problem::NotFound`] when the event is no hook's.
pub fn of<S: Sql>(stream: &Stream<S>, offset: u64) -> Result<Raw, Failure> {
    stream.life()?;
    let none = || Problem::NotFound { detail: format!("no hook was received at offset {offset}") };
    let stored = stream.event_at(offset)?.ok_or_else(none)?;
    let event = StoredEvent::parse(&stored.line).map_err(|error| Failure::Storage(error.to_string()))?;
    let content_type = hook::content_type_of(event.payload.get());
    if let Some(id) = stored.raw {
        let rows =
            stream.sql.run("SELECT count(*), sum(length(bytes)) FROM raw WHERE id = ?", &[id.as_str().into()])?;
        let (count, size) = rows.first().map_or((0, 0), |row| (row.number(0), row.number(1)));
        return Ok(Raw { content_type, bytes: Bytes::Parts { id, count, size } });
    }
    if event.event_type != hook::RECEIVED {
        return Err(none().into());
    }
    let bytes = hook::bytes_of(event.payload.get()).ok_or_else(none)?;
    Ok(Raw { content_type, bytes: Bytes::Whole(bytes) })
}

/// One part of the bytes kept under `id`.
///
/// # Errors
/// [`Failure::Storage`] when there is none.
pub fn part<S: Sql>(stream: &Stream<S>, id: &str, number: u64) -> Result<Vec<u8>, Failure> {
    let rows = stream.sql.run("SELECT bytes FROM raw WHERE id = ? AND part = ?", &[id.into(), number.into()])?;
    let row = rows.first().ok_or_else(|| Failure::Storage(format!("part {number} of {id} is not there")))?;
    Ok(row.blob(0).to_vec())
}
