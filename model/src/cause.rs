//! Why an event was written, and how far its chain of causes has come.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::path::StreamPath;
use crate::problem::Problem;

/// The header that carries a cause from a push to whatever answers it: `path;offset;hops;turns`.
pub const CAUSE_HEADER: &str = "tailrace-cause";

/// A cause as it is stored in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The stream of the event that caused this one.
    pub stream_path: String,
    /// That event's offset there.
    pub offset: u64,
    /// How often the chain went from one stream to another.
    #[serde(default)]
    pub hops: u32,
    /// How many model turns lie in the chain.
    #[serde(default)]
    pub turns: u32,
}

/// A cause as a client names it. No `stream_path` means the stream itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCause {
    /// The stream of the causing event.
    pub stream_path: Option<StreamPath>,
    /// Its offset.
    pub offset: u64,
}

/// What the object needs to write a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// All is known.
    Known(Cause),
    /// An event of the same stream: hops and turns are those of that event.
    Here(u64),
}

impl Cause {
    /// Reads the header `path;offset;hops;turns`.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`] naming the header.
    pub fn from_header(value: &str) -> Result<Self, Problem> {
        let parse = || {
            let mut parts = value.trim().split(';');
            let path = StreamPath::parse(parts.next()?.trim()).ok()?;
            let offset = parts.next()?.trim().parse().ok()?;
            let hops = parts.next()?.trim().parse().ok()?;
            let turns = parts.next()?.trim().parse().ok()?;
            parts.next().is_none().then(|| Self { stream_path: path.to_string(), offset, hops, turns })
        };
        parse().ok_or_else(|| Problem::InvalidQuery {
            field: "Tailrace-Cause".to_owned(),
            detail: "it reads path;offset;hops;turns".to_owned(),
        })
    }

    /// The value of the header that hands this cause on.
    #[must_use]
    pub fn to_header(&self) -> String {
        format!("{};{};{};{}", self.stream_path, self.offset, self.hops, self.turns)
    }

    /// Refuses a chain that went through too many streams.
    ///
    /// # Errors
    /// [`Problem::HopLimit`].
    pub fn check_hops(&self) -> Result<(), Problem> {
        if self.hops > limits::HOPS {
            return Err(Problem::HopLimit { hops: self.hops });
        }
        Ok(())
    }
}

/// The cause of an event written to `here`: what the header hands on, told apart by what the event itself names.
#[must_use]
pub fn origin(here: &StreamPath, inherited: Option<&Cause>, named: Option<&NamedCause>) -> Option<Origin> {
    let named_path = named.map(|named| named.stream_path.as_ref().unwrap_or(here));
    match (inherited, named) {
        (None, None) => None,
        (Some(inherited), _) => {
            let elsewhere = named_path.is_some_and(|named| named != here);
            let crossed = u32::from(elsewhere || inherited.stream_path != here.as_str());
            Some(Origin::Known(Cause {
                stream_path: named_path.map_or_else(|| inherited.stream_path.clone(), ToString::to_string),
                offset: named.map_or(inherited.offset, |named| named.offset),
                hops: inherited.hops.saturating_add(crossed),
                turns: inherited.turns,
            }))
        }
        (None, Some(named)) if named_path == Some(here) => Some(Origin::Here(named.offset)),
        (None, Some(named)) => Some(Origin::Known(Cause {
            stream_path: named_path.unwrap_or(here).to_string(),
            offset: named.offset,
            hops: 1,
            turns: 0,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> StreamPath {
        StreamPath::parse(text).unwrap()
    }

    #[test]
    fn hops_rise_only_between_streams() {
        let header = Cause::from_header("/a;7;3;2").unwrap();
        assert_eq!(header.to_header(), "/a;7;3;2");
        let Some(Origin::Known(there)) = origin(&path("/b"), Some(&header), None) else { panic!() };
        assert_eq!((there.hops, there.turns, there.offset), (4, 2, 7));
        let Some(Origin::Known(same)) = origin(&path("/a"), Some(&header), None) else { panic!() };
        assert_eq!(same.hops, 3);
    }

    #[test]
    fn a_named_cause_keeps_the_chain_of_the_header() {
        let header = Cause::from_header("/a;7;3;2").unwrap();
        let named = NamedCause { stream_path: Some(path("/a")), offset: 9 };
        let Some(Origin::Known(cause)) = origin(&path("/b"), Some(&header), Some(&named)) else { panic!() };
        assert_eq!((cause.offset, cause.hops), (9, 4));
        let here = NamedCause { stream_path: None, offset: 9 };
        assert_eq!(origin(&path("/b"), None, Some(&here)), Some(Origin::Here(9)));
    }

    #[test]
    fn a_header_of_another_form_is_refused() {
        for bad in ["", "/a", "/a;1;2", "/a;1;2;3;4", "/a;-1;0;0", "/..;1;0;0"] {
            assert!(Cause::from_header(bad).is_err(), "{bad}");
        }
    }
}
