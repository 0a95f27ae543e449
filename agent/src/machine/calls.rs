//! Calls of tools: what becomes of each that an output asks for, until its end is seen.

use serde_json::{Value, json};
use tailrace_model::control::agent::OnInput;
use tailrace_model::limits;
use tailrace_model::settle::Answered;
use tailrace_model::time::{Millis, to_rfc3339};

use super::{APPROVAL_MS, CHECK_MS, Machine};
use crate::append::approved_event;
use crate::event::{Event, Fact, Wanted};
use crate::state::{Call, Link, Phase, Stage};
use crate::tools::{self, Ran};

impl Machine<'_> {
    pub(super) fn output(&mut self, event: &Event, up_to: u64, content: &str, calls: &[Wanted]) {
        // It was on its way already when it was asked to stop.
        let stops = std::mem::take(&mut self.state.stops);
        if stops && calls.is_empty() {
            return self.stop(event.offset, self.state.interrupted, "interrupted");
        }
        if calls.is_empty() {
            return self.reply(event.offset, up_to, "tool.completed", ("result", content));
        }
        self.state.phase = Phase::Calling;
        self.state.calls = calls
            .iter()
            .map(|wanted| Call {
                call_id: wanted.call_id.clone(),
                name: wanted.name.clone(),
                output: event.offset,
                stage: Stage::Running,
                until: self.begins(event) + self.timeout_of(&wanted.name, wanted.arguments.0.get()),
                child: None,
            })
            .collect();
        if stops {
            return self.stop_calls(event.offset);
        }
        if self.setting.agent.on_input == OnInput::Interrupt && !self.state.waiting.is_empty() && !self.replay {
            // It was broken off for newer input, and had answered already.
            return self.fail_all(event.offset, "interrupted");
        }
        for wanted in calls {
            self.request(event, wanted);
        }
    }

    /// When what follows from an event begins: a stream may have been paused since.
    pub(super) fn begins(&self, event: &Event) -> Millis {
        if self.replay { event.at } else { event.at.max(self.setting.now) }
    }

    pub(super) fn timeout_of(&self, name: &str, arguments: &str) -> Millis {
        let configured = self.setting.tools.get(name).map(|tool| tool.timeout_ms);
        let wished = (name == tools::SPAWN).then(|| tools::timeout_of_spawn(arguments)).flatten();
        i64::try_from(configured.or(wished).unwrap_or(limits::TOOL_TIMEOUT_MS)).unwrap_or(APPROVAL_MS)
    }

    /// What becomes of a call that the model wants.
    pub(super) fn request(&mut self, event: &Event, wanted: &Wanted) {
        let tool = self.setting.tools.get(&wanted.name);
        let is_known =
            (tool.is_some() || tools::is_built_in(&wanted.name)) && tools::is_offered(self.setting.agent, &wanted.name);
        if !is_known {
            return self.fail(&wanted.call_id, event.offset, &format!("there is no tool {}", wanted.name));
        }
        if !wanted.arguments.0.get().starts_with('{') {
            return self.fail(&wanted.call_id, event.offset, "the arguments are not a JSON object");
        }
        if tool.is_none_or(|tool| !tool.approval) {
            self.requests.push((wanted.call_id.clone(), self.decision.append.len()));
            return self.append(("tool.requested", payload_of(wanted), event.offset));
        }
        let until = self.begins(event) + APPROVAL_MS;
        if let Some(call) = self.state.open(&wanted.call_id) {
            call.stage = Stage::Approval;
            call.until = until;
        }
        let payload = json!({
            "callId": wanted.call_id, "name": wanted.name, "arguments": wanted.arguments.0, "expiresAt": to_rfc3339(until),
        });
        self.requests.push((wanted.call_id.clone(), self.decision.append.len()));
        self.append(("tool.approval-requested", payload, event.offset));
    }

    pub(super) fn approved(&mut self, event: &Event, call_id: &str) {
        let Some(call) = self.state.open(call_id).filter(|call| call.stage == Stage::Approval).cloned() else { return };
        let here = || self.events.iter().find(|event| event.offset == call.output);
        let wanted = self.setting.outputs.get(&call.output).or_else(here).and_then(|output| match &output.fact {
            Fact::Output { calls, .. } => calls.iter().find(|wanted| wanted.call_id == call_id).cloned(),
            _ => None,
        });
        let until = self.begins(event) + self.timeout_of(&call.name, "{}");
        if let Some(call) = self.state.open(call_id) {
            call.stage = Stage::Running;
            call.until = until;
        }
        match wanted {
            // What was requested then is in the log, and comes next.
            _ if self.replay => {}
            Some(wanted) => {
                let payload = self.signed(payload_of(&wanted));
                self.requests.push((call_id.to_owned(), self.decision.append.len()));
                self.decision.append.extend(approved_event(self.setting.slug, &payload, event.offset));
            }
            None => self.fail(call_id, event.offset, "what was approved is not in the log"),
        }
    }

    /// Runs what is built in. Everything else is somebody's who hears `tool.requested`.
    pub(super) fn run(&mut self, event: &Event, call_id: &str, name: &str, arguments: &str) {
        let is_its = self.state.open(call_id).is_some_and(|call| call.name == name && call.stage == Stage::Running);
        if self.setting.tools.contains_key(name) || !is_its || self.replay {
            return;
        }
        let Some(ran) = tools::run(self.setting, event.offset, call_id, name, arguments) else { return };
        match ran {
            Ran::Completed { append, result } => {
                let of_call = |answered: Answered| Answered { call: Some(call_id.to_owned()), ..answered };
                self.decision.append.extend(append.into_iter().map(of_call));
                let payload = self.signed(json!({"callId": call_id, "result": result}));
                match crate::append::event(self.setting.slug, "tool.completed", &payload, event.offset) {
                    Some(completed) => self.decision.append.push(of_call(completed)),
                    None => return self.fail(call_id, event.offset, "the result nests too deep"),
                }
                self.ending(call_id);
            }
            Ran::Failed(error) => self.fail(call_id, event.offset, &error),
            Ran::Spawned { append, child } => {
                self.append((
                    "tool.started",
                    json!({"callId": call_id, "attempt": 1, "streamPath": child}),
                    event.offset,
                ));
                self.decision.append.extend(append);
                if let Some(call) = self.state.open(call_id) {
                    call.child = Some(child);
                }
            }
        }
    }

    /// The first end of a call that is seen counts.
    pub(super) fn ended(&mut self, call_id: &str, link: Link) {
        let Some(call) = self.state.unseen(call_id) else { return };
        call.stage = Stage::Ended;
        self.state.follow(link);
        if self.state.phase == Phase::Calling && self.state.calls.iter().all(|call| call.stage == Stage::Ended) {
            self.state.phase = Phase::Idle;
            self.state.calls.clear();
            self.state.goes_on = !std::mem::take(&mut self.state.stops);
        }
    }

    /// Its end is appended with this decision.
    pub(super) fn ending(&mut self, call_id: &str) {
        let now = self.setting.now;
        if let Some(call) = self.state.open(call_id) {
            call.stage = Stage::Ending;
            call.until = now;
        }
    }

    pub(super) fn fail(&mut self, call_id: &str, cause: u64, error: &str) {
        // What failed then is in the log.
        if self.replay || self.state.open(call_id).is_none() {
            return;
        }
        self.append(failed(call_id, cause, error));
        self.ending(call_id);
    }

    pub(super) fn fail_all(&mut self, cause: u64, error: &str) {
        let calls: Vec<String> = self.state.calls.iter().map(|call| call.call_id.clone()).collect();
        for call_id in calls {
            self.fail(&call_id, cause, error);
        }
    }

    /// Ends all calls, and nothing follows when their ends were seen.
    pub(super) fn stop_calls(&mut self, cause: u64) {
        self.state.stops = true;
        self.fail_all(cause, "interrupted");
        self.stop(cause, self.state.interrupted, "interrupted");
    }

    pub(super) fn fail_child(&mut self, path: &str, cause: u64, error: &str) {
        let its = self.state.calls.iter().find(|call| call.child.as_deref() == Some(path));
        if let Some(call_id) = its.map(|call| call.call_id.clone()) {
            self.fail(&call_id, cause, error);
        }
    }

    /// A call that came to its end in the same decision is not run any more.
    pub(super) fn drop_requests(&mut self) {
        for (call_id, index) in std::mem::take(&mut self.requests).into_iter().rev() {
            if self.state.open(&call_id).is_none() && index < self.decision.append.len() {
                self.decision.append.remove(index);
            }
        }
    }
}

/// When a call is ended, if nothing else does it before.
pub(super) fn ends_at(call: &Call) -> Option<Millis> {
    match call.stage {
        Stage::Approval | Stage::Running => Some(call.until),
        Stage::Ending => Some(call.until + CHECK_MS),
        Stage::Ended => None,
    }
}

fn failed(call_id: &str, cause: u64, error: &str) -> (&'static str, Value, u64) {
    ("tool.failed", json!({"callId": call_id, "error": error}), cause)
}

fn payload_of(wanted: &Wanted) -> Value {
    json!({"callId": wanted.call_id, "name": wanted.name, "arguments": wanted.arguments.0})
}
