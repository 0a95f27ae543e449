//! What an agent understands of the stream's events.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tailrace_model::line::StoredEvent;
use tailrace_model::time::{Millis, from_rfc3339};

use crate::payload::{Payload, System};

/// An event, as far as it concerns an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the stream.
    pub offset: u64,
    /// When it was written.
    pub at: Millis,
    /// How many model turns lie in its chain of causes.
    pub turns: u32,
    /// What it says.
    pub fact: Fact,
}

/// What an event says to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `agent.input-added` for it.
    Input {
        /// Whom its answer is owed to.
        reply_to: Option<ReplyTo>,
    },
    /// `agent.turn-started` of its own.
    TurnStarted {
        /// The request.
        request_id: String,
        /// Which turn.
        turn: u64,
        /// The last event that the request is made of.
        up_to: u64,
    },
    /// `agent.output-added` of its own.
    Output {
        /// The request that it ends.
        request_id: String,
        /// Its text.
        content: String,
        /// What is to be called.
        calls: Vec<Wanted>,
    },
    /// `agent.turn-failed` of its own, for good.
    Failed {
        /// The request that it ends.
        request_id: String,
        /// Why.
        error: String,
    },
    /// `agent.turn-interrupted` of its own.
    Interrupted {
        /// The request that it ends.
        request_id: String,
    },
    /// `agent.stopped` of its own.
    Stopped {
        /// Input up to here is not answered any more.
        up_to: u64,
    },
    /// `agent.interrupt-requested` for it.
    InterruptRequested,
    /// `tool.approved`.
    Approved {
        /// The call.
        call_id: String,
    },
    /// `tool.requested` of its own: run it now.
    Requested {
        /// The call.
        call_id: String,
        /// The tool.
        name: String,
        /// The arguments as JSON text.
        arguments: String,
    },
    /// `tool.started`.
    Started {
        /// The call.
        call_id: String,
        /// The stream of the sub-agent that does it.
        stream_path: Option<String>,
    },
    /// `tool.completed`, `tool.failed` or `tool.denied`: the first of them counts.
    Ended {
        /// The call.
        call_id: String,
        /// The stream that says so, if that is another one.
        from: Option<String>,
    },
    /// `stream.child-deleted`.
    ChildDeleted {
        /// Which.
        path: String,
    },
    /// `stream.resumed`.
    Resumed,
    /// `error.occurred` about something that went to another stream and was refused there.
    Refused {
        /// The other stream.
        target: String,
        /// Why.
        message: String,
    },
    /// Nothing that concerns it.
    Other,
}

/// A call that an output asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Its id: the request's, and its place in the output.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// The arguments: a JSON object, or a string when the model did not write one.
    pub arguments: Arguments,
}

/// JSON text, compared as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arguments(pub Box<RawValue>);

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Arguments {}

/// Whom an answer is owed to: a call of a tool in another stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyTo {
    /// The stream.
    pub stream_path: String,
    /// The call.
    pub call_id: String,
}

impl Event {
    /// Understands an event of the agent `slug`'s stream.
    #[must_use]
    pub fn read(event: &StoredEvent, slug: &str) -> Self {
        let payload = Payload::of(event);
        // What speaks for the agent counts only from itself: anybody may append events of its types.
        let system = System::of(event);
        let is_own = system.is_of(slug) && payload.text("agent").as_deref() == Some(slug);
        let request = |name| payload.text(name);
        let fact = match event.event_type.as_ref() {
            // History from elsewhere was answered there.
            "agent.input-added" if payload.is_for("to", slug) && !system.is_imported() => {
                let reply_to = payload.read("replyTo");
                // Only where it came from: nobody has others written to in the system's name.
                let is_from = |to: &ReplyTo| system.from.as_ref() == Some(&to.stream_path);
                Some(Fact::Input { reply_to: reply_to.filter(is_from) })
            }
            "agent.interrupt-requested" if payload.is_for("agent", slug) => Some(Fact::InterruptRequested),
            "agent.turn-started" if is_own => started(&payload),
            "agent.output-added" if is_own => request("requestId").map(|request_id| Fact::Output {
                request_id,
                content: payload.text("content").unwrap_or_default(),
                calls: payload.read("toolCalls").unwrap_or_default(),
            }),
            "agent.turn-failed" if is_own && payload.read("final") == Some(true) => request("requestId")
                .map(|request_id| Fact::Failed { request_id, error: payload.text("error").unwrap_or_default() }),
            "agent.turn-interrupted" if is_own => {
                request("requestId").map(|request_id| Fact::Interrupted { request_id })
            }
            "agent.stopped" if is_own => Some(Fact::Stopped { up_to: payload.read("upTo").unwrap_or(event.offset) }),
            "tool.approved" => request("callId").map(|call_id| Fact::Approved { call_id }),
            "tool.started" => request("callId")
                .map(|call_id| Fact::Started { call_id, stream_path: payload.text("streamPath").filter(|_| is_own) }),
            "tool.completed" | "tool.failed" | "tool.denied" => {
                request("callId").map(|call_id| Fact::Ended { call_id, from: system.from.clone() })
            }
            "tool.requested" if is_own => requested(&payload),
            "stream.child-deleted" => request("path").map(|path| Fact::ChildDeleted { path }),
            "stream.resumed" => Some(Fact::Resumed),
            "error.occurred" => request("target")
                .map(|target| Fact::Refused { target, message: payload.text("message").unwrap_or_default() }),
            _ => None,
        };
        Self {
            offset: event.offset,
            at: from_rfc3339(&event.created_at).unwrap_or(0),
            turns: event.cause.as_ref().map_or(0, |cause| cause.turns),
            fact: fact.unwrap_or(Fact::Other),
        }
    }
}

fn started(payload: &Payload) -> Option<Fact> {
    Some(Fact::TurnStarted {
        request_id: payload.text("requestId")?,
        turn: payload.read("turn")?,
        up_to: payload.read("upTo")?,
    })
}

fn requested(payload: &Payload) -> Option<Fact> {
    let arguments = payload.raw("arguments").map_or("{}", RawValue::get).to_owned();
    Some(Fact::Requested { call_id: payload.text("callId")?, name: payload.text("name")?, arguments })
}

/// True for an event that the agent `slug` itself wrote, here or where it was imported from.
#[must_use]
pub fn is_own(event: &StoredEvent, slug: &str) -> bool {
    let system = System::of(event);
    system.is_of(slug) || system.is_imported()
}
