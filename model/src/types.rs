//! Event types: which are reserved, who may write them, and globs over them.

use crate::limits;
use crate::problem::Problem;

/// Who writes events of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// Clients, and the stream obeys.
    Client,
    /// Only the system.
    System,
}

/// One type that the system knows.
#[derive(Clone, Copy, Debug)]
pub struct KnownType {
    /// The type.
    pub name: &'static str,
    /// Who writes it.
    pub author: Author,
    /// What it means, as the docs say it.
    pub meaning: &'static str,
}

const fn known(name: &'static str, author: Author, meaning: &'static str) -> KnownType {
    KnownType { name, author, meaning }
}

/// Every type under a reserved prefix that exists. All others there are refused.
pub const KNOWN: &[KnownType] = &[
    known("stream.created", Author::System, "the stream was born; always offset 1"),
    known("stream.child-created", Author::System, "a stream was born right below this one"),
    known("stream.child-deleted", Author::System, "a stream right below this one was deleted"),
    known("stream.metadata-updated", Author::Client, "merge `metadata` into the stream's metadata (RFC 7396)"),
    known("stream.paused", Author::Client, "take no more events until resumed; with `children`, all below too"),
    known("stream.resumed", Author::Client, "take events again; the breaker's window begins anew"),
    known(
        "breaker.configured",
        Author::Client,
        "pause when more than `limit` events come within `windowMs`; `null` = off",
    ),
    known(
        "schedule.configured",
        Author::Client,
        "append `event` later: `at`, `after`, `every` or `cron`; replaces its slug",
    ),
    known("schedule.removed", Author::Client, "take a schedule back"),
    known("schedule.ended", Author::System, "a schedule fired for the last time"),
    known(
        "subscription.configured",
        Author::Client,
        "hand the stream's events to `target`; replaces its slug, un-halts it",
    ),
    known("subscription.removed", Author::Client, "hand it nothing more"),
    known("subscription.halted", Author::System, "a subscription gave up; nothing is skipped"),
    known(
        "subscription.resumed",
        Author::Client,
        "go on; or again `from` an offset (`redo`: not only to fold); or `skip` the event at which it stands",
    ),
    known(
        "webhook.configured",
        Author::Client,
        "how requests of a source are verified, answered and told apart; replaces its slug",
    ),
    known("webhook.removed", Author::Client, "take that back"),
    known("webhook.received", Author::System, "a request of a third party, as it came"),
];

/// Prefixes under which only [`KNOWN`] types exist.
pub const RESERVED_PREFIXES: &[&str] = &["stream.", "breaker.", "schedule.", "subscription.", "webhook.", "imported."];

/// Prefixes under which a body that is not well formed is refused, not kept as something foreign: it was meant as a command.
const COMMAND_PREFIXES: &[&str] = &["agent.", "tool."];

/// What a token must allow for an event of a type to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Any event that nothing obeys.
    Append,
    /// Says that a tool may run.
    Approve,
    /// Changes what the stream or an agent does.
    Control,
}

/// True under a reserved prefix.
#[must_use]
pub fn is_reserved(event_type: &str) -> bool {
    // Asked several times for every event: most are told apart by their first letter.
    matches!(event_type.as_bytes().first(), Some(b'b' | b'i' | b's' | b'w'))
        && RESERVED_PREFIXES.iter().any(|prefix| event_type.starts_with(prefix))
}

/// True where a malformed event must not be taken for a stranger's body.
#[must_use]
pub fn is_command(event_type: &str) -> bool {
    is_reserved(event_type) || COMMAND_PREFIXES.iter().any(|prefix| event_type.starts_with(prefix))
}

/// True for the reserved types that clients write and the stream obeys.
#[must_use]
pub fn is_control(event_type: &str) -> bool {
    is_reserved(event_type) && KNOWN.iter().any(|known| known.name == event_type && known.author == Author::Client)
}

/// True for the types that change the control state: control events, and what the system says of them. The payload of any
/// other need not be looked into.
#[must_use]
pub fn changes_state(event_type: &str) -> bool {
    is_control(event_type)
        || configures_tool(event_type)
        || matches!(event_type, "schedule.ended" | "subscription.halted")
}

/// True for what says which tools agents have: the stream obeys it, though its prefix is not reserved.
#[must_use]
pub fn configures_tool(event_type: &str) -> bool {
    matches!(event_type, "tool.configured" | "tool.removed")
}

/// What it takes to append an event of this type.
#[must_use]
pub fn power_for(event_type: &str) -> Power {
    if is_reserved(event_type) {
        return Power::Control;
    }
    match event_type.strip_prefix("tool.") {
        Some("configured" | "removed") => Power::Control,
        Some("approved" | "denied") => Power::Approve,
        _ => Power::Append,
    }
}

/// True for what no grant allows: a runaway must not free itself.
#[must_use]
pub fn is_for_people(event_type: &str) -> bool {
    matches!(event_type, "stream.resumed" | "breaker.configured")
}

/// Whether an answer with these grants (globs) may append an event of this type.
#[must_use]
pub fn is_granted(event_type: &str, grants: &[String]) -> bool {
    power_for(event_type) == Power::Append || (!is_for_people(event_type) && is_granted_by(event_type, grants))
}

fn is_granted_by(event_type: &str, grants: &[String]) -> bool {
    grants.iter().any(|glob| glob_matches(glob.as_bytes(), event_type.as_bytes()))
}

/// Checks a type's form: 1 to 256 characters, none of them a control character.
///
/// # Errors
/// [`Problem::InvalidEvent`] naming `type`.
pub fn check_form(event_type: &str) -> Result<(), Problem> {
    let plain = event_type.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if plain && (1..=limits::TYPE_CHARS).contains(&event_type.len()) {
        return Ok(());
    }
    let chars = event_type.chars().count();
    let detail = if chars == 0 || chars > limits::TYPE_CHARS {
        format!("1 to {} characters", limits::TYPE_CHARS)
    } else if event_type.chars().any(char::is_control) {
        "no control characters (line ends, tabs, NUL …)".to_owned()
    } else {
        return Ok(());
    };
    Err(Problem::InvalidEvent { field: "type".to_owned(), detail })
}

/// A list of globs over types: `agent.*,message`. `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFilter(Vec<String>);

impl TypeFilter {
    /// A filter of these globs.
    #[must_use]
    pub fn new(globs: &[String]) -> Self {
        Self(globs.to_vec())
    }

    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`] naming `types` when it has no entry, more than 100, or one longer than a type.
    pub fn parse(list: &str) -> Result<Self, Problem> {
        let globs: Vec<String> =
            list.split(',').map(|glob| glob.trim().to_owned()).filter(|glob| !glob.is_empty()).collect();
        let detail = if globs.is_empty() {
            "at least one type or glob, separated by commas"
        } else if globs.len() > 100 {
            "at most 100 types or globs"
        } else if globs.iter().any(|glob| glob.chars().count() > limits::TYPE_CHARS) {
            "a type has at most 256 characters"
        } else {
            return Ok(Self(globs));
        };
        Err(Problem::InvalidQuery { field: "types".to_owned(), detail: detail.to_owned() })
    }

    /// Texts of which one occurs in every type that matches, for who looks through many; `None` when four are too few. The
    /// rest of them repeat the last.
    #[must_use]
    pub fn pieces(&self) -> Option<[String; 4]> {
        let longest = |glob: &String| glob.split('*').max_by_key(|piece| piece.len()).unwrap_or_default().to_owned();
        let pieces: Vec<String> = self.0.iter().map(longest).collect();
        let last = pieces.last()?;
        (pieces.len() <= 4).then(|| std::array::from_fn(|at| pieces.get(at).unwrap_or(last).clone()))
    }

    /// True when one of the globs covers the whole type.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        self.0.iter().any(|glob| glob_matches(glob.as_bytes(), event_type.as_bytes()))
    }
}

/// Linear in practice: on a mismatch only the last `*` is tried again.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            retry = Some((g, t));
            g += 1;
        } else if glob.get(g) == text.get(t) {
            g += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            g = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    glob.get(g..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_matches_holds_one_of_the_pieces() {
        let pieces = |list| TypeFilter::parse(list).unwrap().pieces();
        let four = |all: [&str; 4]| Some(all.map(str::to_owned));
        assert_eq!(pieces("agent.*,tool.*"), four(["agent.", "tool.", "tool.", "tool."]));
        assert_eq!(pieces("a*bc*d"), four(["bc"; 4]));
        assert_eq!(pieces("x,*"), four(["x", "", "", ""]));
        assert_eq!(pieces("a,b,c,d"), four(["a", "b", "c", "d"]));
        assert_eq!(pieces("a,b,c,d,e"), None);
    }

    #[test]
    fn globs_cover_whole_types() {
        let filter = TypeFilter::parse("agent.*, message ,*.done").unwrap();
        for yes in ["agent.output-added", "agent.", "message", "a.b.done"] {
            assert!(filter.matches(yes), "{yes}");
        }
        for no in ["agent", "messages", "done", "xagent.a"] {
            assert!(!filter.matches(no), "{no}");
        }
        assert!(TypeFilter::parse("*").unwrap().matches("anything at all"));
        assert!(TypeFilter::parse("a*b*c").unwrap().matches("aXbYbZc"));
        assert!(TypeFilter::parse(" , ").is_err());
    }

    #[test]
    fn a_type_has_a_form() {
        assert!(check_form("a").is_ok() && check_form(&"é".repeat(256)).is_ok());
        for bad in ["", "a\r\nb", "a\0", &"x".repeat(257)] {
            assert!(check_form(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_known_type_lies_under_a_reserved_prefix() {
        assert!(RESERVED_PREFIXES.iter().all(|prefix| is_reserved(prefix)));
        assert!(KNOWN.iter().all(|known| is_reserved(known.name)));
        assert!(is_control("stream.paused") && !is_control("stream.created") && !is_control("message"));
        assert!(changes_state("schedule.ended") && !changes_state("webhook.received"));
    }
}
