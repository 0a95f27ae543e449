//! What a Runner owes, on a real database: calls of models, by example and through random crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Database, Deployment, START};
use tailrace_durable::call;
use tailrace_durable::runner::{Ask, BEAT_MS, Failed, Runner, Work};
use tailrace_durable::speech::Outcome;
use tailrace_durable::stream::Moment;
use tailrace_model::limits;
use tailrace_model::time::{Millis, to_rfc3339};

const S: &str = "/s";
const ID: &str = "w.g.3";

fn ask() -> Ask {
    Ask {
        path: S.to_owned(),
        generation: "g".to_owned(),
        slug: "w".to_owned(),
        request_id: ID.to_owned(),
        turn: 1,
        up_to: 3,
        started: 4,
    }
}

fn at(ms: Millis) -> Moment {
    Moment { at: START + ms, random: 0 }
}

fn runner() -> Runner<Database> {
    Runner::new(Database::in_memory())
}

/// A Runner with the first attempt under way.
fn asking() -> Runner<Database> {
    let runner = runner();
    runner.owe(at(0), &ask()).unwrap();
    assert_eq!(attempt(&runner, at(0)), Some(1));
    runner
}

/// The attempt that is to be made now; `None` when nothing is.
fn attempt(runner: &Runner<Database>, now: Moment) -> Option<u32> {
    match runner.next(now).unwrap() {
        Some(Work::Ask { attempt, ask: owed }) => {
            assert_eq!(owed, ask());
            Some(attempt)
        }
        None => None,
        Some(tell) => panic!("{tell:?}"),
    }
}

/// What is to be told now.
fn telling(runner: &Runner<Database>, now: Moment) -> Outcome {
    match runner.next(now).unwrap() {
        Some(Work::Tell { path, outcome }) => {
            assert_eq!((path.as_str(), outcome.generation.as_str(), outcome.slug.as_str()), (S, "g", "w"));
            assert_eq!((outcome.request_id.as_str(), outcome.started), (ID, 4));
            outcome
        }
        other => panic!("{other:?}"),
    }
}

fn payload(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.payload).unwrap()
}

fn unavailable() -> Failed {
    Failed { error: "HTTP 503".to_owned(), status: Some(503), retryable: true, retry_after_ms: None }
}

fn end_key() -> String {
    format!("{ID}:end")
}

#[test]
fn a_runner_that_owes_nothing_has_no_table_and_is_never_due() {
    let database = Database::in_memory();
    let runner = Runner::new(database.clone());
    assert_eq!((runner.due().unwrap(), runner.next(at(0)).unwrap()), (None, None));
    assert!(database.is_untouched());
}

#[test]
fn an_answer_is_told_until_it_is_heard_and_then_forgotten() {
    let runner = asking();
    assert_eq!(runner.due().unwrap(), Some(START + 10_000));
    runner.answered(at(500), ID, r#"{"content":"hello"}"#).unwrap();
    assert_eq!(runner.due().unwrap(), Some(START + 500));
    for again in 0..3 {
        let outcome = telling(&runner, at(500 + again * 2_000));
        assert_eq!((outcome.event_type.as_str(), outcome.key.as_str()), ("agent.output-added", end_key().as_str()));
        assert_eq!(outcome.payload, r#"{"content":"hello"}"#);
        assert_eq!(runner.next(at(500 + again * 2_000 + 1_999)).unwrap(), None);
    }
    runner.told(ID, &end_key()).unwrap();
    assert_eq!((runner.due().unwrap(), runner.next(at(99_000)).unwrap()), (None, None));
}

#[test]
fn to_owe_a_call_twice_is_the_same_as_once() {
    let runner = asking();
    runner.owe(at(10), &ask()).unwrap();
    assert_eq!(runner.next(at(10)).unwrap(), None, "it is under way");
    runner.answered(at(20), ID, "{}").unwrap();
    runner.owe(at(30), &ask()).unwrap();
    assert_eq!(telling(&runner, at(30)).event_type, "agent.output-added");
}

#[test]
fn what_may_help_is_tried_five_times_each_later_than_the_one_before() {
    for (random, percent) in [(0, 80), (1_023, 120)] {
        let runner = asking();
        let mut now = START;
        for (number, delay) in [(1, 1_000), (2, 4_000), (3, 15_000), (4, 60_000)] {
            runner.failed(Moment { at: now, random }, ID, &unavailable()).unwrap();
            let outcome = telling(&runner, Moment { at: now, random });
            let retry_at = now + delay * percent / 100;
            assert_eq!(outcome.key, format!("{ID}:failed:{number}"));
            let expected = json!({
                "agent": "w", "turn": 1, "requestId": ID, "attempt": number, "error": "HTTP 503", "final": false, "status": 503,
                "retryAt": to_rfc3339(retry_at),
            });
            assert_eq!((outcome.event_type.as_str(), payload(&outcome)), ("agent.turn-failed", expected));
            runner.told(ID, &outcome.key).unwrap();
            assert_eq!(runner.due().unwrap(), Some(retry_at));
            assert_eq!(attempt(&runner, Moment { at: retry_at - 1, random }), None);
            assert_eq!(attempt(&runner, Moment { at: retry_at, random }), Some(number + 1));
            now = retry_at;
        }
        runner.failed(Moment { at: now, random }, ID, &unavailable()).unwrap();
        let outcome = telling(&runner, Moment { at: now, random });
        assert_eq!((outcome.key.clone(), payload(&outcome)["final"].clone()), (end_key(), json!(true)));
        assert_eq!((payload(&outcome)["attempt"].clone(), payload(&outcome).get("retryAt")), (json!(5), None));
        runner.told(ID, &end_key()).unwrap();
        assert_eq!(runner.due().unwrap(), None);
    }
}

#[test]
fn what_cannot_help_is_not_tried_again() {
    for failed in [
        Failed { error: "HTTP 400".to_owned(), status: Some(400), ..Failed::default() },
        Failed { retry_after_ms: Some(300_001), ..unavailable() },
    ] {
        let runner = asking();
        runner.failed(at(0), ID, &failed).unwrap();
        let outcome = telling(&runner, at(0));
        assert_eq!((outcome.key.clone(), payload(&outcome)["final"].clone()), (end_key(), json!(true)));
    }
}

#[test]
fn a_provider_that_wants_patience_gets_it() {
    for (wanted, expected) in [(0, 800), (500, 800), (30_000, 30_000), (300_000, 300_000)] {
        let runner = asking();
        runner.failed(at(0), ID, &Failed { retry_after_ms: Some(wanted), ..unavailable() }).unwrap();
        let outcome = telling(&runner, at(0));
        assert_eq!(payload(&outcome)["retryAt"], to_rfc3339(START + expected), "{wanted}");
        runner.told(ID, &outcome.key).unwrap();
        assert_eq!(runner.due().unwrap(), Some(START + expected));
    }
}

#[test]
fn an_attempt_at_which_nobody_is_any_more_died_with_its_process() {
    let runner = asking();
    for beat in 1..5 {
        assert!(runner.beat(at(beat * BEAT_MS), ID).unwrap());
        assert_eq!(runner.next(at(beat * BEAT_MS + 9_999)).unwrap(), None);
    }
    let dead = 4 * BEAT_MS + 10_000;
    let outcome = telling(&runner, at(dead));
    assert_eq!(payload(&outcome)["error"], "the call was cut off: its process ended");
    assert_eq!((payload(&outcome)["attempt"].clone(), outcome.key.as_str()), (json!(1), "w.g.3:failed:1"));
    runner.told(ID, &outcome.key).unwrap();
    assert_eq!(attempt(&runner, at(dead + 800)), Some(2));
}

#[test]
fn attempts_that_died_with_their_process_use_up_none_of_the_five_but_do_not_go_on_for_ever() {
    let runner = asking();
    let mut now = 0;
    for lost in 1..=20_u32 {
        now += 20_000;
        let outcome = telling(&runner, at(now));
        assert_eq!(payload(&outcome)["final"], false, "{lost}");
        runner.told(ID, &outcome.key).unwrap();
        assert_eq!(attempt(&runner, at(now)), Some(lost + 1), "it is made again at once");
    }
    runner.failed(at(now), ID, &unavailable()).unwrap();
    let outcome = telling(&runner, at(now));
    assert_eq!(payload(&outcome)["final"], false, "the model itself failed once");
    runner.told(ID, &outcome.key).unwrap();
    assert_eq!(attempt(&runner, at(now + 1_000)), Some(22));
    assert_eq!(payload(&telling(&runner, at(now + 30_000)))["final"], true);
}

#[test]
fn an_error_is_cut_to_what_a_reason_may_have() {
    let runner = asking();
    runner.failed(at(0), ID, &Failed { error: "é".repeat(10_000), ..unavailable() }).unwrap();
    let outcome = telling(&runner, at(0));
    assert!(payload(&outcome)["error"].as_str().unwrap().len() <= limits::REASON_BYTES);
}

#[test]
fn an_answer_that_is_longer_than_an_event_may_be_is_a_failure_for_good() {
    let runner = asking();
    let content = |bytes: usize| format!("{{\"content\":\"{}\"}}", "x".repeat(bytes));
    runner.answered(at(0), ID, &content(limits::EVENT_BYTES)).unwrap();
    let outcome = telling(&runner, at(0));
    assert_eq!((outcome.event_type.as_str(), payload(&outcome)["final"].clone()), ("agent.turn-failed", json!(true)));
    let runner = asking();
    runner.answered(at(0), ID, &content(limits::EVENT_BYTES - 5_000)).unwrap();
    assert_eq!(telling(&runner, at(0)).event_type, "agent.output-added");
}

#[test]
fn what_was_said_until_it_was_broken_off_is_cut_to_what_an_event_holds() {
    let runner = asking();
    runner.break_off(at(0), &ask()).unwrap();
    runner.interrupted(at(0), ID, &"é".repeat(limits::EVENT_BYTES)).unwrap();
    assert!(telling(&runner, at(0)).payload.len() < limits::EVENT_BYTES / 3);
}

// Break-off, in every phase.

fn is_interrupted(outcome: &Outcome) -> bool {
    outcome.event_type == "agent.turn-interrupted" && outcome.key == end_key()
}

#[test]
fn a_call_that_is_not_known_is_broken_off_too() {
    let runner = runner();
    runner.break_off(at(0), &ask()).unwrap();
    let outcome = telling(&runner, at(0));
    assert!(is_interrupted(&outcome));
    assert_eq!(payload(&outcome), json!({"agent": "w", "turn": 1, "requestId": ID, "attempt": 0, "partial": ""}));
}

#[test]
fn a_call_that_waits_is_broken_off_at_once() {
    let waits = runner();
    waits.owe(at(0), &ask()).unwrap();
    waits.break_off(at(0), &ask()).unwrap();
    assert!(is_interrupted(&telling(&waits, at(0))));
    // Its failure is told already.
    let runner = asking();
    runner.failed(at(0), ID, &unavailable()).unwrap();
    let failure = telling(&runner, at(0));
    runner.told(ID, &failure.key).unwrap();
    runner.break_off(at(100), &ask()).unwrap();
    assert!(is_interrupted(&telling(&runner, at(100))));
}

#[test]
fn a_call_under_way_learns_with_its_next_beat_that_it_is_broken_off() {
    let runner = asking();
    runner.break_off(at(100), &ask()).unwrap();
    assert_eq!(runner.next(at(200)).unwrap(), None, "whoever is at it ends it");
    assert!(!runner.beat(at(4_000), ID).unwrap());
    runner.interrupted(at(4_001), ID, "once upon").unwrap();
    let outcome = telling(&runner, at(4_001));
    assert!(is_interrupted(&outcome));
    assert_eq!(
        (payload(&outcome)["partial"].clone(), payload(&outcome)["attempt"].clone()),
        (json!("once upon"), json!(1))
    );
}

#[test]
fn a_call_that_is_broken_off_is_not_made_again_however_its_attempt_ends() {
    type End = fn(&Runner<Database>);
    let ends: [(&str, End); 4] = [
        ("dies", |_| {}),
        ("fails", |runner| runner.failed(at(200), ID, &unavailable()).unwrap()),
        ("fails for good", |runner| runner.failed(at(200), ID, &Failed::default()).unwrap()),
        ("finds the stream paused", |runner| runner.pause(at(200), ID).unwrap()),
    ];
    for (how, end) in ends {
        let runner = asking();
        runner.break_off(at(100), &ask()).unwrap();
        end(&runner);
        let outcome = telling(&runner, at(10_000));
        assert_eq!(outcome.key, end_key(), "{how}");
        runner.told(ID, &outcome.key).unwrap();
        assert_eq!(runner.due().unwrap(), None, "{how}");
    }
}

#[test]
fn an_answer_that_was_there_first_counts() {
    let runner = asking();
    runner.answered(at(0), ID, "{}").unwrap();
    runner.break_off(at(1), &ask()).unwrap();
    assert_eq!(telling(&runner, at(1)).event_type, "agent.output-added");
    let runner = asking();
    runner.break_off(at(1), &ask()).unwrap();
    runner.answered(at(2), ID, "{}").unwrap();
    assert_eq!(telling(&runner, at(2)).event_type, "agent.output-added");
}

#[test]
fn an_end_is_told_though_the_failure_before_it_was_just_being_told() {
    let runner = asking();
    runner.failed(at(0), ID, &unavailable()).unwrap();
    let failure = telling(&runner, at(0));
    runner.break_off(at(10), &ask()).unwrap();
    assert_eq!(runner.due().unwrap(), Some(START + 10), "it does not wait for the next attempt");
    // Only now it is known that the failure was heard.
    runner.told(ID, &failure.key).unwrap();
    let outcome = telling(&runner, at(3_000));
    assert!(is_interrupted(&outcome));
    runner.told(ID, &outcome.key).unwrap();
    assert_eq!(runner.due().unwrap(), None);
}

#[test]
fn what_was_told_twice_ends_no_later_attempt() {
    let runner = asking();
    runner.failed(at(0), ID, &unavailable()).unwrap();
    let failure = telling(&runner, at(0));
    runner.told(ID, &failure.key).unwrap();
    assert_eq!(attempt(&runner, at(800)), Some(2));
    runner.told(ID, &failure.key).unwrap();
    assert_eq!(runner.due().unwrap(), Some(START + 10_800), "the second attempt is under way");
    runner.answered(at(900), ID, "{}").unwrap();
    runner.told(ID, &failure.key).unwrap();
    assert_eq!(telling(&runner, at(900)).key, end_key());
}

// Pause, and what nobody wants.

#[test]
fn an_attempt_at_a_paused_stream_was_none_and_is_made_when_that_goes_on() {
    let runner = asking();
    runner.pause(at(10), ID).unwrap();
    assert_eq!(runner.due().unwrap(), Some(START + 3_600_010));
    assert_eq!(attempt(&runner, at(3_600_009)), None);
    runner.owe(at(60_000), &ask()).unwrap();
    assert_eq!(attempt(&runner, at(60_000)), Some(1));
    runner.pause(at(60_010), ID).unwrap();
    assert_eq!(attempt(&runner, at(3_660_010)), Some(1), "if nobody says that it goes on");
}

#[test]
fn a_call_that_is_broken_off_while_its_stream_is_paused_ends_at_once() {
    let runner = asking();
    runner.pause(at(10), ID).unwrap();
    runner.break_off(at(20), &ask()).unwrap();
    assert!(is_interrupted(&telling(&runner, at(20))));
}

#[test]
fn what_is_forgotten_says_nothing_any_more() {
    let runner = asking();
    runner.forget(ID).unwrap();
    runner.answered(at(0), ID, "{}").unwrap();
    runner.failed(at(0), ID, &unavailable()).unwrap();
    runner.interrupted(at(0), ID, "").unwrap();
    runner.pause(at(0), ID).unwrap();
    runner.told(ID, &end_key()).unwrap();
    assert!(runner.beat(at(0), ID).unwrap());
    assert_eq!((runner.due().unwrap(), runner.next(at(9_999_999)).unwrap()), (None, None));
}

#[test]
fn the_first_that_is_due_comes_first() {
    let runner = runner();
    for (ms, name) in [(0, "w.g.9"), (1, "w.g.1")] {
        let other = Ask { request_id: name.to_owned(), ..ask() };
        runner.owe(at(ms), &other).unwrap();
    }
    let order: Vec<String> = std::iter::from_fn(|| match runner.next(at(50)).unwrap() {
        Some(Work::Ask { ask, .. }) => Some(ask.request_id),
        _ => None,
    })
    .collect();
    assert_eq!(order, ["w.g.9", "w.g.1"]);
}

// Together with the stream that it tells.

/// One thing that happens to a Runner and its stream.
#[derive(Clone, Debug)]
enum Happens {
    /// The agent makes sure that the model is called.
    Owed,
    BrokenOff,
    /// Whoever is at the Runner does the next thing, and it goes so.
    GoesOn(Goes),
    /// The process dies.
    Dies,
    TimePasses(Millis),
    Beats,
    Paused,
    Resumed,
}

#[derive(Clone, Copy, Debug)]
enum Goes {
    Well,
    /// An attempt fails for now; what is told is lost.
    Badly,
    /// An attempt fails for good; what is told arrives, and nobody learns of it.
    Worse,
}

fn happens() -> impl Strategy<Value = Happens> {
    let goes = prop_oneof![1 => Just(Goes::Well), 2 => Just(Goes::Badly), 1 => Just(Goes::Worse)];
    prop_oneof![
        2 => Just(Happens::Owed),
        1 => Just(Happens::BrokenOff),
        10 => goes.prop_map(Happens::GoesOn),
        3 => Just(Happens::Dies),
        6 => prop::sample::select(vec![1_i64, 900, 2_000, 10_000, 80_000]).prop_map(Happens::TimePasses),
        2 => Just(Happens::Beats),
        1 => Just(Happens::Paused),
        1 => Just(Happens::Resumed),
    ]
}

/// A Runner, whoever is at it, and the stream that it tells.
struct World {
    deployment: Deployment,
    database: Database,
    runner: Runner<Database>,
    /// What is just being done.
    doing: Option<Work>,
    ask: Ask,
    is_owed: bool,
    breaks: bool,
    attempts: Vec<u32>,
}

impl World {
    fn new() -> Self {
        let mut deployment = Deployment::new();
        deployment.append(S, &json!({"type": "subscription.configured", "payload": agent()}).to_string());
        deployment.work_off();
        deployment.now = START;
        let generation = deployment.generation(S).unwrap();
        let database = Database::in_memory();
        let runner = Runner::new(database.clone());
        let ask = Ask { generation, ..ask() };
        Self { deployment, database, runner, doing: None, ask, is_owed: false, breaks: false, attempts: Vec::new() }
    }

    fn now(&self) -> Moment {
        Moment { at: self.deployment.now, random: 512 }
    }

    fn ends(&mut self) -> usize {
        let is_end = |event: &&Value| {
            matches!(event["type"].as_str().unwrap(), "agent.output-added" | "agent.turn-interrupted")
                || event["payload"]["final"] == true
        };
        self.deployment.log(S).iter().filter(is_end).count()
    }

    fn happen(&mut self, it: &Happens) {
        match it {
            Happens::Owed => {
                // The agent does not ask for what it has seen the end of.
                if self.ends() == 0 {
                    self.runner.owe(self.now(), &self.ask).unwrap();
                    self.is_owed = true;
                }
            }
            Happens::BrokenOff => {
                self.runner.break_off(self.now(), &self.ask).unwrap();
                (self.is_owed, self.breaks) = (true, true);
            }
            Happens::GoesOn(goes) => self.go_on(*goes),
            Happens::Dies => {
                self.doing = None;
                self.runner = Runner::new(self.database.clone());
                self.deployment.evict(S);
            }
            Happens::TimePasses(ms) => self.deployment.now += ms,
            Happens::Beats => {
                if let Some(Work::Ask { .. }) = &self.doing
                    && !self.runner.beat(self.now(), ID).unwrap()
                {
                    self.runner.interrupted(self.now(), ID, "so f").unwrap();
                    self.doing = None;
                }
            }
            Happens::Paused | Happens::Resumed => {
                let kind = if matches!(it, Happens::Paused) { "stream.paused" } else { "stream.resumed" };
                self.deployment.append(S, &json!({"type": kind}).to_string());
                if kind == "stream.resumed" && self.is_owed && self.ends() == 0 {
                    self.runner.owe(self.now(), &self.ask).unwrap();
                }
            }
        }
    }

    fn go_on(&mut self, goes: Goes) {
        match self.doing.take() {
            None => {
                self.doing = self.runner.next(self.now()).unwrap();
                if let Some(Work::Ask { attempt, .. }) = &self.doing {
                    let attempt = *attempt;
                    if self.ends() > 0 {
                        self.runner.forget(ID).unwrap();
                        self.doing = None;
                    } else if self.deployment.is_paused(S) {
                        self.runner.pause(self.now(), ID).unwrap();
                        self.doing = None;
                    } else {
                        assert!(!self.breaks || self.attempts.is_empty() || !self.was_broken_off_when_due());
                        self.attempts.push(attempt);
                    }
                }
            }
            Some(Work::Ask { .. }) => match goes {
                Goes::Well => {
                    self.runner.answered(self.now(), ID, r#"{"agent":"w","content":"x"}"#).unwrap();
                }
                Goes::Badly => self.runner.failed(self.now(), ID, &unavailable()).unwrap(),
                Goes::Worse => self.runner.failed(self.now(), ID, &Failed::default()).unwrap(),
            },
            Some(Work::Tell { outcome, .. }) => {
                if matches!(goes, Goes::Badly) {
                    return;
                }
                let text = serde_json::to_string(&outcome).unwrap();
                let said = self.deployment.ask(S, |stream, now| call::end_request(stream, now, &text)).unwrap();
                assert_eq!(said.status, 200, "{}", said.body);
                if matches!(goes, Goes::Well) {
                    self.runner.told(ID, &outcome.key).unwrap();
                }
            }
        }
    }

    /// A row that was broken off is never asked.
    fn was_broken_off_when_due(&self) -> bool {
        self.database.number("SELECT stops FROM calls WHERE request = 'w.g.3'") == Some(1)
    }

    fn come_to_rest(&mut self) {
        self.happen(&Happens::Resumed);
        for _ in 0..200 {
            if self.doing.is_some() {
                self.go_on(Goes::Well);
            } else if let Some(due) = self.runner.due().unwrap() {
                self.deployment.now = self.deployment.now.max(due);
                self.go_on(Goes::Well);
            } else {
                return;
            }
        }
        panic!("the Runner never comes to rest");
    }
}

fn agent() -> Value {
    json!({"slug": "w", "target": {"agent": {"api": "chat", "baseUrl": "https://model.example/v1", "model": "m"}}})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_one_end_lands_whoever_crashes(history in prop::collection::vec(happens(), 0..60)) {
        let mut world = World::new();
        for it in &history {
            world.happen(it);
            prop_assert!(world.ends() <= 1);
        }
        world.come_to_rest();
        prop_assert_eq!(world.ends(), usize::from(world.is_owed), "{:#?}", world.deployment.log(S));
        prop_assert!(world.attempts.iter().all(|attempt| (1..=5).contains(attempt)), "{:?}", world.attempts);
        prop_assert!(world.attempts.windows(2).all(|pair| pair[1] == pair[0] + 1), "each is counted once: {:?}", world.attempts);
        let log = world.deployment.log(S);
        let failures: Vec<&Value> = log.iter().filter(|event| event["payload"]["final"] == false).collect();
        let mut told: Vec<u64> = failures.iter().map(|event| event["payload"]["attempt"].as_u64().unwrap()).collect();
        prop_assert!(told.is_sorted());
        told.dedup();
        prop_assert_eq!(told.len(), failures.len(), "each failure is told once");
    }
}

fn outcome(d: &mut Deployment, kind: &str, key: &str, payload: &Value) -> Outcome {
    Outcome {
        generation: d.generation(S).unwrap(),
        slug: "w".to_owned(),
        request_id: ID.to_owned(),
        started: 2,
        event_type: kind.to_owned(),
        payload: payload.to_string(),
        key: key.to_owned(),
    }
}

fn end(d: &mut Deployment, outcome: &Outcome) -> support::deployment::Said {
    let text = serde_json::to_string(outcome).unwrap();
    d.ask(S, |stream, now| call::end_request(stream, now, &text)).unwrap()
}

fn with_agent() -> Deployment {
    let mut d = Deployment::new();
    d.append(S, &json!({"type": "subscription.configured", "payload": agent()}).to_string());
    d.work_off();
    d
}

#[test]
fn an_end_lands_once_and_no_other_end_of_the_same_request_does() {
    let mut d = with_agent();
    let first = outcome(&mut d, "agent.output-added", &end_key(), &json!({"content": "x"}));
    let other = outcome(&mut d, "agent.turn-interrupted", &end_key(), &json!({"partial": "x"}));
    for (told, sleeps) in [(&first, false), (&first, false), (&other, true), (&first, true)] {
        if sleeps {
            d.evict(S);
        }
        assert_eq!(end(&mut d, told).status, 200);
    }
    assert_eq!(d.types(S).iter().filter(|kind| kind.starts_with("agent.")).collect::<Vec<_>>(), ["agent.output-added"]);
    let event = d.log(S).pop().unwrap();
    assert_eq!(event["metadata"]["tailrace"]["by"], "subscription:w");
    assert_eq!(event["cause"]["offset"], 2);
}

#[test]
fn a_client_takes_no_end_away_by_using_its_key() {
    let mut d = with_agent();
    d.append(S, &json!({"type": "note", "idempotencyKey": end_key()}).to_string());
    let told = outcome(&mut d, "agent.output-added", &end_key(), &json!({"content": "x"}));
    assert_eq!(end(&mut d, &told).status, 200);
    assert!(d.types(S).contains(&"agent.output-added".to_owned()));
}

#[test]
fn an_end_for_another_life_of_the_stream_is_refused_and_a_paused_one_takes_it() {
    let mut d = with_agent();
    let told = outcome(&mut d, "agent.output-added", &end_key(), &json!({"content": "x"}));
    let foreign = Outcome { generation: "another".to_owned(), ..told.clone() };
    assert_eq!(end(&mut d, &foreign).status, 404);
    d.append(S, r#"{"type":"stream.paused"}"#);
    assert_eq!(end(&mut d, &told).status, 200);
    assert_eq!(d.types(S).pop().unwrap(), "agent.output-added");
    d.delete(S, false);
    assert_eq!(end(&mut d, &told).status, 404);
    assert_eq!(d.generation(S), None, "it does not make the stream anew");
}

#[test]
fn an_end_that_is_larger_than_an_event_is_refused_and_another_takes_its_place() {
    let mut d = with_agent();
    let large = outcome(&mut d, "agent.output-added", &end_key(), &json!({"content": "x".repeat(limits::EVENT_BYTES)}));
    assert_eq!(end(&mut d, &large).status, 413);
    let small = outcome(&mut d, "agent.turn-failed", &end_key(), &json!({"final": true}));
    assert_eq!(end(&mut d, &small).status, 200);
    assert_eq!(d.types(S).pop().unwrap(), "agent.turn-failed");
}
