//! How models are spoken to: OpenAI's chat completions and responses, Anthropic's messages. Streaming only.
//!
//! | module | what it knows |
//! |---|---|
//! | `chat`, `responses`, `messages` | one API each: how a request is written, how an answer is read |
//! | `wire` | what the requests have in common |
//! | `endpoint` | where an API is reached |
//! | `reader` | answers as their bytes come in |
//! | `sse` | events, cut anywhere |
//! | `object` | JSON of which little is known |
//! | `text` | texts in pieces |
//! | `draft` | the answer as far as it was read, and its bounds |
//! | `failure` | what went wrong, in a provider's words |

mod chat;
mod draft;
mod endpoint;
mod failure;
mod messages;
mod object;
mod reader;
mod responses;
mod sse;
mod text;
mod wire;

use serde::{Deserialize, Serialize};
use tailrace_model::control::agent::{Agent, Api};

use crate::conversation::Conversation;

pub use failure::{Failure, refused};
pub use reader::Reader;

/// Bytes of one event of an answer, or of an answer that comes whole.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// A request to a model, but for its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub url: String,
    /// Headers beside the credentials; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The header that carries the secret, and what stands before it: `authorization`, `Bearer `.
    pub credential: (&'static str, &'static str),
    /// The body: the same bytes for the same log.
    pub body: String,
}

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its text.
    pub content: String,
    /// What it wants to have called: names and arguments, in its order.
    pub calls: Vec<Asked>,
    /// Tokens, as far as the provider told.
    pub usage: Option<Usage>,
    /// The model that answered, as it calls itself.
    pub model: Option<String>,
    /// Why it ended: `stop`, `tool_calls`, `length`, `content_filter`, or what else the provider says.
    pub finish_reason: Option<String>,
}

/// A call that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The tool's name, as the model wrote it; it may be empty, or that of no tool.
    pub name: String,
    /// Its arguments, as the model wrote them, which is JSON if all went well; `{}` if it wrote none.
    pub arguments: String,
}

/// What an answer cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the request.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Tokens of the request that the provider had kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Tokens of the answer that nobody sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

/// Writes the request for a conversation.
#[must_use]
pub fn request(agent: &Agent, conversation: &Conversation) -> Request {
    let mut headers = vec![("content-type", "application/json"), ("accept", "text/event-stream")];
    let mut credential = ("authorization", "Bearer ");
    if agent.api == Api::Messages {
        headers.push(("anthropic-version", "2023-06-01"));
        credential = ("x-api-key", "");
    }
    let body = match agent.api {
        Api::Chat => chat::body(agent, conversation),
        Api::Responses => responses::body(agent, conversation),
        Api::Messages => messages::body(agent, conversation),
    };
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Request { url: endpoint::url(agent.api, &agent.base_url), headers, credential, body }
}
