//! Streams among each other: births, deletions and what holds for all below, by example and by chance.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, reason = "a test's name says it")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use support::Deployment;
use support::deployment::Reach;
use tailrace_durable::obligation::Call;
use tailrace_model::StreamPath;

const EVENT: &str = r#"{"type":"m"}"#;

fn told(d: &mut Deployment, parent: &str, event_type: &str) -> Vec<(String, String)> {
    let log = d.log(parent);
    let events = log.iter().filter(|event| event["type"] == event_type);
    events.map(|event| (text(&event["payload"]["path"]), text(&event["payload"]["generation"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn created(d: &mut Deployment, parent: &str) -> Vec<String> {
    told(d, parent, "stream.child-created").into_iter().map(|(path, _)| path).collect()
}

fn deleted(d: &mut Deployment, parent: &str) -> Vec<String> {
    told(d, parent, "stream.child-deleted").into_iter().map(|(path, _)| path).collect()
}

fn owed(d: &mut Deployment, path: &str) -> i64 {
    d.database(path).number("SELECT count(*) FROM obligations").unwrap_or(0)
}

// By example.

#[test]
fn a_birth_is_told_to_the_parent_once_and_parents_are_made() {
    let mut d = Deployment::new();
    d.append("/a/b/c", EVENT);
    assert_eq!(d.node("/a/b/c").alarm, Some(support::START), "the notice is due at once");
    d.append("/a/b/c", EVENT);
    d.work_off();
    for (parent, child) in [("/", "/a"), ("/a", "/a/b"), ("/a/b", "/a/b/c")] {
        assert_eq!(created(&mut d, parent), [child]);
        assert_eq!(d.children(parent), [child]);
        assert_eq!(d.types(parent), ["stream.created", "stream.child-created"]);
        assert_eq!(owed(&mut d, child), 0);
    }
    let generation = d.generation("/a/b/c").unwrap();
    assert_eq!(told(&mut d, "/a/b", "stream.child-created"), [("/a/b/c".to_owned(), generation)]);
}

#[test]
fn a_notice_is_told_until_it_arrives_and_lands_once() {
    for reach in [Reach::Lost, Reach::Unheard, Reach::Doubled, Reach::Died] {
        let mut d = Deployment::new();
        d.append("/a", EVENT);
        let mut times = Vec::new();
        d.ring("/a", |_| reach);
        for _ in 0..3 {
            let Some(alarm) = d.node("/a").alarm else { break };
            d.now = alarm;
            times.push(d.now - support::START);
            d.ring("/a", |_| reach);
        }
        d.work_off();
        assert_eq!(created(&mut d, "/"), ["/a"], "{reach:?}");
        assert_eq!(owed(&mut d, "/a"), 0);
        if reach == Reach::Lost {
            assert_eq!(times, [1_000, 3_000, 7_000], "later and later");
        }
    }
}

#[test]
fn a_paused_parent_is_told_too() {
    let mut d = Deployment::new();
    d.append("/a", r#"{"type":"stream.paused"}"#);
    d.append("/a/b", EVENT);
    d.work_off();
    assert_eq!(created(&mut d, "/a"), ["/a/b"]);
    assert!(!d.is_paused("/a/b"));
    d.delete("/a/b", false);
    d.work_off();
    assert_eq!(deleted(&mut d, "/a"), ["/a/b"]);
}

#[test]
fn a_deleted_stream_is_gone_but_for_what_its_parent_must_learn() {
    let mut d = Deployment::new();
    d.append("/a", r#"{"type":"m","idempotencyKey":"k"}"#);
    let generation = d.generation("/a").unwrap();
    d.hook("/a", "{ }");
    d.work_off();
    let said = d.delete("/a", false);
    assert_eq!((said.status, said.json()), (200, json!({"streamPath": "/a", "generation": generation})));
    assert_eq!(d.read("/a", &support::all()).status, 404);
    for table in ["log", "keys", "state", "controls", "parked", "raw"] {
        assert!(!d.database("/a").has_table(table), "{table}");
    }
    assert_eq!(owed(&mut d, "/a"), 1);
    d.evict("/a");
    assert_eq!(d.read("/a", &support::all()).status, 404);
    d.work_off();
    assert_eq!(owed(&mut d, "/a"), 0);
    assert_eq!(told(&mut d, "/", "stream.child-deleted"), [("/a".to_owned(), generation)]);
    assert_eq!(d.children("/"), Vec::<String>::new());
    assert_eq!(d.delete("/a", false).code(), "stream_not_found");
}

#[test]
fn a_deleted_path_is_born_again_as_another_life() {
    let mut d = Deployment::new();
    d.append("/", EVENT);
    d.append("/a", r#"{"type":"m","idempotencyKey":"k"}"#);
    let first = d.generation("/a").unwrap();
    d.delete("/a", false);
    assert_eq!(d.append("/a", r#"{"type":"other","idempotencyKey":"k"}"#).offsets(), [2]);
    let second = d.generation("/a").unwrap();
    assert_ne!(first, second);
    d.work_off();
    assert_eq!(d.children("/"), ["/a"]);
    assert_eq!(
        d.database("/").number(&format!("SELECT count(*) FROM children WHERE generation = '{second}'")),
        Some(1)
    );
    assert_eq!(told(&mut d, "/", "stream.child-created").last().unwrap().1, second);
    assert_eq!(told(&mut d, "/", "stream.child-deleted"), [("/a".to_owned(), first)]);
}

#[test]
fn a_created_for_a_deleted_life_is_ignored() {
    let mut d = Deployment::new();
    d.append("/a", EVENT);
    d.append("/", EVENT);
    let born = d.next_call("/a").unwrap();
    d.delete("/a", false);
    let died = d.next_call("/a").unwrap();
    d.hear(&died);
    d.hear(&born);
    assert_eq!(deleted(&mut d, "/"), ["/a"]);
    assert_eq!(created(&mut d, "/"), Vec::<String>::new());
    assert_eq!(d.children("/"), Vec::<String>::new());
}

#[test]
fn a_created_that_arrives_again_late_does_not_replace_the_next_life() {
    let mut d = Deployment::new();
    d.append("/a", EVENT);
    let first = d.next_call("/a").unwrap();
    d.hear(&first);
    d.delete("/a", false);
    d.append("/a", EVENT);
    let second = d.generation("/a").unwrap();
    let calls: Vec<Call> = (0..2).filter_map(|_| d.next_call("/a")).collect();
    d.hear(&calls[1]);
    d.hear(&first);
    let listed = format!("SELECT count(*) FROM children WHERE generation = '{second}'");
    assert_eq!(d.database("/").number(&listed), Some(1));
    d.work_off();
    assert_eq!(d.database("/").number(&listed), Some(1));
}

#[test]
fn a_life_that_ended_untold_does_not_make_its_parent() {
    let mut d = Deployment::new();
    d.append("/a/b", EVENT);
    d.ring("/a/b", |_| Reach::Lost);
    d.delete("/a/b", false);
    d.work_off();
    assert_eq!(d.head("/a"), 0);
    assert_eq!(d.database("/a").number("SELECT count(*) FROM children").unwrap_or(0), 0);
}

#[test]
fn a_call_that_ends_after_its_stream_was_deleted_takes_nothing_else_with_it() {
    let mut d = Deployment::new();
    d.append("/a", EVENT);
    let born = d.next_call("/a").unwrap();
    let reply = d.hear(&born);
    d.delete("/a", false);
    d.settle("/a", &born, reply.as_deref());
    d.work_off();
    assert_eq!(deleted(&mut d, "/"), ["/a"]);

    d.append("/b/c", EVENT);
    d.work_off();
    d.append("/b", r#"{"type":"stream.paused","payload":{"children":true}}"#);
    let holds = d.next_call("/b").unwrap();
    let reply = d.hear(&holds);
    d.delete("/b", false);
    d.settle("/b", &holds, reply.as_deref());
    d.work_off();
    assert_eq!(deleted(&mut d, "/"), ["/a", "/b"]);
}

#[test]
fn children_outlive_a_deleted_parent_and_are_listed_by_its_next_life() {
    let mut d = Deployment::new();
    d.append("/a/b", EVENT);
    d.work_off();
    d.delete("/a", false);
    d.work_off();
    assert_eq!(d.head("/a/b"), 2);
    d.append("/a", EVENT);
    assert_eq!(d.children("/a"), ["/a/b"]);
    d.delete("/a/b", false);
    d.work_off();
    assert_eq!(d.children("/a"), Vec::<String>::new());
}

fn family(d: &mut Deployment) {
    for path in ["/a/b/c", "/a/b/d", "/a/e", "/f"] {
        d.append(path, EVENT);
    }
    d.work_off();
}

#[test]
fn a_deletion_of_all_below_works_from_the_bottom_up() {
    for reach in [Reach::Heard, Reach::Lost, Reach::Unheard, Reach::Doubled, Reach::Died] {
        let mut d = Deployment::new();
        family(&mut d);
        let said = d.delete("/a", true);
        assert_eq!(said.status, 202);
        assert!(d.head("/a") > 0, "the last to go");
        let mut calls = 0;
        d.work_off_with(|_| {
            calls += 1;
            if calls % 2 == 1 { reach } else { Reach::Heard }
        });
        for path in ["/a/b/c", "/a/b/d", "/a/b", "/a/e", "/a"] {
            assert_eq!(d.head(path), 0, "{path} {reach:?}");
            assert_eq!(owed(&mut d, path), 0, "{path} {reach:?}");
        }
        assert_eq!(d.children("/"), ["/f"]);
        assert_eq!(deleted(&mut d, "/"), ["/a"]);
    }
}

#[test]
fn a_leaf_is_deleted_with_all_below_at_once() {
    let mut d = Deployment::new();
    family(&mut d);
    assert_eq!(d.delete("/f", true).status, 202);
    assert_eq!(d.head("/f"), 0);
}

#[test]
fn a_plain_deletion_does_not_take_back_one_of_all_below() {
    let mut d = Deployment::new();
    family(&mut d);
    d.delete("/a", true);
    d.delete("/a", false);
    d.append("/a", EVENT);
    let second = d.generation("/a");
    d.work_off();
    for path in ["/a/b/c", "/a/b/d", "/a/b", "/a/e"] {
        assert_eq!(d.head(path), 0, "{path}");
    }
    assert_eq!(d.generation("/a"), second, "the next life was not meant");
    assert_eq!(owed(&mut d, "/a"), 0);
}

#[test]
fn a_child_that_is_born_again_while_it_is_found_gone_stays_listed() {
    let mut d = Deployment::new();
    d.append("/a/b", EVENT);
    d.work_off();
    d.delete("/a/b", false);
    d.delete("/a", true);
    let delete = d.next_call("/a").unwrap();
    let reply = d.hear(&delete);
    d.append("/a/b", EVENT);
    for _ in 0..2 {
        let call = d.next_call("/a/b").unwrap();
        let reply = d.hear(&call);
        d.settle("/a/b", &call, reply.as_deref());
    }
    d.settle("/a", &delete, reply.as_deref());
    assert_eq!(d.children("/a"), ["/a/b"]);
    assert_eq!(deleted(&mut d, "/a"), ["/a/b"]);
}

#[test]
fn a_pause_with_children_reaches_those_there_are_and_those_to_come_once() {
    let mut d = Deployment::new();
    family(&mut d);
    d.append("/a", r#"{"type":"stream.paused","payload":{"reason":"r","children":true}}"#);
    d.work_off_with(|call| if call.to.ends_with('b') { Reach::Doubled } else { Reach::Heard });
    for path in ["/a", "/a/b", "/a/b/c", "/a/b/d", "/a/e"] {
        let state = d.state(path, None).json();
        assert_eq!(state["paused"]["reason"], "r", "{path}");
        assert_eq!(d.types(path).iter().filter(|it| *it == "stream.paused").count(), 1, "{path}");
    }
    assert!(!d.is_paused("/f"));
    let event = d.log("/a/b/c").pop().unwrap();
    assert_eq!(event["cause"]["streamPath"], "/a/b");
    assert_eq!(event["cause"]["hops"], 2);
    d.append("/a/new/x", EVENT);
    d.work_off();
    for path in ["/a/new", "/a/new/x"] {
        assert_eq!(d.types(path).iter().filter(|it| *it == "stream.paused").count(), 1, "{path}");
    }
    d.append("/a", r#"{"type":"stream.resumed","payload":{"children":true}}"#);
    d.work_off();
    for path in ["/a", "/a/b", "/a/b/c", "/a/b/d", "/a/e", "/a/new", "/a/new/x"] {
        assert!(!d.is_paused(path), "{path}");
    }
    d.append("/a/later", EVENT);
    d.work_off();
    assert_eq!(d.types("/a/later"), ["stream.created", "m"]);
}

#[test]
fn a_setting_with_children_holds_below_until_it_is_replaced() {
    let mut d = Deployment::new();
    family(&mut d);
    d.append("/", r#"{"type":"breaker.configured","payload":{"limit":5,"children":true}}"#);
    d.append("/g", EVENT);
    d.work_off();
    for path in ["/a/b/c", "/f", "/g"] {
        assert_eq!(d.state(path, None).json()["breaker"]["limit"], 5, "{path}");
    }
    d.append("/", r#"{"type":"breaker.configured","payload":{"limit":6}}"#);
    d.append("/h", EVENT);
    d.work_off();
    assert_eq!(d.state("/g", None).json()["breaker"]["limit"], 5);
    assert_eq!(d.state("/h", None).json()["breaker"]["limit"], 100);
}

#[test]
fn what_came_later_above_is_not_undone_by_what_arrives_late() {
    let mut d = Deployment::new();
    d.append("/a", EVENT);
    d.work_off();
    d.append("/", r#"{"type":"stream.paused","payload":{"children":true}}"#);
    let pause = d.next_call("/").unwrap();
    d.append("/", r#"{"type":"stream.resumed","payload":{"children":true}}"#);
    d.settle("/", &pause, None);
    d.work_off();
    assert!(!d.is_paused("/a"));

    // The same for what a newborn is told.
    d.append("/", r#"{"type":"stream.paused","payload":{"children":true}}"#);
    d.append("/b", EVENT);
    let born = d.next_call("/b").unwrap();
    let reply = d.hear(&born);
    d.append("/", r#"{"type":"stream.resumed","payload":{"children":true}}"#);
    d.now += 10;
    let there = d.node("/").alarm.is_some();
    assert!(there);
    while d.ring("/", |_| Reach::Heard) && d.node("/").alarm.is_some_and(|alarm| alarm <= d.now) {}
    d.settle("/b", &born, reply.as_deref());
    d.work_off();
    assert!(!d.is_paused("/b"));
}

/// Configures or removes what has this slug.
fn say(d: &mut Deployment, path: &str, event_type: &str, slug: &str, more: &Value) {
    let mut payload = more.clone();
    payload["slug"] = json!(slug);
    let said = d.append(path, &json!({"type": event_type, "payload": payload}).to_string());
    assert_eq!(said.status, 200, "{}", said.body);
}

fn subscribed(d: &mut Deployment, path: &str) -> Vec<String> {
    d.state(path, None).json()["subscriptions"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_slug_that_another_begins_with_is_inherited_and_taken_back_all_the_same() {
    let all_below = json!({"target": {"pull": true}, "children": true});
    for slugs in [["notify:slack", "notify"], ["notify", "notify:slack"]] {
        let mut d = Deployment::new();
        family(&mut d);
        for slug in slugs {
            say(&mut d, "/a", "subscription.configured", slug, &all_below);
            d.work_off();
        }
        d.append("/a/new", EVENT);
        d.work_off();
        for path in ["/a/b", "/a/b/c", "/a/new"] {
            assert_eq!(subscribed(&mut d, path), ["notify", "notify:slack"], "{path}");
        }
        for slug in slugs {
            say(&mut d, "/a", "subscription.removed", slug, &json!({"children": true}));
            d.work_off();
        }
        for path in ["/a/b", "/a/b/c", "/a/new"] {
            assert!(subscribed(&mut d, path).is_empty(), "{path}");
        }
    }
}

#[test]
fn a_streams_own_word_gives_way_only_to_a_later_one_from_above() {
    for (event_type, above, own) in [
        (
            "subscription.configured",
            json!({"target": {"pull": true}, "children": true}),
            json!({"target": {"pull": true}, "batch": 7}),
        ),
        ("webhook.configured", json!({"children": true}), json!({})),
    ] {
        let mut d = Deployment::new();
        family(&mut d);
        let by_whom = |d: &mut Deployment| {
            let log = d.log("/a/b");
            let own = log.iter().filter(|it| it["type"] == event_type).map(|it| it["metadata"]["tailrace"].is_null());
            own.collect::<Vec<bool>>()
        };
        d.now += 1_000;
        say(&mut d, "/a", event_type, "s", &above);
        d.now += 1_000;
        say(&mut d, "/a/b", event_type, "s", &own);
        d.work_off();
        assert_eq!(by_whom(&mut d), [true], "{event_type} from above was said before");
        d.now += 1_000;
        say(&mut d, "/a", event_type, "s", &above);
        d.work_off();
        assert_eq!(by_whom(&mut d), [true, false], "{event_type} from above was said later");
    }
}

// By chance.

const PATHS: [&str; 7] = ["/", "/a", "/a/x", "/a/x/p", "/a/y", "/b", "/b/z"];

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Delete(usize, bool),
    /// A control event that holds for all below.
    Control(usize, bool),
    Clock(i64),
    /// A stream whose alarm is due asks for its next call.
    Begin(usize),
    /// A call arrives, or arrives again.
    Arrive(usize),
    /// The caller learns of the answer, or that there was none.
    End(usize),
    Sleep(usize),
    /// The process of the caller dies; its call goes on.
    Die(usize),
    /// The process dies before the next commit.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..PATHS.len();
    prop_oneof![
        6 => at().prop_map(Step::Append),
        3 => at().prop_map(|at| Step::Delete(at, false)),
        2 => at().prop_map(|at| Step::Delete(at, true)),
        2 => (at(), any::<bool>()).prop_map(|(at, pause)| Step::Control(at, pause)),
        3 => prop_oneof![3 => 0_i64..50, 1 => 1_000_i64..3_000, 1 => Just(61_000)].prop_map(Step::Clock),
        10 => at().prop_map(Step::Begin),
        8 => at().prop_map(Step::Arrive),
        6 => at().prop_map(Step::End),
        1 => at().prop_map(Step::Sleep),
        1 => at().prop_map(Step::Die),
        1 => Just(Step::Crash),
    ]
}

/// What happened to the lives of a path, by the number of the step.
#[derive(Clone, Debug)]
struct LifeOf {
    generation: String,
    began: usize,
    ended: Option<usize>,
}

struct Forest {
    d: Deployment,
    /// By caller: its call, and the answer once it arrived. The alarm of a stream makes one call after another.
    under_way: BTreeMap<&'static str, (Call, Option<String>)>,
    lives: BTreeMap<&'static str, Vec<LifeOf>>,
    step: usize,
}

type Checked = Result<(), TestCaseError>;

impl Forest {
    fn new() -> Self {
        let mut d = Deployment::new();
        for path in PATHS {
            d.node(path);
        }
        Self { d, under_way: BTreeMap::new(), lives: BTreeMap::new(), step: 0 }
    }

    fn step(&mut self, step: &Step) -> Checked {
        self.step += 1;
        let at = match step {
            Step::Clock(_) | Step::Crash => 0,
            Step::Delete(at, _)
            | Step::Control(at, _)
            | Step::Append(at)
            | Step::Begin(at)
            | Step::Arrive(at)
            | Step::End(at)
            | Step::Sleep(at)
            | Step::Die(at) => *at,
        };
        let heard = self.under_way.get(PATHS[at]).and_then(|(call, _)| PATHS.into_iter().find(|path| *path == call.to));
        match step {
            Step::Append(at) => drop(self.d.append_as(PATHS[*at], EVENT, false, None)),
            Step::Control(at, pause) => {
                let body = if *pause {
                    r#"{"type":"stream.paused","payload":{"children":true}}"#
                } else {
                    r#"{"type":"stream.resumed","payload":{"children":true}}"#
                };
                drop(self.d.append_as(PATHS[*at], body, false, None));
            }
            Step::Delete(at, below) => {
                drop(self.d.ask(PATHS[*at], |stream, now| tailrace_durable::call::delete(stream, now, *below)));
            }
            Step::Clock(by) => self.d.now += by,
            Step::Sleep(at) => self.d.evict(PATHS[*at]),
            Step::Die(at) => {
                self.d.evict(PATHS[*at]);
                self.under_way.remove(PATHS[*at]);
                self.d.rearm(PATHS[*at]);
            }
            Step::Crash => self.d.crash_next = true,
            Step::Begin(at) => self.begin(PATHS[*at]),
            Step::Arrive(at) => {
                if let Some((call, _)) = self.under_way.get(PATHS[*at]).cloned() {
                    let reply = self.d.hear(&call);
                    self.under_way.insert(PATHS[*at], (call, reply));
                }
            }
            Step::End(at) => {
                if let Some((call, reply)) = self.under_way.remove(PATHS[*at]) {
                    self.d.settle(PATHS[*at], &call, reply.as_deref());
                    self.d.rearm(PATHS[*at]);
                }
            }
        }
        for path in [Some(PATHS[at]), heard].into_iter().flatten() {
            self.watch(path);
            self.is_armed(path)?;
        }
        Ok(())
    }

    fn begin(&mut self, path: &'static str) {
        let now = self.d.now;
        let node = self.d.node(path);
        if self.under_way.contains_key(path) || node.alarm.is_none_or(|alarm| alarm > now) {
            return;
        }
        node.alarm = None;
        if let Some(call) = self.d.next_call(path) {
            self.under_way.insert(path, (call, None));
        }
        self.d.rearm(path);
    }

    /// Notes whether a life began or ended.
    fn watch(&mut self, path: &'static str) {
        let now = self.d.generation(path);
        let lives = self.lives.entry(path).or_default();
        let alive = lives.last().filter(|life| life.ended.is_none()).map(|life| life.generation.clone());
        if alive == now {
            return;
        }
        if let Some(life) = lives.last_mut().filter(|life| life.ended.is_none()) {
            life.ended = Some(self.step);
        }
        if let Some(generation) = now {
            lives.push(LifeOf { generation, began: self.step, ended: None });
        }
    }

    /// Whatever is owed has its alarm in time, and memory knows it.
    fn is_armed(&mut self, path: &'static str) -> Checked {
        let due = self.d.database(path).number("SELECT min(due) FROM obligations");
        if let Some(due) = due {
            let alarm = self.d.node(path).alarm;
            prop_assert!(alarm.is_some_and(|alarm| alarm <= due), "{}: {:?} > {}", path, alarm, due);
        }
        prop_assert_eq!(self.d.stream(path).next_alarm(), self.d.opened_anew(path).next_alarm(), "{}", path);
        Ok(())
    }

    /// Every call under way ends one way or the other, and all alarms are worked off without a failure.
    fn come_to_rest(&mut self) -> Checked {
        self.d.crash_next = false;
        for (path, (call, reply)) in std::mem::take(&mut self.under_way) {
            self.d.settle(path, &call, reply.as_deref());
            self.d.rearm(path);
            self.watch(path);
        }
        // Alarms as the test's own loop rings them, but so that lives are watched in between.
        for _ in 0..3_000 {
            self.step += 1;
            let earliest = self.d.nodes.iter().filter_map(|(path, node)| Some((node.alarm?, path.clone()))).min();
            let Some((at, path)) = earliest else { return Ok(()) };
            self.d.now = self.d.now.max(at);
            self.d.ring(&path, |_| Reach::Heard);
            for path in PATHS {
                self.watch(path);
            }
        }
        Err(TestCaseError::fail("the alarms never come to rest"))
    }

    fn parent_knows(&mut self, parent: &str) -> Checked {
        let living: BTreeSet<(String, String)> = PATHS
            .iter()
            .filter(|path| StreamPath::parse(path).unwrap().parent().is_some_and(|it| it.as_str() == parent))
            .filter_map(|path| Some(((*path).to_owned(), self.d.generation(path)?)))
            .collect();
        prop_assert_eq!(self.listed(parent), living.clone(), "the children of {}", parent);

        let created = told(&mut self.d, parent, "stream.child-created");
        let deleted = told(&mut self.d, parent, "stream.child-deleted");
        for told in [&created, &deleted] {
            prop_assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "{}: {:?}", parent, told);
        }
        let lives = self.lives.get(parent).cloned().unwrap_or_default();
        let parents = lives.last().filter(|life| life.ended.is_none());
        for (path, lives_of_child) in self.lives.clone() {
            for life in lives_of_child {
                let name = (path.to_owned(), life.generation.clone());
                if deleted.contains(&name) {
                    prop_assert!(life.ended.is_some(), "{:?} is said to be deleted and lives", name);
                }
                if StreamPath::parse(path).unwrap().parent().is_none_or(|it| it.as_str() != parent) {
                    continue;
                }
                let Some(of_parent) = parents else { continue };
                // A parent that was deleted in between may have learned it in an earlier life.
                if life.ended.is_none() && lives.len() == 1 {
                    prop_assert!(created.contains(&name), "{} never learned of {:?}", parent, name);
                }
                if created.contains(&name) && life.ended.is_some() {
                    prop_assert!(deleted.contains(&name), "{} never learned of the end of {:?}", parent, name);
                }
                if lives.len() == 1 && life.ended.is_some_and(|ended| of_parent.began < ended) {
                    prop_assert!(deleted.contains(&name), "{} never learned of the end of {:?}", parent, name);
                }
            }
        }
        Ok(())
    }

    fn listed(&mut self, parent: &str) -> BTreeSet<(String, String)> {
        let database = self.d.database(parent);
        if !database.has_table("children") {
            return BTreeSet::new();
        }
        let mut rows = database.0.prepare("SELECT path, generation FROM children").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// No control event from above was taken over twice.
    fn inherited_once(&mut self, path: &str) -> Checked {
        let log = self.d.log(path);
        let inherited: Vec<String> = log
            .iter()
            .filter(|event| event["metadata"]["tailrace"]["by"] == "inherited")
            .map(|event| format!("{} {}", event["cause"], event["payload"]))
            .collect();
        let distinct: BTreeSet<&String> = inherited.iter().collect();
        // A parent's next life counts its offsets anew.
        let parent = StreamPath::parse(path).unwrap().parent().map(|it| it.to_string()).unwrap_or_default();
        let lives = self.lives.get(parent.as_str()).map_or(0, Vec::len);
        prop_assert!(lives > 1 || distinct.len() == inherited.len(), "{}: {:?}", path, inherited);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parents_know_their_children_whatever_is_lost_doubled_or_dies(steps in proptest::collection::vec(step(), 1..120)) {
        let mut forest = Forest::new();
        for step in &steps {
            forest.step(step)?;
        }
        forest.come_to_rest()?;
        for path in PATHS {
            forest.parent_knows(path)?;
            forest.inherited_once(path)?;
            prop_assert_eq!(owed(&mut forest.d, path), 0, "{} owes something for ever", path);
        }
    }

    #[test]
    fn what_holds_for_all_below_holds_in_the_end(steps in proptest::collection::vec(step(), 1..120)) {
        let mut forest = Forest::new();
        for step in steps.iter().filter(|step| !matches!(step, Step::Delete(..))) {
            // Only the root speaks, so that its last word is everybody's.
            let step = if let Step::Control(_, pause) = step { &Step::Control(0, *pause) } else { step };
            forest.step(step)?;
        }
        forest.come_to_rest()?;
        if forest.d.head("/") == 0 {
            return Ok(());
        }
        let expected = forest.d.is_paused("/");
        for path in PATHS.into_iter().skip(1) {
            forest.parent_knows(path)?;
            forest.inherited_once(path)?;
            if forest.d.head(path) > 0 {
                prop_assert_eq!(forest.d.is_paused(path), expected, "{}", path);
            }
        }
    }
}
