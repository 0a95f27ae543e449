//! How far a subscription has come: its row.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tailrace_model::time::Millis;

use super::Delivery;
use crate::Failure;
use crate::sql::{Param, Sql};

/// How far a subscription has come. What is never null is written in one row of the table `deliveries`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Everything up to here is settled, or does not match.
    pub cursor: u64,
    /// The offset of the event that first configured it: what is removed and configured anew is another one.
    pub since: u64,
    /// Where it once began: a new version begins behind it again.
    pub begin: u64,
    /// The highest offset that was ever settled.
    pub settled: u64,
    /// Events up to here are only to be folded.
    pub replay_until: u64,
    /// Rises whenever events are delivered anew.
    pub epoch: u64,
    /// The version it was configured with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Attempts at `range` that did not end well.
    pub attempt: u32,
    /// Those of them that failed: after so many it is given up.
    pub failures: u32,
    /// The events of the first attempt, which every retry carries: first and last offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(u64, u64)>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Millis>,
    /// Hosted code wants to be asked again then, even if no event comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake: Option<Millis>,
    /// It waits for other subscriptions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Who has the events now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The last settle, so that a repeated one is answered as the first was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastSettle>,
    /// The last attempts, oldest first.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub attempts: VecDeque<Attempt>,
    /// The signing secret's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_version: Option<String>,
    /// The version before, and when it was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_before: Option<(Option<String>, Millis)>,
    /// The stream above where it was configured, if it holds here because of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// A batch that somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: String,
    /// The first event in it.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// When it was given.
    pub at: Millis,
    /// When it runs out.
    pub expires: Millis,
}

/// What the last settle was, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastSettle {
    /// The lease.
    pub lease: String,
    /// The `upTo` that was said.
    #[serde(default)]
    pub asked: Option<u64>,
    /// Up to which offset.
    pub up_to: u64,
    /// The attempt failed.
    #[serde(default)]
    pub failed: bool,
    /// What was answered.
    pub answer: String,
}

impl Lease {
    /// True when it is of no events: the time that its holder wanted to be asked again has come.
    #[must_use]
    pub fn is_wake(&self) -> bool {
        self.first > self.last
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempt {
    /// When it ended.
    pub at: Millis,
    /// The first event it carried.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The HTTP status it was answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub ms: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Writes a delivery's row; its state stays as it is.
pub(super) fn save<S: Sql>(sql: &S, slug: &str, delivery: &mut Delivery) -> Result<(), Failure> {
    sql.run(
        "UPDATE deliveries SET progress = ? WHERE slug = ?",
        &[text(&delivery.progress)?.as_str().into(), slug.into()],
    )?;
    delivery.saved = delivery.progress.cursor;
    Ok(())
}

/// Writes a delivery's row with its state.
pub(super) fn save_with_state<S: Sql>(
    sql: &S,
    slug: &str,
    delivery: &mut Delivery,
    state: Option<&str>,
) -> Result<(), Failure> {
    sql.run(
        "INSERT INTO deliveries (slug, progress, state) VALUES (?, ?, ?)
         ON CONFLICT (slug) DO UPDATE SET progress = excluded.progress, state = excluded.state",
        &[slug.into(), text(&delivery.progress)?.as_str().into(), state.map_or(Param::Null, Param::Text)],
    )?;
    delivery.saved = delivery.progress.cursor;
    Ok(())
}

fn text(progress: &Progress) -> Result<String, Failure> {
    serde_json::to_string(progress).map_err(|error| Failure::Storage(error.to_string()))
}

/// The state that a subscription keeps, as JSON text.
pub(super) fn state_of<S: Sql>(sql: &S, slug: &str) -> Result<Option<String>, Failure> {
    let rows = sql.run("SELECT state FROM deliveries WHERE slug = ?", &[slug.into()])?;
    Ok(rows.first().filter(|row| !row.is_null(0)).map(|row| row.text(0).to_owned()))
}
