//! What an agent remembers between two batches of events: the state of its subscription.

use serde::{Deserialize, Serialize};
use tailrace_model::time::Millis;

use crate::event::ReplyTo;

/// An agent's state. A fold over the stream's events, so it can be made anew from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The last event that was folded.
    pub folded: u64,
    /// The number of the last turn.
    pub turn: u64,
    /// Input that no turn has seen yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Input>,
    /// What it is doing.
    pub phase: Phase,
    /// The calls of the last output, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// All calls have ended: the model is to be told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// It was asked to stop while the model is called: nothing follows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stops: bool,
    /// The last event that asked it to stop.
    #[serde(skip_serializing_if = "is_zero")]
    pub interrupted: u64,
    /// The event that the next turn follows from, when no input does: the one with the most turns in its chain.
    pub chain: Link,
    /// Whom answers are owed to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
    /// Since when it waits for other subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Millis>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde wants it so; where a pointer has 32 bits, it is not even trivial"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Input that waits for a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The event.
    pub offset: u64,
    /// When it was written.
    pub at: Millis,
    /// Turns in its chain of causes.
    pub turns: u32,
}

/// An answer that is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// The input that asks for it: only a turn that has seen it answers.
    pub input: u64,
    /// Whom to.
    pub to: ReplyTo,
}

/// An event as a cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The event.
    pub offset: u64,
    /// Turns in its chain of causes.
    pub turns: u32,
}

/// What an agent is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "is")]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// The model is called.
    Asking {
        /// The request.
        request_id: String,
        /// The last event that it is made of.
        up_to: u64,
        /// `agent.turn-started` of it; 0 until that was seen.
        started: u64,
        /// When it is made sure that the call is still under way.
        check_at: Millis,
    },
    /// Tools are called.
    Calling,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Its id.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// The output that asks for it.
    pub output: u64,
    /// How far it is.
    pub stage: Stage,
    /// When that ends at the latest.
    pub until: Millis,
    /// The stream of the sub-agent that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Somebody must approve it.
    Approval,
    /// It was requested.
    Running,
    /// Its end was appended; it counts when it is seen, for only then a request tells of it.
    Ending,
    /// It has ended.
    Ended,
}

impl State {
    /// The call of this id, if nothing has ended it yet.
    pub(crate) fn open(&mut self, call_id: &str) -> Option<&mut Call> {
        self.unseen(call_id).filter(|call| call.stage != Stage::Ending)
    }

    /// The call of this id, if its end was not seen yet.
    pub(crate) fn unseen(&mut self, call_id: &str) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.call_id == call_id && call.stage != Stage::Ended)
    }

    /// Makes the next turn follow from the event with the most turns behind it: a chain must not get shorter because
    /// somebody outside names no cause.
    pub(crate) fn follow(&mut self, link: Link) {
        if link.turns >= self.chain.turns {
            self.chain = link;
        }
    }
}
