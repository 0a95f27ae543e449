//! Reads the answer of a model as its bytes come in.

use serde_json::value::RawValue;
use tailrace_model::control::agent::Api;

use super::draft::Draft;
use super::failure::Failure;
use super::object::Object;
use super::sse::{Event, Events};
use super::{ANSWER_BYTES, Answer, chat, messages, responses};

/// What ends a stream of chat completions.
const DONE: &str = "[DONE]";

/// Reads the answer of a model, cut anywhere.
///
/// A server that streams sends events; one that does not know how sends one JSON body, which is read when it ended.
#[derive(Debug)]
pub struct Reader {
    api: Api,
    source: Source,
    draft: Draft,
    failure: Option<Failure>,
}

/// What kind of answer it is, by its first character.
#[derive(Debug)]
enum Source {
    Unknown,
    Events(Events),
    Body(Vec<u8>),
}

impl Reader {
    /// Reads what this API answers.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { api, source: Source::Unknown, draft: Draft::default(), failure: None }
    }

    /// Reads on. Returns the text that was added, `""` if none; what comes behind the end of the answer is not read.
    ///
    /// # Errors
    /// The provider says that it failed, what it sends can't be read, or is too large. Then it stays failed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, Failure> {
        let before = self.draft.text().len();
        self.read(bytes).map_err(|failure| self.failure.insert(failure).clone())?;
        Ok(self.draft.text().get(before..).unwrap_or_default().to_owned())
    }

    /// The connection ended. The answer's text is longer than what [`push`](Self::push) returned if the server did not
    /// stream.
    ///
    /// # Errors
    /// As [`push`](Self::push), or the end of the answer had not come yet.
    pub fn finish(mut self) -> Result<Answer, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match std::mem::replace(&mut self.source, Source::Unknown) {
            Source::Unknown => {}
            Source::Events(events) => {
                // Half an event says only that the other half is missing.
                let is_whole = |event: &Event| event.data.trim() == DONE || is_json(&event.data);
                if let Some(event) = events.rest().filter(|event| !self.draft.is_done && is_whole(event)) {
                    self.read_event(&event)?;
                }
            }
            Source::Body(body) => self.read_body(&body)?,
        }
        if !self.draft.is_complete {
            return Err(Failure::truncated());
        }
        Ok(self.draft.into_answer())
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        self.draft.text()
    }

    /// The answer is over: nothing more need be read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.draft.is_done
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if matches!(self.source, Source::Unknown) {
            // A byte order mark or white space says nothing.
            let Some(at) = bytes.iter().position(|byte| !b"\xEF\xBB\xBF \t\r\n".contains(byte)) else { return Ok(()) };
            bytes = bytes.get(at..).unwrap_or_default();
            // The last is an HTML page, which is to be shown.
            let is_body = matches!(bytes.first(), Some(b'{' | b'[' | b'<'));
            self.source = if is_body { Source::Body(Vec::new()) } else { Source::Events(Events::default()) };
        }
        if let Source::Body(body) = &mut self.source {
            if body.len() + bytes.len() > ANSWER_BYTES {
                return Err(Failure::too_large("its body is more than 8 MiB"));
            }
            body.extend_from_slice(bytes);
        }
        while !self.draft.is_done
            && let Source::Events(events) = &mut self.source
            && let Some(event) =
                events.next(&mut bytes).map_err(|_| Failure::too_large("one event is more than 8 MiB"))?
        {
            self.read_event(&event)?;
        }
        Ok(())
    }

    fn read_event(&mut self, event: &Event) -> Result<(), Failure> {
        let data = event.data.trim();
        if data == DONE {
            if self.api == Api::Chat {
                self.draft.close();
            }
            return Ok(());
        }
        let Some(object) = Object::parse(data) else {
            // Any other value is an event that nobody knows.
            let is_unknown = data.is_empty() || is_json(data);
            return if is_unknown && event.name != "error" { Ok(()) } else { Err(Failure::malformed(data)) };
        };
        let kind = object.text("type").unwrap_or_else(|| event.name.clone());
        if kind == "error" || event.name == "error" || object.get("error").is_some() {
            return Err(Failure::said(&object));
        }
        match self.api {
            Api::Chat => chat::read(&mut self.draft, &object),
            Api::Responses => responses::read(&mut self.draft, &kind, &object)?,
            Api::Messages => messages::read(&mut self.draft, &kind, &object),
        }
        self.draft.check()
    }

    fn read_body(&mut self, body: &[u8]) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(body);
        let Some(object) = Object::parse(&text) else { return Err(Failure::malformed(&text)) };
        if object.get("error").is_some() || object.text("type").as_deref() == Some("error") {
            return Err(Failure::said(&object));
        }
        let said = match self.api {
            Api::Chat => "choices",
            Api::Responses => "output",
            Api::Messages => "content",
        };
        if object.get(said).is_none() {
            return Err(Failure::malformed(&text));
        }
        match self.api {
            Api::Chat => chat::read_whole(&mut self.draft, &object),
            Api::Responses => responses::end(&mut self.draft, &object)?,
            Api::Messages => messages::read_whole(&mut self.draft, &object),
        }
        self.draft.check()
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}
