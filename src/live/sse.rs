//! Server-Sent Events as text (HTML Standard, section 9.2). Every line of an event is one `data:` line: stored lines hold
//! no line ends.

use std::fmt::Write as _;

/// A stored event: no `event:` field, so that it is a plain message.
pub fn event(out: &mut String, offset: u64, generation: &str, line: &str) {
    out.reserve(line.len() + 48);
    let _ = write!(out, "id: {offset}.{generation}\ndata: {line}\n\n");
}

/// An event that is not stored: no `id:`, it does not move the client's cursor.
pub fn ephemeral(out: &mut String, line: &str) {
    let _ = write!(out, "event: ephemeral\ndata: {line}\n\n");
}

/// The client is up to date. A stream that is not born yet has no generation, and gives no id.
pub fn tail(out: &mut String, offset: u64, generation: Option<&str>) {
    out.push_str("event: tail\n");
    if let Some(generation) = generation {
        let _ = writeln!(out, "id: {offset}.{generation}");
    }
    let _ = write!(out, "data: {{\"offset\":{offset}}}\n\n");
}

/// The client's cursor is of another life of the stream; what follows begins at offset 1.
pub fn reset(out: &mut String, generation: &str) {
    let _ = write!(out, "event: reset\nid: 0.{generation}\ndata: {{\"generation\":\"{generation}\"}}\n\n");
}

/// The offset in a stored event's line, which always stands first.
#[must_use]
pub fn offset_of(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("{\"offset\":")?;
    rest.get(..rest.find(',')?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_block_with_its_id() {
        let mut out = String::new();
        event(&mut out, 7, "g", "{\"offset\":7,\"type\":\"m\"}");
        assert_eq!(out, "id: 7.g\ndata: {\"offset\":7,\"type\":\"m\"}\n\n");
        assert_eq!(offset_of("{\"offset\":7,\"type\":\"m\"}"), Some(7));
    }

    #[test]
    fn what_is_not_stored_has_no_id() {
        let mut out = String::new();
        ephemeral(&mut out, "{}");
        tail(&mut out, 0, None);
        assert!(!out.contains("id:"));
    }
}
