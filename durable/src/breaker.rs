//! The breaker's exact sliding window.

use std::collections::VecDeque;

use tailrace_model::state::Breaker;
use tailrace_model::time::Millis;

/// What was written within the last window, a commit an entry. What lies further back is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Window {
    commits: VecDeque<Commit>,
    counted: u64,
    hooks: u64,
}

#[derive(Clone, Copy, Debug)]
struct Commit {
    at: Millis,
    counted: u64,
    hooks: u64,
}

impl Window {
    /// Adds a commit. `at` never decreases.
    pub fn add(&mut self, at: Millis, counted: u64, hooks: u64) {
        if counted == 0 && hooks == 0 {
            return;
        }
        self.counted += counted;
        self.hooks += hooks;
        match self.commits.back_mut() {
            Some(commit) if commit.at == at => {
                commit.counted += counted;
                commit.hooks += hooks;
            }
            _ => self.commits.push_back(Commit { at, counted, hooks }),
        }
    }

    /// Forgets what is `window_ms` old or older at `now`, which must be the time of a commit: the clock may step back behind
    /// any other.
    pub fn slide(&mut self, now: Millis, window_ms: u64) {
        let window_ms = i64::try_from(window_ms).unwrap_or(i64::MAX);
        while let Some(commit) = self.commits.front().filter(|commit| commit.at <= now - window_ms) {
            self.counted -= commit.counted;
            self.hooks -= commit.hooks;
            self.commits.pop_front();
        }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Counted events in the window.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// How many hooks may be let in at `now`. Hooks take part in the pace, though they never trip the breaker.
    #[must_use]
    pub fn room_for_hooks(&self, breaker: &Breaker, now: Millis) -> u64 {
        let edge = now - i64::try_from(breaker.window_ms).unwrap_or(i64::MAX);
        let gone = self.commits.iter().take_while(|commit| commit.at <= edge).map(Commit::weight).sum::<u64>();
        breaker.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.counted + self.hooks - gone))
    }

    /// When the next hook may be let in, if none may now.
    #[must_use]
    pub fn next_room(&self, breaker: &Breaker) -> Option<Millis> {
        let window_ms = i64::try_from(breaker.window_ms).unwrap_or(i64::MAX);
        let mut inside = self.counted + self.hooks;
        let makes_room = self.commits.iter().find(|commit| {
            inside -= commit.weight();
            breaker.limit.is_none_or(|limit| inside < limit)
        });
        makes_room.map(|commit| commit.at + window_ms)
    }
}

impl Commit {
    fn weight(&self) -> u64 {
        self.counted + self.hooks
    }
}

/// What one commit of `events` counts: a batch alone never trips the breaker, two in a window do.
#[must_use]
pub fn weight(breaker: &Breaker, events: u64) -> u64 {
    breaker.limit.map_or(events, |limit| events.min(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_is_in_the_window_until_it_is_exactly_as_old_as_the_window() {
        let mut window = Window::default();
        window.add(0, 1, 0);
        window.slide(999, 1_000);
        assert_eq!(window.counted(), 1);
        window.slide(1_000, 1_000);
        assert_eq!(window.counted(), 0);
    }

    #[test]
    fn a_batch_counts_at_most_the_limit() {
        let breaker = Breaker::default();
        assert_eq!(weight(&breaker, 1_000), 100);
        assert_eq!(weight(&breaker, 7), 7);
        assert_eq!(weight(&Breaker { limit: None, ..breaker }, 1_000), 1_000);
    }

    proptest! {
        #[test]
        fn the_window_counts_what_a_plain_sum_does(steps in proptest::collection::vec((0_i64..400, 0_u64..5, 0_u64..5), 1..60)) {
            let (mut window, mut all, mut now) = (Window::default(), Vec::new(), 0);
            for (step, counted, hooks) in steps {
                now += step;
                window.slide(now, 1_000);
                window.add(now, counted, hooks);
                all.push((now, counted, hooks));
                let inside = || all.iter().filter(|(at, ..)| *at > now - 1_000);
                prop_assert_eq!(window.counted(), inside().map(|it| it.1).sum::<u64>());
                let room = 100_u64.saturating_sub(inside().map(|it| it.1 + it.2).sum());
                prop_assert_eq!(window.room_for_hooks(&Breaker::default(), now), room);
            }
        }
    }
}
