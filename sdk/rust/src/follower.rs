//! What a tail knows: how far it has come, and what of what it hears is new. No I/O.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tailrace_model::cursor::Cursor;

use crate::event::Event;
use crate::json;
use crate::sse::Block;
use crate::tail::TailItem;

/// Nothing is shown twice, and nothing of another life of the stream as if it were of this one.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// The last offset that was shown or passed, and the generation it is of once that is known.
    seen: Cursor,
    /// Something was heard since the first connection: `seen` is better than what was asked for at first.
    is_under_way: bool,
    is_caught_up: bool,
}

/// What was said cannot be understood: the connection is of no more use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nonsense(pub String);

impl Follower {
    /// One that wants what comes after this offset.
    pub(crate) fn after(offset: u64) -> Self {
        Self { seen: Cursor { offset, generation: None }, ..Self::default() }
    }

    /// There is a new connection: say again when it has caught up.
    pub(crate) fn connected(&mut self) {
        self.is_caught_up = false;
    }

    /// `Last-Event-ID` for the next connection; nothing as long as what was asked for at first holds.
    pub(crate) fn last_event_id(&self) -> Option<String> {
        self.is_under_way.then(|| self.seen.to_string())
    }

    /// Takes a block, and tells what of it is to be shown.
    ///
    /// # Errors
    /// [`Nonsense`]; nothing has changed then.
    pub(crate) fn take(&mut self, block: &Block, mut show: impl FnMut(TailItem)) -> Result<(), Nonsense> {
        let id = block.id.as_deref().and_then(Cursor::parse);
        let Some(data) = block.data.as_deref() else {
            if let Some(id) = id {
                self.advance(id.offset, id.generation, &mut show);
            }
            return Ok(());
        };
        match block.name.as_str() {
            "" | "message" => {
                let event: Event = read(data)?;
                let generation = id.and_then(|id| id.generation);
                if self.advance(event.offset, generation, &mut show) {
                    show(TailItem::Event(event));
                }
            }
            "tail" => {
                #[derive(Deserialize)]
                struct Tail {
                    offset: u64,
                }
                let Tail { offset } = read(data)?;
                if let Some(id) = id {
                    self.advance(offset, id.generation, &mut show);
                }
                if !std::mem::replace(&mut self.is_caught_up, true) {
                    show(TailItem::CaughtUp(offset));
                }
            }
            "reset" => {
                self.reset(id.and_then(|id| id.generation));
                show(TailItem::Reset);
            }
            "ephemeral" => show(TailItem::Ephemeral(read(data)?)),
            // Of tomorrow.
            _ => {}
        }
        Ok(())
    }

    /// True when this offset is new.
    fn advance(&mut self, offset: u64, generation: Option<String>, show: &mut impl FnMut(TailItem)) -> bool {
        if let (Some(known), Some(new)) = (&self.seen.generation, &generation)
            && known != new
        {
            // It should have said so.
            self.reset(None);
            show(TailItem::Reset);
        }
        self.is_under_way = true;
        if generation.is_some() {
            self.seen.generation = generation;
        }
        let is_new = offset > self.seen.offset;
        self.seen.offset = self.seen.offset.max(offset);
        is_new
    }

    fn reset(&mut self, generation: Option<String>) {
        self.seen = Cursor { offset: 0, generation };
        self.is_under_way = true;
        self.is_caught_up = false;
    }
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, Nonsense> {
    json::read(data.as_bytes()).map_err(|error| Nonsense(format!("{error} in what is followed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(offset: u64, generation: &str) -> Block {
        let data = format!(
            r#"{{"offset":{offset},"type":"m","payload":"{generation}{offset}","streamPath":"/a","createdAt":""}}"#
        );
        Block { name: String::new(), data: Some(data), id: Some(format!("{offset}.{generation}")) }
    }

    fn named(name: &str, data: &str, id: Option<&str>) -> Block {
        Block { name: name.into(), data: Some(data.into()), id: id.map(str::to_owned) }
    }

    fn tail(offset: u64, generation: &str) -> Block {
        named("tail", &format!("{{\"offset\":{offset}}}"), Some(&format!("{offset}.{generation}")))
    }

    fn shown(follower: &mut Follower, blocks: &[Block]) -> Vec<String> {
        let mut out = Vec::new();
        for block in blocks {
            let show = |item| {
                out.push(match item {
                    TailItem::Event(event) => event.payload.as_str().unwrap().to_owned(),
                    TailItem::CaughtUp(offset) => format!("={offset}"),
                    TailItem::Ephemeral(it) => format!("~{}", it.event_type),
                    TailItem::Reset => "reset".to_owned(),
                });
            };
            follower.take(block, show).unwrap();
        }
        out
    }

    #[test]
    fn each_event_is_shown_once_however_often_it_comes() {
        let mut follower = Follower::default();
        let first = shown(&mut follower, &[event(1, "g"), event(2, "g"), event(1, "g"), event(2, "g"), tail(2, "g")]);
        assert_eq!(first, ["g1", "g2", "=2"]);
        assert_eq!(follower.last_event_id().unwrap(), "2.g");
        follower.connected();
        assert_eq!(shown(&mut follower, &[event(2, "g"), event(3, "g"), tail(3, "g"), tail(9, "g")]), ["g3", "=3"]);
        assert_eq!(follower.last_event_id().unwrap(), "9.g", "what was filtered has been passed");
    }

    #[test]
    fn before_anything_came_what_was_asked_for_holds() {
        let mut follower = Follower::after(5);
        assert_eq!(follower.last_event_id(), None);
        assert_eq!(shown(&mut follower, &[named("tail", r#"{"offset":0}"#, None)]), ["=0"]);
        assert_eq!(follower.last_event_id(), None, "a stream that is not born has no cursor");
        assert_eq!(shown(&mut follower, &[event(5, "g"), event(6, "g")]), ["g6"]);
    }

    #[test]
    fn another_life_begins_anew() {
        let mut follower = Follower::default();
        shown(&mut follower, &[event(8, "g"), tail(8, "g")]);
        let reset = named("reset", r#"{"generation":"h"}"#, Some("0.h"));
        assert_eq!(shown(&mut follower, &[reset]), ["reset"]);
        assert_eq!(follower.last_event_id().unwrap(), "0.h");
        assert_eq!(shown(&mut follower, &[event(1, "h"), tail(1, "h")]), ["h1", "=1"]);
        assert_eq!(shown(&mut follower, &[event(1, "i")]), ["reset", "i1"], "even if nobody says so");
    }

    #[test]
    fn what_is_not_kept_is_shown_and_moves_nothing() {
        let mut follower = Follower::default();
        let delta = named("ephemeral", r#"{"type":"delta","payload":1}"#, None);
        assert_eq!(shown(&mut follower, &[event(1, "g"), delta, named("odd", "?", None)]), ["g1", "~delta"]);
        assert_eq!(follower.last_event_id().unwrap(), "1.g");
    }

    #[test]
    fn nonsense_moves_nothing() {
        let mut follower = Follower::default();
        for data in ["", "{", "[]", r#"{"offset":-1}"#, r#"{"offset":9,"type":"m"}"#] {
            let block = Block { name: String::new(), data: Some(data.into()), id: Some("9.g".into()) };
            follower.take(&block, |item| panic!("{item:?}")).unwrap_err();
        }
        assert_eq!(follower.last_event_id(), None);
    }

    proptest! {
        /// Connections that each begin somewhere before what is still wanted, and end anywhere.
        #[test]
        fn there_is_no_gap_and_no_double(spans in proptest::collection::vec((0..5_u64, 0..8_u64), 1..20)) {
            let mut follower = Follower::default();
            let mut all = Vec::new();
            for (back, count) in spans {
                follower.connected();
                let cursor = follower.last_event_id().and_then(|id| Cursor::parse(&id)).unwrap_or_default();
                let begin = cursor.offset.saturating_sub(back);
                let blocks: Vec<Block> = (begin + 1..=begin + count).map(|offset| event(offset, "g")).collect();
                all.extend(shown(&mut follower, &blocks));
            }
            let expected: Vec<String> = (1..=all.len()).map(|offset| format!("g{offset}")).collect();
            prop_assert_eq!(all, expected);
        }
    }
}
