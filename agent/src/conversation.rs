//! What a model is told: made from the log, the same for every API.

use serde_json::value::RawValue;

/// All that a request to a model is made of, beside the agent's configuration.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// What was said and done, oldest first. The results of calls follow right behind the output that asked for them, one
    /// for each call.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
}

/// What the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` = an object without properties.
    pub parameters: Option<Box<RawValue>>,
}

/// One thing that was said or done.
#[derive(Clone, Debug)]
pub enum Message {
    /// Somebody said something to the agent.
    Input {
        /// As whom.
        role: Role,
        /// What.
        content: Content,
    },
    /// What the model answered.
    Output {
        /// Its text; may be empty.
        content: String,
        /// What it wanted to have called.
        calls: Vec<Call>,
    },
    /// What became of a call.
    Result {
        /// The call's id.
        id: String,
        /// What came of it, as text.
        content: String,
        /// It failed or was denied.
        failed: bool,
    },
}

/// As whom something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one the agent works for.
    User,
    /// Who set the agent up: context, rules.
    System,
    /// The agent itself, in words that were put into its mouth.
    Assistant,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text.
    Text(String),
    /// Texts and images.
    Parts(Vec<Part>),
}

/// A piece of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A text.
    Text(String),
    /// An image by its URL, which may be a `data:` URL.
    Image(String),
}

/// What a model wants to have called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its id within the conversation, in characters that every provider takes: `call_<output>_<index>`.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments, as the model wrote them: JSON, if all went well.
    pub arguments: String,
}
