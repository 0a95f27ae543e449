//! An answer that is being read, the same for every API.

use serde_json::value::RawValue;

use super::failure::Failure;
use super::object::{Object, is_object};
use super::text::Text;
use super::{Answer, Asked, Usage};

/// Bytes of a text and of the arguments of calls together: an event must have room for them.
const SAID_BYTES: usize = 768 * 1024;
/// Calls in one answer.
const CALLS: usize = 128;
/// Characters of a model's name, or of a reason to end.
const NAME_CHARS: usize = 256;

/// An answer as far as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    content: Text,
    pub(super) calls: Vec<Begun>,
    pub(super) tokens: Tokens,
    model: Option<String>,
    reason: Option<String>,
    /// The model refused, whatever reason it gives for the end.
    is_refusal: bool,
    /// Its end was told, so that nothing is missing but numbers.
    pub(super) is_complete: bool,
    /// Nothing follows.
    pub(super) is_done: bool,
}

/// A call that a model began to ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun {
    /// Where it stands in the answer, as the provider counts.
    pub(super) index: Option<u64>,
    /// The provider's id of it; empty when there is none.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Text,
    /// The arguments that it began with: mostly a mere placeholder, so they count only if no others follow.
    initial: Text,
}

/// Tokens as providers count them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    /// Of the input.
    pub(super) cached: Option<u64>,
    /// Beside the input: read from a cache.
    pub(super) read: Option<u64>,
    /// Beside the input: written to a cache.
    pub(super) written: Option<u64>,
    /// Of the output.
    pub(super) reasoning: Option<u64>,
}

impl Draft {
    /// The text goes on.
    pub(super) fn say(&mut self, text: &RawValue) {
        self.content.push(text);
    }

    /// The text goes on with why the model will not answer.
    pub(super) fn refuse(&mut self, text: &RawValue) {
        self.content.push(text);
        self.is_refusal |= text.get().len() > 2;
    }

    /// The call that stands at an index, or has an id; a new one if there is none yet.
    pub(super) fn call(&mut self, index: Option<u64>, id: &str) -> Option<&mut Begun> {
        let known = self.calls.iter().position(|call| match index {
            Some(_) => call.index == index,
            None => call.id == id,
        });
        match known {
            Some(at) => self.calls.get_mut(at),
            None => self.begin(index, id),
        }
    }

    /// A new call.
    pub(super) fn begin(&mut self, index: Option<u64>, id: &str) -> Option<&mut Begun> {
        self.calls.push(Begun { index, id: id.to_owned(), ..Begun::default() });
        self.calls.last_mut()
    }

    /// What the model calls itself stands under `model`, in every event or in the first.
    pub(super) fn name_model(&mut self, object: &Object) {
        if self.model.is_none() {
            let name = object.text("model").filter(|name| !name.is_empty());
            self.model = name.map(|name| name.chars().take(NAME_CHARS).collect());
        }
    }

    /// The model came to its end for a reason.
    pub(super) fn end(&mut self, reason: &str) {
        self.reason = Some(reason).filter(|reason| !reason.is_empty()).map(normalised);
    }

    /// Nothing follows.
    pub(super) fn close(&mut self) {
        self.content.close();
        self.is_complete = true;
        self.is_done = true;
    }

    /// Neither a text nor a call so far.
    pub(super) fn is_empty(&self) -> bool {
        self.text().is_empty() && self.calls.is_empty()
    }

    /// The text so far.
    pub(super) fn text(&self) -> &str {
        self.content.as_str()
    }

    /// Whether everything keeps within its bounds.
    ///
    /// # Errors
    /// What does not.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        if self.calls.len() > CALLS {
            return Err(Failure::too_large("it asks for more than 128 calls"));
        }
        let of_calls = self.calls.iter().map(Begun::bytes);
        if self.text().len() + of_calls.sum::<usize>() > SAID_BYTES {
            self.content.keep(SAID_BYTES);
            return Err(Failure::too_large("its text and arguments are more than 768 KiB"));
        }
        Ok(())
    }

    /// The answer, finished.
    pub(super) fn into_answer(self) -> Answer {
        let is_meant = |call: &Begun| !call.name.is_empty() || !call.arguments.as_str().trim().is_empty();
        let calls: Vec<Asked> = self.calls.into_iter().filter(is_meant).map(Asked::from).collect();
        let finish_reason = match self.reason {
            _ if self.is_refusal => Some("content_filter".to_owned()),
            Some(reason) if reason != "stop" => Some(reason),
            _ if !calls.is_empty() => Some("tool_calls".to_owned()),
            reason => reason,
        };
        let content = self.content.into_string();
        Answer { content, calls, usage: self.tokens.usage(), model: self.model, finish_reason }
    }
}

impl Begun {
    /// The name comes in pieces, whole, or again and again.
    pub(super) fn name(&mut self, piece: &str) {
        if self.name != piece && self.arguments.as_str().is_empty() {
            self.name.push_str(piece);
        }
    }

    /// The arguments go on: JSON in a string, or the value itself, then as a whole.
    pub(super) fn argue(&mut self, piece: &RawValue) {
        if piece.get().starts_with('"') {
            self.arguments.push(piece);
        } else if !self.is_whole() {
            self.arguments.push_plain(piece.get());
        }
    }

    /// The arguments that it begins with.
    pub(super) fn begin_with(&mut self, arguments: &RawValue) {
        self.initial = Text::default();
        if arguments.get().starts_with('"') {
            self.initial.push(arguments);
        } else {
            self.initial.push_plain(arguments.get());
        }
    }

    /// The arguments as a whole, for those who did not get them in pieces.
    pub(super) fn argue_whole(&mut self, arguments: &RawValue) {
        if self.arguments.as_str().is_empty() {
            self.argue(arguments);
        }
    }

    fn bytes(&self) -> usize {
        self.name.len() + self.arguments.as_str().len() + self.initial.as_str().len()
    }

    /// Its arguments can't go on.
    pub(super) fn is_whole(&self) -> bool {
        is_object(self.arguments.as_str())
    }
}

impl From<Begun> for Asked {
    fn from(call: Begun) -> Self {
        // Where a call has no arguments, some send nothing at all.
        let said = [call.arguments, call.initial].map(Text::into_string).into_iter().find(|it| !it.trim().is_empty());
        Self { name: call.name, arguments: said.unwrap_or_else(|| "{}".to_owned()) }
    }
}

impl Tokens {
    fn usage(self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let input = [self.input, self.read, self.written].into_iter().flatten().fold(0, u64::saturating_add);
        Some(Usage {
            input_tokens: input,
            output_tokens: self.output.unwrap_or_default(),
            cached_input_tokens: self.cached.or(self.read),
            reasoning_tokens: self.reasoning,
        })
    }
}

/// A reason to end in the words that all APIs share.
fn normalised(reason: &str) -> String {
    match reason {
        "stop" | "end_turn" | "stop_sequence" | "completed" | "eos" => "stop".to_owned(),
        "tool_calls" | "tool_use" | "function_call" => "tool_calls".to_owned(),
        "length" | "max_tokens" | "max_output_tokens" | "model_length" | "model_context_window_exceeded" => {
            "length".to_owned()
        }
        "content_filter" | "refusal" | "safety" => "content_filter".to_owned(),
        other => other.chars().take(NAME_CHARS).collect(),
    }
}
