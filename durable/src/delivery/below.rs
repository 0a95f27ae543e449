//! One lease for everything below a path: a stream that has something due tells the stream above where the subscription
//! was configured, and a worker is sent to one of those. Nobody polls them all.

use serde_json::json;
use tailrace_model::Problem;
use tailrace_model::time::Millis;

use crate::sql::Sql;
use crate::stream::{Moment, Stream};
use crate::{Failure, obligation};

/// Where a worker is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// To this stream; the mark tells this notice from later ones.
    Stream {
        /// Its path.
        path: String,
        /// The notice.
        mark: String,
    },
    /// Nothing below has anything due; something may at this time.
    Nothing {
        /// When to ask again at the latest.
        again: Option<Millis>,
    },
    /// This stream has the subscription from another one above: ask there.
    Above(String),
}

/// Owes the streams above the news of what is due here and not known there.
pub(crate) fn tell<S: Sql>(stream: &mut Stream<S>, now: Moment) -> Result<(), Failure> {
    let Some(life) = stream.life.as_mut() else { return Ok(()) };
    let mut news = Vec::new();
    for (slug, delivery) in &mut life.deliveries {
        let Some(subscribed) = life.state.subscriptions.get(slug).filter(|it| it.config.is_pulled()) else { continue };
        let is_paused = life.state.paused.is_some() && !subscribed.config.while_paused;
        let is_due = delivery.pending && delivery.lease().is_none_or(|lease| lease.expires <= now.at);
        if delivery.told || !is_due || is_paused || subscribed.halted.is_some() {
            continue;
        }
        delivery.told = true;
        stream.news.push(slug.clone());
        if let Some(root) = &delivery.progress.root {
            news.push((slug.clone(), root.clone(), delivery.progress.due.unwrap_or(now.at)));
        }
    }
    for (slug, root, at) in news {
        let mark = format!("{}.{:x}", stream.head(), now.random);
        let message = obligation::Message::Due { slug, path: stream.path().to_string(), mark, at };
        let detail = json!({"to": root, "message": message}).to_string();
        obligation::owe(stream, now.at, obligation::Kind::TellDue, &detail)?;
    }
    Ok(())
}

/// A stream below has something due.
pub(crate) fn hear<S: Sql>(
    stream: &mut Stream<S>,
    slug: &str,
    path: &str,
    mark: &str,
    at: Millis,
) -> Result<(), Failure> {
    stream.sql.run(
        "INSERT INTO below (slug, path, mark, due) VALUES (?, ?, ?, ?)
         ON CONFLICT (slug, path) DO UPDATE SET mark = excluded.mark, due = excluded.due",
        &[slug.into(), path.into(), mark.into(), at.into()],
    )?;
    stream.news.push(slug.to_owned());
    Ok(())
}

/// Picks a stream at or below `prefix` that has something due for the subscription. For `for_ms` nobody else is sent there,
/// unless it says anew that something is due.
///
/// # Errors
/// [`Problem::NotFound`] when there is no such subscription; [`Failure::Storage`].
pub fn pick<S: Sql>(
    stream: &mut Stream<S>,
    now: Moment,
    slug: &str,
    prefix: &str,
    for_ms: u64,
) -> Result<Picked, Failure> {
    let missing = || Problem::NotFound { detail: format!("this stream has no subscription {slug}") };
    let life = stream.life.as_ref().ok_or_else(missing)?;
    let subscribed = life.state.subscriptions.get(slug).ok_or_else(missing)?;
    if let Some(root) = life.deliveries.get(slug).and_then(|delivery| delivery.progress.root.clone()) {
        return Ok(Picked::Above(root));
    }
    // Whether this stream itself is paused, or its own subscription halted, is nothing to those below.
    if !subscribed.config.children {
        return Ok(Picked::Nothing { again: None });
    }
    // Everything below a path stands between it with `/` and it with `0`, which comes next.
    let base = prefix.trim_end_matches('/');
    let (from, to) = (format!("{base}/"), format!("{base}0"));
    let rows = stream.sql.run(
        "SELECT path, mark, due FROM below WHERE slug = ? AND path >= ? AND path < ? ORDER BY due LIMIT 1",
        &[slug.into(), from.as_str().into(), to.as_str().into()],
    )?;
    let Some(row) = rows.first() else { return Ok(Picked::Nothing { again: None }) };
    if row.integer(2) > now.at {
        return Ok(Picked::Nothing { again: Some(row.integer(2)) });
    }
    let again = now.at + i64::try_from(for_ms).unwrap_or(0);
    stream.sql.run(
        "UPDATE below SET due = ? WHERE slug = ? AND path = ?",
        &[again.into(), slug.into(), row.text(0).into()],
    )?;
    Ok(Picked::Stream { path: row.text(0).to_owned(), mark: row.text(1).to_owned() })
}

/// A stream that was picked had nothing due before `again`, or at all, unless it said so anew meanwhile.
///
/// # Errors
/// [`Failure::Storage`]
pub fn unpick<S: Sql>(
    stream: &mut Stream<S>,
    slug: &str,
    path: &str,
    mark: &str,
    again: Option<Millis>,
) -> Result<(), Failure> {
    if stream.life.is_none() {
        return Ok(());
    }
    let rows = match again {
        // Somebody else has what is due there: it is due again when that lease runs out.
        Some(again) => stream.sql.run(
            "UPDATE below SET due = ? WHERE slug = ? AND path = ? AND mark = ?",
            &[again.into(), slug.into(), path.into(), mark.into()],
        )?,
        None => stream.sql.run(
            "DELETE FROM below WHERE slug = ? AND path = ? AND mark = ?",
            &[slug.into(), path.into(), mark.into()],
        )?,
    };
    drop(rows);
    Ok(())
}

/// The subscription is gone: nobody is sent anywhere for it.
pub(super) fn forget<S: Sql>(stream: &Stream<S>, slug: &str) -> Result<(), Failure> {
    stream.sql.run("DELETE FROM below WHERE slug = ?", &[slug.into()]).map(drop)
}
