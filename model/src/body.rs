//! What the body of an append is, judged by its content alone: an event, a batch of them, or something foreign.

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::envelope::Envelope;
use crate::event::{NewEvent, Rejected, Writer};
use crate::limits;
use crate::problem::Problem;

/// A body, understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// One event.
    One(NewEvent),
    /// Several, all or none.
    Batch(Vec<NewEvent>),
    /// Not an event: kept as it came, with the reason.
    Foreign {
        /// Why it is not an event.
        reason: String,
        /// The field that does not fit, when it is a JSON object.
        field: Option<String>,
    },
}

/// Understands a body of at most [`limits::BATCH_BYTES`].
///
/// # Errors
/// [`Problem`] where keeping the body as something foreign would swallow a command or hide a mistake.
pub fn understand(body: &[u8], writer: Writer) -> Result<Body, Problem> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok(foreign("the body is not UTF-8"));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_matches(WHITE_SPACE);
    match text.as_bytes().first() {
        None => Ok(foreign("the body is empty")),
        Some(b'{') => understand_object(text, writer),
        Some(b'[') => understand_array(text, writer),
        Some(_) if is_json(text) => Ok(foreign("the body is JSON, but not an object")),
        Some(_) => Ok(foreign("the body is not JSON")),
    }
}

/// JSON's own white space; `str::trim` would take more.
const WHITE_SPACE: &[char] = &[' ', '\t', '\r', '\n'];

fn understand_object(text: &str, writer: Writer) -> Result<Body, Problem> {
    match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => match envelope.into_event(writer) {
            Ok(event) => fits(&event).map(|()| Body::One(event)),
            Err(Rejected::Refused(problem)) => Err(problem),
            Err(Rejected::Foreign { field, detail }) => {
                Ok(Body::Foreign { reason: format!("{field}: {detail}"), field: Some(field) })
            }
        },
        Err(_) => understand_lines(text, writer),
    }
}

/// Lines are a batch when the first is an event; a later one that is not was meant as one.
fn understand_lines(text: &str, writer: Writer) -> Result<Body, Problem> {
    let mut lines = text.split('\n').map(|line| line.trim_matches(WHITE_SPACE)).filter(|line| !line.is_empty());
    let first = lines.next().and_then(|line| serde_json::from_str::<Envelope>(line).ok());
    let first = match first.map(|envelope| envelope.into_event(writer)) {
        Some(Ok(first)) => first,
        Some(Err(Rejected::Refused(problem))) => return Err(problem.at_index(0)),
        Some(Err(Rejected::Foreign { .. })) | None => return Ok(foreign("the body is not JSON")),
    };
    let mut batch = Batch::new(writer);
    batch.push_event(first)?;
    for line in lines {
        let envelope = serde_json::from_str(line).map_err(|error| batch.bad(&error.to_string()))?;
        batch.push(envelope)?;
    }
    Ok(Body::Batch(batch.events))
}

fn understand_array(text: &str, writer: Writer) -> Result<Body, Problem> {
    let mut batch = Batch::new(writer);
    let mut problem = None;
    let visitor = ArrayVisitor { batch: &mut batch, problem: &mut problem };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_seq(visitor).and_then(|()| deserializer.end());
    match (read, problem) {
        (_, Some(problem)) => Err(problem),
        (Ok(()), None) if batch.events.is_empty() => Err(batch.bad("a batch has at least one event")),
        (Ok(()), None) => Ok(Body::Batch(batch.events)),
        (Err(error), None) if is_json(text) => Err(batch.bad(&error.to_string())),
        (Err(_), None) => Ok(foreign("the body is not JSON")),
    }
}

struct Batch<'w> {
    events: Vec<NewEvent>,
    writer: Writer<'w>,
}

impl<'w> Batch<'w> {
    fn new(writer: Writer<'w>) -> Self {
        Self { events: Vec::new(), writer }
    }

    fn push(&mut self, envelope: Envelope) -> Result<(), Problem> {
        match envelope.into_event(self.writer) {
            Ok(event) => self.push_event(event),
            Err(Rejected::Foreign { field, detail }) => Err(self.bad(&format!("{field}: {detail}"))),
            Err(Rejected::Refused(Problem::InvalidEvent { field, detail })) => {
                Err(self.bad(&format!("{field}: {detail}")))
            }
            Err(Rejected::Refused(problem)) => Err(problem.at_index(self.events.len())),
        }
    }

    fn push_event(&mut self, event: NewEvent) -> Result<(), Problem> {
        if self.events.len() >= limits::BATCH_EVENTS {
            return Err(Problem::TooLarge { what: "events in a batch", limit: limits::BATCH_EVENTS });
        }
        fits(&event).map_err(|problem| problem.at_index(self.events.len()))?;
        self.events.push(event);
        Ok(())
    }

    fn bad(&self, detail: &str) -> Problem {
        Problem::InvalidBatch { index: self.events.len(), detail: detail.to_owned() }
    }
}

struct ArrayVisitor<'a, 'w> {
    batch: &'a mut Batch<'w>,
    problem: &'a mut Option<Problem>,
}

impl<'de> Visitor<'de> for ArrayVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(envelope) = seq.next_element::<Envelope>()? {
            if let Err(problem) = self.batch.push(envelope) {
                *self.problem = Some(problem);
                break;
            }
        }
        Ok(())
    }
}

fn fits(event: &NewEvent) -> Result<(), Problem> {
    if event.fragment.len() > limits::EVENT_BYTES {
        return Err(Problem::TooLarge { what: "an event in bytes", limit: limits::EVENT_BYTES });
    }
    Ok(())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn foreign(reason: &str) -> Body {
    Body::Foreign { reason: reason.to_owned(), field: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Body, Problem> {
        understand(text.as_bytes(), Writer::default())
    }

    fn types(text: &str) -> Vec<String> {
        match read(text).unwrap() {
            Body::One(event) => vec![event.event_type],
            Body::Batch(events) => events.into_iter().map(|event| event.event_type).collect(),
            Body::Foreign { reason, .. } => panic!("{text}: {reason}"),
        }
    }

    fn is_foreign(body: &[u8]) -> bool {
        matches!(understand(body, Writer::default()), Ok(Body::Foreign { .. }))
    }

    #[test]
    fn content_decides_what_a_body_is() {
        assert_eq!(types(" {\"type\":\"a\"}\n"), ["a"]);
        assert_eq!(types("\u{feff}{\"type\":\"a\"}"), ["a"]);
        assert_eq!(types(r#"[{"type":"a"}, {"event":{"type":"b"}}]"#), ["a", "b"]);
        assert_eq!(types("{\"type\":\"a\"}\r\n\n{\"type\":\"b\"}\n"), ["a", "b"]);
    }

    #[test]
    fn anything_else_is_kept_as_it_came() {
        for body in [
            "",
            "hello",
            "5",
            "null",
            "\"x\"",
            "[started] not JSON",
            "a=b&c=d",
            "{\"id\":1}",
            "{\"id\":1}\n{\"type\":\"a\"}",
            "{\"type\":\"a\"",
            "{\"type\":\"ping\",\"zen\":\"x\"}",
            "\u{0}",
        ] {
            assert!(is_foreign(body.as_bytes()), "{body}");
        }
        assert!(is_foreign(&[0xff, 0xfe, 0]));
    }

    #[test]
    fn one_bad_element_refuses_the_batch_with_its_index() {
        for (text, at) in [
            (r#"[{"type":"a"},{"typ":"b"}]"#, 1),
            (r#"[{"type":"a"},5]"#, 1),
            ("[]", 0),
            ("[0,0,0]", 0),
            (r#"[{"type":"a"},{"type":"b\n"}]"#, 1),
            ("{\"type\":\"a\"}\n{\"type\":5}", 1),
            ("{\"type\":\"a\"}\n{\"type\":\"b\"}\n{\"type", 2),
        ] {
            match read(text) {
                Err(Problem::InvalidBatch { index, .. }) => assert_eq!(index, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let first = read("{\"type\":\"stream.paused\",\"payload\":{\"x\":1}}\n{\"type\":\"a\"}");
        assert_eq!(first.unwrap_err().code().name, "invalid_control_event");
        let control = read(r#"[{"type":"a"},{"type":"stream.paused","payload":{"x":1}}]"#);
        assert_eq!(control.unwrap_err().code().name, "invalid_control_event");
    }

    #[test]
    fn limits_hold() {
        let many = format!("[{}]", vec![r#"{"type":"a"}"#; 1_001].join(","));
        assert_eq!(read(&many).unwrap_err().code().name, "too_large");
        let large = format!(r#"{{"type":"a","payload":"{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(read(&large).unwrap_err().code().name, "too_large");
        let deep = format!(r#"{{"type":"a","payload":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read(&deep).unwrap_err().code().name, "too_large");
        let zeros = format!("[{}0]", "0,".repeat(4 << 20));
        assert_eq!(read(&zeros).unwrap_err().code().name, "invalid_batch");
    }
}
