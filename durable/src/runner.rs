//! What a Runner owes: calls of models. A call is a row before it is made, with its attempt and the time at which somebody
//! looks after it; its end is told to the stream under a name of its own, so exactly one end lands, whoever crashes.
//!
//! A row goes `due` -> `asking` -> `telling`, and then it is gone, or `due` again for the next attempt. Whoever finds a row
//! that is asking, and nobody at it, knows that the attempt died with its process.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tailrace_model::limits;
use tailrace_model::text::cut;
use tailrace_model::time::{Millis, to_rfc3339};

use crate::speech::{Outcome, end_key};
use crate::sql::{Param, Row, Sql};
use crate::stream::Moment;
use crate::{Failure, schema};

/// A call of a model to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// The agent's stream.
    pub path: String,
    /// Its life.
    pub generation: String,
    /// The agent.
    pub slug: String,
    /// The request.
    pub request_id: String,
    /// Which turn.
    pub turn: u64,
    /// The last event that the request is made of.
    pub up_to: u64,
    /// `agent.turn-started` of it.
    pub started: u64,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "do")]
pub enum Work {
    /// Call the model.
    Ask {
        /// Which call.
        ask: Ask,
        /// The how manieth attempt, from 1.
        attempt: u32,
    },
    /// Tell the stream.
    Tell {
        /// Where.
        path: String,
        /// What.
        outcome: Outcome,
    },
}

/// How an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failed {
    /// For people.
    pub error: String,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// Trying again may help.
    pub retryable: bool,
    /// Milliseconds that the provider wants to be left alone.
    pub retry_after_ms: Option<u64>,
}

/// One row a call. `tell` and `payload` are what the stream is to be told, `again` when the next attempt is made behind that; none = it
/// was the last. `losses` are the attempts that died with their process: they say nothing about the model. `stops` says that somebody broke it off.
const CALLS: &str = "CREATE TABLE IF NOT EXISTS calls (
    request TEXT PRIMARY KEY, ask TEXT NOT NULL, phase TEXT NOT NULL, attempt INTEGER NOT NULL, due INTEGER NOT NULL,
    losses INTEGER NOT NULL, stops INTEGER NOT NULL, tell TEXT, payload TEXT, again INTEGER) WITHOUT ROWID";

/// Somebody who is at a row says so at least this often.
pub const BEAT_MS: Millis = 4_000;

/// A row at which nobody has been for so long is looked after.
const WATCH_MS: Millis = 10_000;

/// When the stream does not take what it is told, it is told again.
const TELL_AGAIN_MS: Millis = 2_000;

/// While the stream is paused nothing is called; it says when it goes on, and this is for when that is lost.
const PAUSED_MS: Millis = 3_600_000;

/// From one attempt to the next; after the last it is given up.
const DELAYS_MS: [Millis; 4] = [1_000, 4_000, 15_000, 60_000];

/// So many attempts may die with their process. Each may have cost money.
const LOSSES: u32 = 20;

/// A provider may ask for so much patience.
const RETRY_AFTER_MAX_MS: u64 = 300_000;

/// The payload of an event that fits in its line with everything else.
const PAYLOAD_BYTES: usize = limits::EVENT_BYTES - 4 * 1_024;

/// A Runner's rows.
pub struct Runner<S: Sql> {
    sql: S,
}

impl<S: Sql> Runner<S> {
    /// A Runner with this storage. Writes nothing.
    pub fn new(sql: S) -> Self {
        Self { sql }
    }

    /// Owes a call, if it is not owed already. One that waits because its stream was paused goes on.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn owe(&self, now: Moment, ask: &Ask) -> Result<(), Failure> {
        self.sql.run(CALLS, &[])?;
        let text = serde_json::to_string(ask).map_err(|error| Failure::Storage(error.to_string()))?;
        self.sql.run(
            "INSERT INTO calls (request, ask, phase, attempt, due, losses, stops) VALUES (?, ?, 'due', 0, ?, 0, 0)
             ON CONFLICT (request) DO UPDATE SET due = min(due, excluded.due) WHERE phase = 'paused'",
            &[ask.request_id.as_str().into(), text.as_str().into(), now.at.into()],
        )?;
        self.sql.run(
            "UPDATE calls SET phase = 'due' WHERE request = ? AND phase = 'paused'",
            &[ask.request_id.as_str().into()],
        )?;
        Ok(())
    }

    /// Breaks a call off: what was said until then is told as its end. One that is not known gets an end as well; if it has
    /// one already, that counts.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn break_off(&self, now: Moment, ask: &Ask) -> Result<(), Failure> {
        self.owe(now, ask)?;
        let id = ask.request_id.as_str();
        self.sql.run("UPDATE calls SET stops = 1 WHERE request = ?", &[id.into()])?;
        let waits =
            "SELECT 1 FROM calls WHERE request = ? AND (phase = 'due' OR (phase = 'telling' AND again IS NOT NULL))";
        if !self.sql.run(waits, &[id.into()])?.is_empty() {
            self.interrupted(now, id, "")?;
        }
        Ok(())
    }

    /// When something is to be done; `None` = never.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn due(&self) -> Result<Option<Millis>, Failure> {
        if !schema::exists(&self.sql, "calls")? {
            return Ok(None);
        }
        let rows = self.sql.run("SELECT min(due) FROM calls", &[])?;
        Ok(rows.first().filter(|row| !row.is_null(0)).map(|row| row.integer(0)))
    }

    /// What is to be done now, put off first: if whoever does it dies, it is found again.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn next(&self, now: Moment) -> Result<Option<Work>, Failure> {
        if !schema::exists(&self.sql, "calls")? {
            return Ok(None);
        }
        let rows = self.sql.run(
            "SELECT request, ask, phase, attempt, stops, tell, payload FROM calls WHERE due <= ? ORDER BY due, request LIMIT 1",
            &[now.at.into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let ask = ask_of(row)?;
        let attempt = u32::try_from(row.number(3)).unwrap_or(u32::MAX);
        match row.text(2) {
            "asking" | "due" | "paused" if row.number(4) == 1 => {
                self.interrupted(now, &ask.request_id, "")?;
                self.next(now)
            }
            "asking" => {
                self.lost(now, &ask.request_id)?;
                self.next(now)
            }
            "telling" => {
                self.put_off(&ask.request_id, now.at + TELL_AGAIN_MS)?;
                let outcome: Outcome =
                    serde_json::from_str(row.text(5)).map_err(|error| Failure::Storage(error.to_string()))?;
                Ok(Some(Work::Tell { path: ask.path, outcome: Outcome { payload: row.text(6).to_owned(), ..outcome } }))
            }
            _ => {
                self.sql.run(
                    "UPDATE calls SET phase = 'asking', attempt = attempt + 1, due = ? WHERE request = ?",
                    &[(now.at + WATCH_MS).into(), ask.request_id.as_str().into()],
                )?;
                Ok(Some(Work::Ask { ask, attempt: attempt + 1 }))
            }
        }
    }

    /// Somebody is at it. False when it was broken off meanwhile.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn beat(&self, now: Moment, request: &str) -> Result<bool, Failure> {
        self.put_off(request, now.at + WATCH_MS)?;
        Ok(!self.stops(request)?)
    }

    fn stops(&self, request: &str) -> Result<bool, Failure> {
        let stops = "SELECT 1 FROM calls WHERE request = ? AND stops = 1";
        Ok(!self.sql.run(stops, &[request.into()])?.is_empty())
    }

    /// The model answered: the payload of `agent.output-added`, as JSON.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn answered(&self, now: Moment, request: &str, payload: &str) -> Result<(), Failure> {
        if payload.len() > PAYLOAD_BYTES {
            let error = format!("the answer is longer than an event may be: {} bytes", payload.len());
            return self.failed(now, request, &Failed { error, ..Failed::default() });
        }
        self.ends(now, request, "agent.output-added", payload)
    }

    /// It was broken off, after so much was said.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn interrupted(&self, now: Moment, request: &str, partial: &str) -> Result<(), Failure> {
        let Some((ask, attempt)) = self.find(request)? else { return Ok(()) };
        let partial = cut(partial, limits::EVENT_BYTES / 4);
        let payload = json!({
            "agent": ask.slug, "turn": ask.turn, "requestId": request, "attempt": attempt, "partial": partial,
        });
        self.ends(now, request, "agent.turn-interrupted", &payload.to_string())
    }

    /// An attempt failed: it is told, and made again if that may help.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn failed(&self, now: Moment, request: &str, failed: &Failed) -> Result<(), Failure> {
        let attempt = self.find(request)?.map_or(0, |(_, attempt)| attempt);
        let losses = self.losses(request)?;
        self.fails(now, request, failed, retry_at(now, attempt.saturating_sub(losses), failed))
    }

    /// An attempt died with its process, which says nothing about the model: it is made again at once.
    fn lost(&self, now: Moment, request: &str) -> Result<(), Failure> {
        self.sql.run("UPDATE calls SET losses = losses + 1 WHERE request = ?", &[request.into()])?;
        let error = "the call was cut off: its process ended".to_owned();
        let failed = Failed { error, retryable: true, ..Failed::default() };
        let again = (self.losses(request)? <= LOSSES).then_some(now.at);
        self.fails(now, request, &failed, again)
    }

    fn losses(&self, request: &str) -> Result<u32, Failure> {
        let rows = self.sql.run("SELECT losses FROM calls WHERE request = ?", &[request.into()])?;
        Ok(rows.first().map_or(0, |row| u32::try_from(row.number(0)).unwrap_or(u32::MAX)))
    }

    fn fails(&self, now: Moment, request: &str, failed: &Failed, again: Option<Millis>) -> Result<(), Failure> {
        let Some((ask, attempt)) = self.find(request)? else { return Ok(()) };
        if self.stops(request)? {
            return self.interrupted(now, request, "");
        }
        let mut payload = json!({
            "agent": ask.slug, "turn": ask.turn, "requestId": request, "attempt": attempt,
            "error": cut(&failed.error, limits::REASON_BYTES), "final": again.is_none(),
        });
        if let Value::Object(fields) = &mut payload {
            if let Some(status) = failed.status {
                fields.insert("status".to_owned(), json!(status));
            }
            if let Some(at) = again {
                fields.insert("retryAt".to_owned(), json!(to_rfc3339(at)));
            }
        }
        let Some(again) = again else { return self.ends(now, request, "agent.turn-failed", &payload.to_string()) };
        let key = format!("{request}:failed:{attempt}");
        self.tell(now, &ask, "agent.turn-failed", &payload.to_string(), key, Some(again))
    }

    /// The stream was told what has this key. Gone, or due again; meanwhile there may be something else to tell.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn told(&self, request: &str, key: &str) -> Result<(), Failure> {
        self.sql.run(
            "DELETE FROM calls WHERE request = ? AND phase = 'telling' AND tell ->> 'key' = ? AND again IS NULL",
            &[request.into(), key.into()],
        )?;
        self.sql
            .run(
                "UPDATE calls SET phase = 'due', due = again, tell = NULL, payload = NULL, again = NULL
                 WHERE request = ? AND phase = 'telling' AND tell ->> 'key' = ?",
                &[request.into(), key.into()],
            )
            .map(drop)
    }

    /// Nobody waits for it any more.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn forget(&self, request: &str) -> Result<(), Failure> {
        self.sql.run("DELETE FROM calls WHERE request = ?", &[request.into()]).map(drop)
    }

    /// The stream is paused: the attempt was none.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn pause(&self, now: Moment, request: &str) -> Result<(), Failure> {
        if self.stops(request)? {
            return self.interrupted(now, request, "");
        }
        self.sql
            .run(
                "UPDATE calls SET phase = 'paused', attempt = attempt - 1, due = ? WHERE request = ? AND phase = 'asking'",
                &[(now.at + PAUSED_MS).into(), request.into()],
            )
            .map(drop)
    }

    fn ends(&self, now: Moment, request: &str, event_type: &str, payload: &str) -> Result<(), Failure> {
        let Some((ask, _)) = self.find(request)? else { return Ok(()) };
        self.tell(now, &ask, event_type, payload, end_key(request), None)
    }

    fn tell(
        &self,
        now: Moment,
        ask: &Ask,
        event_type: &str,
        payload: &str,
        key: String,
        again: Option<Millis>,
    ) -> Result<(), Failure> {
        let outcome = Outcome {
            generation: ask.generation.clone(),
            slug: ask.slug.clone(),
            request_id: ask.request_id.clone(),
            started: ask.started,
            event_type: event_type.to_owned(),
            // Beside it, for a text within a text takes up to twice its room.
            payload: String::new(),
            key,
        };
        let text = serde_json::to_string(&outcome).map_err(|error| Failure::Storage(error.to_string()))?;
        self.sql
            .run(
                "UPDATE calls SET phase = 'telling', due = ?, tell = ?, payload = ?, again = ? WHERE request = ?",
                &[
                    now.at.into(),
                    text.as_str().into(),
                    payload.into(),
                    again.map_or(Param::Null, Into::into),
                    ask.request_id.as_str().into(),
                ],
            )
            .map(drop)
    }

    fn put_off(&self, request: &str, until: Millis) -> Result<(), Failure> {
        self.sql.run("UPDATE calls SET due = ? WHERE request = ?", &[until.into(), request.into()]).map(drop)
    }

    fn find(&self, request: &str) -> Result<Option<(Ask, u32)>, Failure> {
        let rows =
            self.sql.run("SELECT request, ask, phase, attempt FROM calls WHERE request = ?", &[request.into()])?;
        rows.first().map(|row| Ok((ask_of(row)?, u32::try_from(row.number(3)).unwrap_or(u32::MAX)))).transpose()
    }
}

fn ask_of(row: &Row) -> Result<Ask, Failure> {
    serde_json::from_str(row.text(1)).map_err(|error| Failure::Storage(error.to_string()))
}

/// When the attempt after `attempt` is made: some time later, 20 % more or less, and not before the provider wants it.
/// `None` = it was the last, or would not help.
fn retry_at(now: Moment, attempt: u32, failed: &Failed) -> Option<Millis> {
    if !failed.retryable || failed.retry_after_ms.is_some_and(|ms| ms > RETRY_AFTER_MAX_MS) {
        return None;
    }
    let delay = DELAYS_MS.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
    let jittered = delay * 4 / 5 + delay * 2 / 5 * i64::try_from(now.random % 1_024).unwrap_or(0) / 1_023;
    let wanted = failed.retry_after_ms.map_or(0, |ms| i64::try_from(ms).unwrap_or(0));
    Some(now.at + jittered.max(wanted))
}
