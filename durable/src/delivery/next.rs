//! Which events a subscription is handed next.

use serde::Deserialize;
use tailrace_model::limits;
use tailrace_model::line::StoredEvent;
use tailrace_model::state::Subscribed;

use super::Delivery;
use crate::Failure;
use crate::log::lines_with_types;
use crate::scan::{FAR_ROWS, NEAR_ROWS, Stretch};
use crate::sql::{Row, Sql};
use crate::stream::Stream;

/// What is due next.
pub(super) struct Batch {
    pub events: Vec<(u64, String)>,
    /// They are only to be folded.
    pub replay: bool,
    /// Up to where was looked.
    pub seen: u64,
}

/// What is due next: the events of the first attempt, or those behind the cursor that match, never old and new ones mixed.
pub(super) fn next_batch<S: Sql>(
    sql: &S,
    delivery: &Delivery,
    subscribed: &Subscribed,
    head: u64,
) -> Result<Batch, Failure> {
    let progress = &delivery.progress;
    let (after, until, count) = match progress.range {
        Some((first, last)) => (first - 1, last, u64::MAX),
        None => (progress.cursor, head, subscribed.config.batch),
    };
    let mut replay = None;
    let mut bytes = 0;
    let is_retry = progress.range.is_some();
    let (events, seen) = matching(sql, delivery, after, until, count, &mut |event: (u64, &str)| {
        let (offset, line) = event;
        let folds = offset <= progress.replay_until || is_imported(line);
        bytes += line.len();
        let fits = replay.is_none() || (bytes <= limits::DELIVERY_BYTES && replay == Some(folds));
        if fits || is_retry {
            replay.get_or_insert(folds);
        }
        fits || is_retry
    })?;
    Ok(Batch { events, replay: replay.unwrap_or(false), seen })
}

/// The offset of the event that a subscription is handed next.
pub(super) fn next_offset<S: Sql>(stream: &Stream<S>, slug: &str) -> Result<Option<u64>, Failure> {
    let Some(life) = stream.life.as_ref() else { return Ok(None) };
    let Some(delivery) = life.deliveries.get(slug) else { return Ok(None) };
    if let Some((first, _)) = delivery.progress.range {
        return Ok(Some(first));
    }
    let mut after = delivery.progress.cursor;
    while after < life.head {
        let (found, seen) = first_match(&stream.sql, delivery, after, life.head)?;
        if found.is_some() {
            return Ok(found);
        }
        after = seen;
    }
    Ok(None)
}

/// Moves the cursor behind what does not match, so that `pending` is true only when something does.
pub(super) fn look_ahead<S: Sql>(stream: &mut Stream<S>, slug: &str) -> Result<(), Failure> {
    let Some(life) = stream.life.as_mut() else { return Ok(()) };
    let head = life.head;
    let Some(delivery) = life.deliveries.get_mut(slug) else { return Ok(()) };
    if delivery.lease().is_some() || delivery.progress.range.is_some() {
        return Ok(());
    }
    let (found, seen) = first_match(&stream.sql, delivery, delivery.progress.cursor, head)?;
    if found.is_none() {
        delivery.progress.cursor = seen;
        delivery.pending = seen < head;
        delivery.told &= delivery.pending;
    } else {
        delivery.pending = true;
    }
    Ok(())
}

/// History from elsewhere: it happened, but not now.
fn is_imported(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        tailrace: Option<System<'a>>,
    }
    #[derive(Deserialize)]
    struct System<'a> {
        #[serde(borrow, default)]
        origin: Option<&'a serde_json::value::RawValue>,
    }
    if !line.contains("\"origin\":") {
        return false;
    }
    let metadata = StoredEvent::parse(line).ok().and_then(|event| event.metadata);
    let metadata = metadata.and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok());
    metadata.and_then(|it| it.tailrace).is_some_and(|it| it.origin.is_some())
}

/// The offset of the next event behind `after` that matches by type, and up to where was looked. A row in which all match
/// is not looked into: it may be long.
fn first_match<S: Sql>(sql: &S, delivery: &Delivery, after: u64, until: u64) -> Result<(Option<u64>, u64), Failure> {
    let (mut seen, mut scanned) = (after, 0);
    while seen < until && scanned < limits::LEASE_SCAN_ROWS {
        let look = Look::behind(sql, delivery, seen, if scanned == 0 { 4 } else { FAR_ROWS })?;
        for head in &look.heads {
            let (last, first) = (head.number(0), head.number(0) + 1 - head.number(1));
            let matches = |event_type: &str| delivery.matches(event_type);
            if head.text(2).split('\n').all(matches) {
                return Ok((Some(first.max(seen + 1)), seen));
            }
            if head.text(2).split('\n').any(matches) {
                let (found, seen) = matching(sql, delivery, seen, last.min(until), 1, &mut |_| true)?;
                if let Some((offset, _)) = found.first() {
                    return Ok((Some(*offset), seen));
                }
            }
            seen = seen.max(last.min(until));
        }
        if look.rows == 0 {
            break;
        }
        seen = look.end.min(until);
        scanned += look.rows;
    }
    Ok((None, seen))
}

/// The next rows of the log.
struct Look {
    /// `(last, count, types)` of those in which something may match.
    heads: Vec<Row>,
    /// The last offset in all of them.
    end: u64,
    /// How many there are.
    rows: u64,
}

impl Look {
    /// At most `rows` of them, few where all pass. A few are just read; of many, the database passes over those in which
    /// nothing matches.
    fn behind<S: Sql>(sql: &S, delivery: &Delivery, after: u64, rows: u64) -> Result<Self, Failure> {
        if rows <= NEAR_ROWS || delivery.sieve.is_open() {
            let heads = sql.run(
                "SELECT last, count, types FROM log WHERE last > ? ORDER BY last LIMIT ?",
                &[after.into(), rows.min(NEAR_ROWS).into()],
            )?;
            return Ok(Self {
                end: heads.last().map_or(after, |head| head.number(0)),
                rows: heads.len() as u64,
                heads,
            });
        }
        let Stretch { end, rows } = Stretch::behind(sql, after, rows)?;
        let heads = if rows == 0 { Vec::new() } else { delivery.sieve.rows(sql, after, end)? };
        Ok(Self { heads, end, rows })
    }
}

/// The next events behind `after`, up to `until`, that match by type: at most `count`, and only as long as `take` says so.
/// Also up to where was looked.
fn matching<S: Sql>(
    sql: &S,
    delivery: &Delivery,
    after: u64,
    until: u64,
    count: u64,
    take: &mut dyn FnMut((u64, &str)) -> bool,
) -> Result<(Vec<(u64, String)>, u64), Failure> {
    let mut found: Vec<(u64, String)> = Vec::new();
    let (mut seen, mut scanned) = (after, 0);
    let mut rows = NEAR_ROWS.min(count.max(8));
    while seen < until && scanned < limits::LEASE_SCAN_ROWS {
        let before = found.len();
        let look = Look::behind(sql, delivery, seen, rows)?;
        for head in &look.heads {
            if head.text(2).split('\n').any(|event_type| delivery.matches(event_type)) {
                let lines = sql.run("SELECT lines FROM log WHERE last = ?", &[head.number(0).into()])?;
                let Some(row) = lines.first() else { continue };
                let first = head.number(0) + 1 - head.number(1);
                for ((line, event_type), offset) in lines_with_types(row.text(0)).zip(first..) {
                    if offset <= seen || offset > until || !delivery.matches(&event_type) {
                        continue;
                    }
                    if found.len() as u64 >= count || !take((offset, line)) {
                        return Ok((found, seen));
                    }
                    found.push((offset, line.to_owned()));
                    seen = offset;
                }
            }
            seen = seen.max(head.number(0).min(until));
            if seen >= until {
                break;
            }
        }
        if found.len() as u64 >= count || look.rows == 0 {
            break;
        }
        seen = look.end.min(until);
        scanned += look.rows;
        // Where nothing matched so far, what does is rare.
        rows = if found.len() > before { NEAR_ROWS } else { FAR_ROWS };
    }
    Ok((found, seen))
}
