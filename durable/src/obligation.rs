//! What is owed to other streams: rows, never memory. Written with the commit that makes it owed, gone once it is done.
//!
//! An alarm asks for the next call, which pushes the row's next attempt into the future before the call is made, and
//! reports how it went. If the process dies in between, the row is due again.

use serde::{Deserialize, Serialize};
use tailrace_model::time::Millis;

use crate::Failure;
use crate::children;
use crate::delivery::outbox::{self, Outgoing};
use crate::parking;
use crate::raw;
use crate::schedule;
use crate::sql::{Row, Sql};
use crate::stream::{Moment, Stream};

/// Seconds between attempts at most.
const LONGEST_PAUSE_S: u32 = 60;

/// A call to make on another stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The obligation it is for.
    pub id: u64,
    /// The other stream's path.
    pub to: String,
    /// What it is told.
    pub message: Message,
}

/// What one stream tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Message {
    /// To the parent: I was born.
    Born {
        /// Who speaks.
        path: String,
        /// Its life.
        generation: String,
        /// When it was born.
        created_at: Millis,
    },
    /// To the parent: I was deleted.
    Died {
        /// Who speaks.
        path: String,
        /// The life that ended.
        generation: String,
    },
    /// To a child: this control event holds for you too.
    Holds(Inherited),
    /// To a stream above: something is due here for a subscription that you have.
    Due {
        /// The subscription.
        slug: String,
        /// Who speaks.
        path: String,
        /// Tells this notice from later ones.
        mark: String,
        /// Not before.
        at: Millis,
    },
    /// To any stream: append this.
    Append(Outgoing),
    /// To a child: delete yourself and all below.
    Delete {
        /// The life of it that the list has.
        generation: String,
    },
}

/// A control event that comes from above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inherited {
    /// The stream above.
    pub path: String,
    /// Its life.
    pub generation: String,
    /// The event's offset there.
    pub offset: u64,
    /// How far the chain of causes has come.
    pub hops: u32,
    /// Model turns in it.
    pub turns: u32,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The event's payload, as JSON text.
    pub payload: String,
    /// The event that all copies come from.
    pub root: Root,
}

/// The event that an inherited control event is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// Its stream.
    pub stream_path: String,
    /// Its offset there.
    pub offset: u64,
    /// When it was written.
    pub created_at: Millis,
}

/// Why a stream does not take what it was to append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The problem's code.
    pub code: String,
    /// What it was this time.
    pub detail: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

/// How a stream answers what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// What holds for a child that was just born.
    pub inherited: Vec<Inherited>,
    /// True when there is no such stream (any more).
    pub gone: bool,
    /// Set when it does not take what it was to append.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// Kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tell the parent of a birth.
    TellBirth,
    /// Tell the parent of a death.
    TellDeath,
    /// Hand a control event to every child.
    Relay,
    /// Hand it to one that could not be reached then.
    RelayToOne,
    /// Tell a stream above that something is due.
    TellDue,
    /// Delete all below, then the stream itself.
    DeleteBelow,
    /// Forget bytes that no event came to name.
    SweepUpload,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::TellBirth,
        Self::TellDeath,
        Self::Relay,
        Self::RelayToOne,
        Self::TellDue,
        Self::DeleteBelow,
        Self::SweepUpload,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TellBirth => "tell-birth",
            Self::TellDeath => "tell-death",
            Self::Relay => "relay",
            Self::RelayToOne => "relay-to-one",
            Self::TellDue => "tell-due",
            Self::DeleteBelow => "delete-below",
            Self::SweepUpload => "sweep-upload",
        }
    }
}

/// A row.
pub(crate) struct Obligation {
    pub id: u64,
    pub attempt: u32,
    pub kind: Kind,
    pub detail: String,
}

/// Writes a row.
pub(crate) fn owe<S: Sql>(stream: &mut Stream<S>, due: Millis, kind: Kind, detail: &str) -> Result<(), Failure> {
    stream.sql.run(
        "INSERT INTO obligations (due, attempt, kind, detail) VALUES (?, 0, ?, ?)",
        &[due.into(), kind.name().into(), detail.into()],
    )?;
    stream.next_due = Some(stream.next_due.map_or(due, |first| first.min(due)));
    Ok(())
}

/// When the first row is due.
pub(crate) fn first_due<S: Sql>(sql: &S) -> Result<Option<Millis>, Failure> {
    let rows = sql.run("SELECT min(due) FROM obligations", &[])?;
    Ok(rows.first().filter(|row| !row.is_null(0)).map(|row| row.integer(0)))
}

pub(crate) fn forget<S: Sql>(stream: &mut Stream<S>, id: u64) -> Result<(), Failure> {
    stream.sql.run("DELETE FROM obligations WHERE id = ?", &[id.into()])?;
    refresh(stream)
}

/// Changes what a row is about and when it is due.
pub(crate) fn put_off<S: Sql>(
    stream: &mut Stream<S>,
    id: u64,
    due: Millis,
    attempt: u32,
    detail: &str,
) -> Result<(), Failure> {
    stream.sql.run(
        "UPDATE obligations SET due = ?, attempt = ?, detail = ? WHERE id = ?",
        &[due.into(), u64::from(attempt).into(), detail.into(), id.into()],
    )?;
    refresh(stream)
}

pub(crate) fn refresh<S: Sql>(stream: &mut Stream<S>) -> Result<(), Failure> {
    stream.next_due = first_due(&stream.sql)?;
    Ok(())
}

/// Does what is due and needs nobody else, and returns the next call that is to be made; `None` when nothing is due.
/// The caller makes the call and then says how it went: [`settle`].
///
/// # Errors
/// [`Failure::Storage`]
pub fn next_call<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<Option<Call>, Failure> {
    parking::let_in(stream, now)?;
    schedule::fire(stream, now)?;
    if let Some(call) = outbox::next_call(stream, now)? {
        return Ok(Some(call));
    }
    while stream.next_due.is_some_and(|due| due <= now.at) {
        let Some(obligation) = first(&stream.sql, now.at)? else {
            refresh(stream)?;
            break;
        };
        // Re-arm first: whatever happens to the call, the row is due again.
        let again = now.at + i64::from(pause_s(obligation.attempt)) * 1_000;
        put_off(stream, obligation.id, again, obligation.attempt.saturating_add(1), &obligation.detail)?;
        let told = match obligation.kind {
            Kind::TellBirth | Kind::TellDeath => children::birth_or_death(stream, &obligation)?,
            Kind::Relay => children::relay(stream, &obligation)?,
            Kind::RelayToOne => children::relay_to_one(stream, &obligation)?,
            Kind::TellDue => Some(told_from(&obligation)?),
            Kind::DeleteBelow => children::delete_below(stream, now, &obligation)?,
            Kind::SweepUpload => {
                raw::discard(stream, &obligation.detail)?;
                None
            }
        };
        if let Some((to, message)) = told {
            return Ok(Some(Call { id: obligation.id, to, message }));
        }
    }
    Ok(None)
}

fn told_from(obligation: &Obligation) -> Result<(String, Message), Failure> {
    #[derive(Deserialize)]
    struct Told {
        to: String,
        message: Message,
    }
    let told: Told = serde_json::from_str(&obligation.detail).map_err(|error| Failure::Storage(error.to_string()))?;
    Ok((told.to, told.message))
}

/// Takes in how a call went: `None` = it did not arrive, and is tried again later.
///
/// # Errors
/// [`Failure`]
pub fn settle<S: Sql>(stream: &mut Stream<S>, now: Moment, call: &Call, reply: Option<&Reply>) -> Result<(), Failure> {
    let Some(reply) = reply else {
        // Nobody waits for one that cannot be reached; what else is owed is due again by itself.
        return if matches!(call.message, Message::Holds(_)) {
            children::leave_behind(stream, now, call)
        } else {
            Ok(())
        };
    };
    match &call.message {
        Message::Append(_) => outbox::settle(stream, now, call, reply),
        Message::Due { .. } => forget(stream, call.id),
        Message::Born { .. } | Message::Died { .. } => {
            forget(stream, call.id)?;
            for inherited in &reply.inherited {
                children::take_over(stream, now, inherited, true)?;
            }
            Ok(())
        }
        Message::Holds(_) => children::handed_on(stream, now, call),
        Message::Delete { generation } => {
            if reply.gone {
                children::found_gone(stream, now, &call.to, generation)?;
            }
            children::move_on(stream, now, call)
        }
    }
}

/// The row with this id, if it is still there.
pub(crate) fn find<S: Sql>(sql: &S, id: u64) -> Result<Option<Obligation>, Failure> {
    let rows = sql.run("SELECT id, attempt, kind, detail FROM obligations WHERE id = ?", &[id.into()])?;
    Ok(rows.first().and_then(read))
}

/// The rows of a kind.
pub(crate) fn of_kind<S: Sql>(sql: &S, kind: Kind) -> Result<Vec<Obligation>, Failure> {
    let rows = sql.run("SELECT id, attempt, kind, detail FROM obligations WHERE kind = ?", &[kind.name().into()])?;
    Ok(rows.iter().filter_map(read).collect())
}

/// When the first row of the same kind that was written before this one is due; `None` when there is none left.
pub(crate) fn due_before_it<S: Sql>(sql: &S, obligation: &Obligation) -> Result<Option<Millis>, Failure> {
    let rows = sql.run(
        "SELECT min(due) FROM obligations WHERE kind = ? AND id < ?",
        &[obligation.kind.name().into(), obligation.id.into()],
    )?;
    Ok(rows.first().filter(|row| !row.is_null(0)).map(|row| row.integer(0)))
}

fn first<S: Sql>(sql: &S, now: Millis) -> Result<Option<Obligation>, Failure> {
    let rows = sql.run(
        "SELECT id, attempt, kind, detail FROM obligations WHERE due <= ? ORDER BY due, id LIMIT 1",
        &[now.into()],
    )?;
    Ok(rows.first().and_then(read))
}

fn read(row: &Row) -> Option<Obligation> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == row.text(2))?;
    let attempt = u32::try_from(row.number(1)).unwrap_or(u32::MAX);
    Some(Obligation { id: row.number(0), attempt, kind, detail: row.text(3).to_owned() })
}

/// 1, 2, 4 … 60 seconds.
pub(crate) fn pause_s(attempt: u32) -> u32 {
    1_u32.checked_shl(attempt).unwrap_or(LONGEST_PAUSE_S).clamp(1, LONGEST_PAUSE_S)
}
