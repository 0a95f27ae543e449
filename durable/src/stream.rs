//! One stream: what is kept of it in memory while its object is awake, and the way to everything that can be done with it.

use std::collections::BTreeMap;

use tailrace_model::StreamPath;
use tailrace_model::json;
use tailrace_model::problem::Problem;
use tailrace_model::state::ControlState;
use tailrace_model::time::Millis;

use crate::breaker::Window;
use crate::delivery::outbox::{self, Outbox};
use crate::delivery::{self, Delivery};
use crate::log::Stored;
use crate::parking::Parked;
use crate::speech::Speeches;
use crate::sql::Sql;
use crate::{Failure, control, log, obligation, parking, schedule, schema};

/// When a call is made, and chance for it. Both come from outside, so that tests decide them.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub at: Millis,
    /// Any 64 bits.
    pub random: u64,
}

impl Moment {
    /// A short random name for a stream's life.
    #[must_use]
    pub fn short_name(self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let digit = |n: u32| DIGITS.get((self.random >> (5 * n) & 31) as usize).copied().unwrap_or(b'0');
        (0..8).map(|n| char::from(digit(n))).collect()
    }
}

/// One stream. After a [`Failure::Storage`] what is in memory may no longer be true: drop it and open it again.
pub struct Stream<S: Sql> {
    pub(crate) sql: S,
    path: StreamPath,
    quoted_path: String,
    /// `None` before its birth and after its deletion.
    pub(crate) life: Option<Life>,
    /// When the first obligation is due.
    pub(crate) next_due: Option<Millis>,
    /// What answers append to other streams and is not there yet.
    pub(crate) outbox: Outbox,
    /// Subscriptions that workers wait for and that have something due now.
    pub(crate) news: Vec<String>,
    /// True while somebody follows live: only then is it worth preparing what they are sent.
    pub followed: bool,
}

/// What is kept in memory of a stream that lives.
#[derive(Debug, Default)]
pub struct Life {
    /// The last offset.
    pub head: u64,
    /// When it was written.
    pub last_at: Millis,
    /// The control state.
    pub state: ControlState,
    /// The breaker's window.
    pub window: Window,
    /// What waits to be let in.
    pub parked: Parked,
    /// Subscriptions at work.
    pub deliveries: BTreeMap<String, Delivery>,
    /// Schedules at work.
    pub schedules: BTreeMap<String, schedule::Next>,
    /// What models are saying right now.
    pub speeches: Speeches,
}

impl<S: Sql> Stream<S> {
    /// Loads a stream. Reads only.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn open(sql: S, path: StreamPath) -> Result<Self, Failure> {
        let life = if schema::exists(&sql, "log")? { load(&sql)? } else { None };
        let next_due = if schema::exists(&sql, "obligations")? { obligation::first_due(&sql)? } else { None };
        let quoted_path = json::quoted(path.as_str());
        let outbox = outbox::load(&sql)?;
        Ok(Self { sql, path, quoted_path, life, next_due, outbox, news: Vec::new(), followed: false })
    }

    /// Where it lives.
    #[must_use]
    pub fn path(&self) -> &StreamPath {
        &self.path
    }

    /// The path as a JSON string.
    pub(crate) fn quoted_path(&self) -> &str {
        &self.quoted_path
    }

    /// The offset of the last event; 0 when there is none.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.life.as_ref().map_or(0, |life| life.head)
    }

    /// The name of its present life.
    #[must_use]
    pub fn generation(&self) -> Option<&str> {
        Some(self.life.as_ref()?.state.identity.as_ref()?.generation.as_str())
    }

    /// What is in memory of it.
    ///
    /// # Errors
    /// [`Problem::StreamNotFound`] when it does not live.
    pub fn life(&self) -> Result<&Life, Problem> {
        self.life.as_ref().ok_or_else(|| Problem::StreamNotFound { path: self.path.to_string() })
    }

    /// When something is to be done without anybody calling; `None` = never.
    #[must_use]
    pub fn next_alarm(&self) -> Option<Millis> {
        let let_in = self.life.as_ref().and_then(parking::due);
        let fires = self.life.as_ref().and_then(schedule::due);
        [self.next_due, self.outbox.due, let_in, fires, delivery::due(self)].into_iter().flatten().min()
    }

    /// The subscriptions that workers wait for and that have something due since this was last asked.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// The event at an offset.
    ///
    /// # Errors
    /// [`Failure::Storage`]
    pub fn event_at(&self, offset: u64) -> Result<Option<Stored>, Failure> {
        if self.life.is_none() || offset == 0 { Ok(None) } else { log::event_at(&self.sql, offset) }
    }

    /// The control state as it was after offset `at`, or now, and the offset it holds for.
    ///
    /// # Errors
    /// [`Problem::StreamNotFound`]; [`Failure::Storage`].
    pub fn state_at(&self, at: Option<u64>) -> Result<(ControlState, u64), Failure> {
        let life = self.life()?;
        match at.filter(|at| *at < life.head) {
            Some(at) => Ok((control::state_at(&self.sql, at)?, at)),
            None => Ok((life.state.clone(), life.head)),
        }
    }
}

fn load<S: Sql>(sql: &S) -> Result<Option<Life>, Failure> {
    let Some((head, last_at)) = log::tip(sql)? else { return Ok(None) };
    let state = control::load(sql)?;
    let window = log::window(sql, &state.breaker, last_at)?;
    let deliveries = delivery::load(sql, &state, head)?;
    let schedules = schedule::load(sql, &state)?;
    Ok(Some(Life {
        head,
        last_at,
        state,
        window,
        parked: parking::load(sql)?,
        deliveries,
        schedules,
        speeches: Speeches::new(),
    }))
}
