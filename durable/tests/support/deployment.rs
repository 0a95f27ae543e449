//! Many streams, by path, as a deployment runs them: each has a database that survives it, an alarm, and calls that run
//! in a transaction. The clock and chance are the test's.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use tailrace_durable::call::{self, Outcome};
use tailrace_durable::commit::{Entry, Kind};
use tailrace_durable::delivery::lease::Leased;
use tailrace_durable::delivery::retry::Failed;
use tailrace_durable::delivery::{push, settle as settling};
use tailrace_durable::obligation::Call;
use tailrace_durable::page::Query;
use tailrace_durable::stream::Moment;
use tailrace_durable::wire::{Answer, Append, Frame, Reply};
use tailrace_durable::{Failure, Stream, keys};
use tailrace_model::StreamPath;
use tailrace_model::body::{Body, understand};
use tailrace_model::cause::{self, Cause};
use tailrace_model::deployment::Deployment as Outside;
use tailrace_model::event::{NewEvent, Writer};
use tailrace_model::hook::{self, Content, Details, Request};
use tailrace_model::secret::Secret;
use tailrace_model::settle::{Settle, is_settle};
use tailrace_model::target::{Allowed, Url};
use tailrace_model::time::Millis;

use super::Database;

/// When every test begins: 2026-01-01.
pub const START: Millis = 1_767_225_600_000;

/// One stream's object.
pub struct Node {
    pub path: StreamPath,
    pub database: Database,
    /// `None` while the object sleeps.
    stream: Option<Stream<Database>>,
    /// When the platform will call it; it is only ever moved to an earlier time.
    pub alarm: Option<Millis>,
}

/// Streams by path.
pub struct Deployment {
    pub nodes: BTreeMap<String, Node>,
    pub now: Millis,
    /// Rows that the last call wrote.
    pub written: u64,
    /// What the last call sent to those who follow live.
    pub frames: Vec<Frame>,
    /// The process dies right before the next call's transaction is committed.
    pub crash_next: bool,
    /// What the courier was handed and has not settled yet, each with the path of its stream.
    pub in_flight: VecDeque<(String, Leased)>,
    random: u64,
}

/// What control events are checked against: any URL may be sent to, any condition is well formed. Conditions are not
/// evaluated here; what matches is each test's to say.
pub struct Open;

impl Outside for Open {
    fn url(&self, text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let hostname = rest.split('/').next()?.to_owned();
        Some(Url { href: text.to_owned(), scheme: scheme.to_owned(), has_credentials: false, hostname, port: None })
    }

    fn allowed(&self) -> Allowed {
        Allowed::default()
    }

    fn secret(&self, _: &str) -> Option<Result<Secret, String>> {
        None
    }

    fn check_condition(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// An answer with its body read.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Said {
    fn of(answer: Answer<String>) -> Self {
        Self { status: answer.status, headers: answer.headers, body: answer.body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The problem's code; empty when it is none.
    pub fn code(&self) -> String {
        if self.status < 300 { String::new() } else { self.json()["code"].as_str().unwrap_or_default().to_owned() }
    }

    /// The offsets of the events in the answer to an append.
    pub fn offsets(&self) -> Vec<u64> {
        let body = self.json();
        let events = match (&body["event"], &body["events"]) {
            (Value::Null, Value::Array(events)) => events.clone(),
            (event, _) => vec![event.clone()],
        };
        events.iter().map(|event| event["offset"].as_u64().unwrap_or_else(|| panic!("{}", self.body))).collect()
    }
}

impl Deployment {
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            now: START,
            written: 0,
            frames: Vec::new(),
            crash_next: false,
            in_flight: VecDeque::new(),
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The same with other chance.
    pub fn seeded(seed: u64) -> Self {
        Self { random: (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), ..Self::new() }
    }

    fn moment(&mut self) -> Moment {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        Moment { at: self.now, random: self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) }
    }

    pub fn node(&mut self, path: &str) -> &mut Node {
        self.nodes.entry(path.to_owned()).or_insert_with(|| Node {
            path: StreamPath::parse(path).unwrap(),
            database: Database::in_memory(),
            stream: None,
            alarm: None,
        })
    }

    pub fn database(&mut self, path: &str) -> Database {
        self.node(path).database.clone()
    }

    /// The stream as it is in memory, woken if it sleeps.
    pub fn stream(&mut self, path: &str) -> &mut Stream<Database> {
        let node = self.node(path);
        if node.stream.is_none() {
            node.stream = Some(Stream::open(node.database.clone(), node.path.clone()).unwrap());
        }
        node.stream.as_mut().unwrap()
    }

    /// The stream as its database has it.
    pub fn opened_anew(&mut self, path: &str) -> Stream<Database> {
        let node = self.node(path);
        Stream::open(node.database.clone(), node.path.clone()).unwrap()
    }

    /// The object is put to sleep, or its process dies between two calls.
    pub fn evict(&mut self, path: &str) {
        self.node(path).stream = None;
    }

    /// A call, as the platform's shell makes it: in a transaction that stands unless the storage failed.
    pub fn transact<T>(
        &mut self,
        path: &str,
        run: impl FnOnce(&mut Stream<Database>, Moment) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let now = self.moment();
        let database = self.database(path);
        let before = database.rows_written();
        let (crash, stream) = (std::mem::take(&mut self.crash_next), self.stream(path));
        database.execute("BEGIN");
        let result = run(stream, now);
        let due = stream.next_alarm();
        let lost = crash || matches!(result, Err(Failure::Storage(_)));
        database.execute(if lost { "ROLLBACK" } else { "COMMIT" });
        self.written = database.rows_written() - before;
        let refused = matches!(result, Err(Failure::Refused(_)));
        assert!(!refused || lost || self.written == 0, "a refusal wrote {} rows", self.written);
        let node = self.node(path);
        if lost {
            node.stream = None;
            return result.and(Err(Failure::Storage("the process died".to_owned())));
        }
        node.alarm = [node.alarm, due].into_iter().flatten().min();
        result
    }

    /// A call whose refusal is an answer; `None` when the process died.
    pub fn ask(
        &mut self,
        path: &str,
        run: impl FnOnce(&mut Stream<Database>, Moment) -> Result<Outcome<String>, Failure>,
    ) -> Option<Said> {
        let crash = self.crash_next;
        match self.transact(path, run) {
            Ok(outcome) => {
                self.frames = outcome.frames;
                Some(Said::of(outcome.answer))
            }
            Err(Failure::Refused(problem)) => Some(Said::of(Answer::problem(&problem))),
            Err(Failure::Storage(detail)) => {
                assert!(crash, "{detail}");
                None
            }
        }
    }

    /// A body is appended, as the front Worker would.
    pub fn append(&mut self, path: &str, body: &str) -> Said {
        self.append_as(path, body, false, None).unwrap()
    }

    /// The same, with all there is to choose; `None` when the process died.
    pub fn append_as(&mut self, path: &str, body: &str, import: bool, inherited: Option<&Cause>) -> Option<Said> {
        let here = StreamPath::parse(path).unwrap();
        let (events, reply) =
            match understand(body.as_bytes(), Writer { by: None, import, from: None, deployment: &Open }) {
                Ok(Body::One(event)) => (vec![event], Reply::Event),
                Ok(Body::Batch(events)) => (events, Reply::Events),
                Ok(Body::Foreign { reason, .. }) => panic!("{reason}: {body}"),
                Err(problem) => return Some(Said::of(Answer::problem(&problem))),
            };
        let kind = if import { Kind::Import } else { Kind::Client };
        let entries = events.into_iter().map(|event| entry(&here, event, inherited)).collect();
        let text = Append { kind, reply, expected: None, entries, attached: None }.to_text();
        let said = self.ask(path, |stream, now| call::append(stream, now, &text));
        self.push(path);
        said
    }

    /// Hands the courier what is due, as the shell does after every append and in every alarm. What the call before it
    /// wrote and sent stays as it is.
    pub fn push(&mut self, path: &str) {
        let now = self.now;
        if !push::is_due(self.stream(path), now) {
            return;
        }
        let before = self.written;
        if let Ok((pushes, _)) = self.transact(path, call::take_pushes) {
            let leased = pushes.iter().map(|text| serde_json::from_str(text).unwrap());
            self.in_flight.extend(leased.map(|leased| (path.to_owned(), leased)));
        }
        self.written = before;
    }

    /// A worker wants a lease; `None` when the process died.
    pub fn ask_lease(&mut self, path: &str, slug: &str, seconds: u64) -> Option<Said> {
        let text = format!("{slug}\n{}", seconds * 1_000);
        self.ask(path, |stream, now| call::lease(stream, now, &text))
    }

    /// A worker gets a lease for 30 seconds.
    pub fn lease(&mut self, path: &str, slug: &str) -> Leased {
        let said = self.ask_lease(path, slug, 30).unwrap();
        assert_eq!(said.status, 200, "{} {:?}", said.body, said.headers);
        serde_json::from_str(&said.body).unwrap()
    }

    /// Nothing is leased to a worker; when it is to ask again.
    pub fn no_lease(&mut self, path: &str, slug: &str) -> Option<Millis> {
        let said = self.ask_lease(path, slug, 30).unwrap();
        assert_eq!(said.status, 204, "{}", said.body);
        said.header("tailrace-again").map(|at| at.parse().unwrap())
    }

    /// A worker settles, by way of the front Worker; `None` when the process died.
    pub fn ask_settle(&mut self, path: &str, body: &Value) -> Option<Said> {
        let lease = body["lease"].as_str().unwrap().to_owned();
        let by = format!("subscription:{}", lease.rsplit_once('.').unwrap().0);
        let here = StreamPath::parse(path).unwrap();
        let writer = Writer { by: Some(&by), import: false, from: None, deployment: &Open };
        match Settle::parse(&body.to_string(), &here, writer, true) {
            Ok(settle) => self.tell_settled(path, &heard(settle, lease)),
            Err(problem) => {
                let reason = format!("the answer can never be accepted: {}", problem.detail());
                let said = settling::Said { lease, refused: Some(reason), ..settling::Said::default() };
                let answer = self.tell_settled(path, &said)?;
                Some(if answer.status == 200 { Said::of(Answer::problem(&problem)) } else { answer })
            }
        }
    }

    pub fn settle_lease(&mut self, path: &str, body: &Value) -> Said {
        self.ask_settle(path, body).unwrap()
    }

    /// Settles all of a lease.
    pub fn done(&mut self, path: &str, leased: &Leased) -> Value {
        let said = self.settle_lease(path, &json!({"lease": leased.lease}));
        assert_eq!(said.status, 200, "{}", said.body);
        said.json()
    }

    pub fn tell_settled(&mut self, path: &str, said: &settling::Said) -> Option<Said> {
        let text = serde_json::to_string(said).unwrap();
        self.ask(path, |stream, now| call::settle_lease(stream, now, &text))
    }

    /// Takes the only batch that the courier has.
    pub fn pushed(&mut self) -> Leased {
        assert_eq!(self.in_flight.len(), 1, "{:?}", self.in_flight);
        self.in_flight.pop_front().unwrap().1
    }

    /// The courier comes back with an answer, and does not go on.
    pub fn answered(&mut self, path: &str, leased: &Leased, status: u16, body: &str) -> Said {
        self.tell_settled(path, &understood(path, leased, status, None, body)).unwrap()
    }

    pub fn hold(&mut self, path: &str, leased: &Leased) -> Option<Said> {
        self.ask(path, |stream, now| call::hold(stream, now, &leased.lease))
    }

    /// Nothing in a lease matches its condition.
    pub fn passed(&mut self, path: &str, leased: &Leased) -> Option<Said> {
        let said = settling::Said { lease: leased.lease.clone(), passed: true, ..settling::Said::default() };
        self.tell_settled(path, &said)
    }

    /// How a subscription stands.
    pub fn report(&mut self, path: &str, slug: &str) -> Value {
        let now = self.now;
        let said = self.ask(path, |stream, _| call::subscriptions(stream, now, slug)).unwrap();
        assert_eq!(said.status, 200, "{}", said.body);
        said.json()
    }

    /// The alarms of a stream ring until the courier is handed something.
    pub fn wait_for_push(&mut self, path: &str) {
        while self.in_flight.is_empty() {
            self.wait_for_alarm(path);
        }
    }

    /// The alarms of a stream ring, until one that was still ahead has, or the courier is handed something.
    pub fn wait_for_alarm(&mut self, path: &str) {
        for _ in 0..10 {
            let alarm = self.node(path).alarm.unwrap_or_else(|| panic!("{path} has no alarm"));
            let was_ahead = alarm > self.now;
            self.now = self.now.max(alarm);
            assert!(self.ring(path, |_| Reach::Heard));
            if was_ahead || !self.in_flight.is_empty() {
                return;
            }
        }
        panic!("the alarm of {path} rings again and again");
    }

    /// A third party sends `body`.
    pub fn hook(&mut self, path: &str, body: &str) -> Said {
        self.hook_as(path, body, true, None).unwrap()
    }

    pub fn hook_as(&mut self, path: &str, body: &str, may_create: bool, cause: Option<Cause>) -> Option<Said> {
        let request = Request { method: "POST", url: "https://t.example/hooks/x", headers: &[], source: None };
        let received = hook::receive(&request, Content::Whole(body.as_bytes()), &Details::default());
        let raw = (!received.exact).then(|| format!("r{}", self.moment().random));
        let attached = raw.is_some().then(|| body.to_owned());
        let entry = Entry {
            event_type: hook::RECEIVED.to_owned(),
            key: None,
            expected: None,
            origin: cause.map(cause::Origin::Known),
            fragment: received.fragment,
            raw,
        };
        let append = Append { kind: Kind::Hook, reply: Reply::Offset, expected: None, entries: vec![entry], attached };
        let text = format!("{}\t{}\n{}", u8::from(may_create), body.len(), append.to_text());
        self.ask(path, |stream, now| call::hook(stream, now, &text))
    }

    /// A large body that was uploaded as `id` becomes a hook.
    pub fn hook_uploaded(&mut self, path: &str, id: &str, size: usize) -> Option<Said> {
        let request = Request { method: "POST", url: "https://t.example/hooks/x", headers: &[], source: None };
        let received = hook::receive(&request, Content::Streamed { size, sha256: "00" }, &Details::default());
        let entry = Entry {
            event_type: hook::RECEIVED.to_owned(),
            key: None,
            expected: None,
            origin: None,
            fragment: received.fragment,
            raw: Some(id.to_owned()),
        };
        let append =
            Append { kind: Kind::Hook, reply: Reply::Offset, expected: None, entries: vec![entry], attached: None };
        let text = format!("1\t{size}\n{}", append.to_text());
        self.ask(path, |stream, now| call::hook(stream, now, &text))
    }

    pub fn read(&mut self, path: &str, query: &Query) -> Said {
        let text = format!("json\n{}", serde_json::to_string(query).unwrap());
        let said = self.ask(path, |stream, _| call::read(stream, &text)).unwrap();
        assert_eq!(self.written, 0);
        said
    }

    /// The lines of a page, checked against its other form.
    pub fn lines(&mut self, path: &str, query: &Query) -> Vec<String> {
        let page = self.read(path, query);
        assert_eq!(page.status, 200, "{}", page.body);
        let events = page.json()["events"].as_array().unwrap().len();
        let lines: Vec<String> = page
            .body
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with(']'))
            .map(|line| line.strip_suffix(',').unwrap_or(line).to_owned())
            .collect();
        assert_eq!(lines.len(), events, "one event per line");
        let text = format!("lines\n{}", serde_json::to_string(query).unwrap());
        let plain = self.ask(path, |stream, _| call::read(stream, &text)).unwrap().body;
        assert_eq!(plain.lines().collect::<Vec<_>>(), lines);
        assert!(plain.is_empty() || plain.ends_with('\n'));
        lines
    }

    /// Every event of a stream.
    pub fn log(&mut self, path: &str) -> Vec<Value> {
        let mut out: Vec<Value> = Vec::new();
        loop {
            let query = Query { after: out.len() as u64, ..super::all() };
            let page = self.read(path, &query);
            if page.status == 404 {
                return out;
            }
            let page = page.json();
            out.extend(page["events"].as_array().unwrap().iter().cloned());
            if page["upToDate"] == true {
                return out;
            }
        }
    }

    /// The types of all its events.
    pub fn types(&mut self, path: &str) -> Vec<String> {
        self.log(path).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    pub fn state(&mut self, path: &str, at: Option<u64>) -> Said {
        let said = self.ask(path, |stream, _| call::state(stream, 0, at)).unwrap();
        assert_eq!(self.written, 0);
        said
    }

    pub fn is_paused(&mut self, path: &str) -> bool {
        !self.state(path, None).json()["paused"].is_null()
    }

    pub fn head(&mut self, path: &str) -> u64 {
        self.stream(path).head()
    }

    pub fn generation(&mut self, path: &str) -> Option<String> {
        self.stream(path).generation().map(str::to_owned)
    }

    pub fn delete(&mut self, path: &str, below: bool) -> Said {
        self.ask(path, |stream, now| call::delete(stream, now, below)).unwrap()
    }

    /// The paths of the children that a stream lists.
    pub fn children(&mut self, path: &str) -> Vec<String> {
        let said = self.ask(path, |stream, _| call::list_children(stream, "1000\n")).unwrap();
        let paths = said.json();
        paths.as_array().unwrap().iter().map(|child| child["path"].as_str().unwrap().to_owned()).collect()
    }

    /// The alarm of a stream rings, if it is time: calls are made and settled until none is due. `reach` says what becomes
    /// of each.
    pub fn ring(&mut self, path: &str, mut reach: impl FnMut(&Call) -> Reach) -> bool {
        let now = self.now;
        let node = self.node(path);
        if node.alarm.is_none_or(|alarm| alarm > now) {
            return false;
        }
        // The platform forgets an alarm that rings; what is still owed sets the next.
        node.alarm = None;
        self.work(path, &mut reach);
        true
    }

    /// What an alarm does, whenever it rings.
    pub fn work(&mut self, path: &str, mut reach: impl FnMut(&Call) -> Reach) {
        loop {
            self.push(path);
            let Some(call) = self.next_call(path) else { break };
            let reach = reach(&call);
            let reply = if reach == Reach::Lost { None } else { self.hear(&call) };
            if reach == Reach::Doubled {
                self.hear(&call);
            }
            if reach == Reach::Died {
                self.evict(path);
                break;
            }
            let reply = reply.filter(|_| reach != Reach::Unheard);
            self.settle(path, &call, reply.as_deref());
        }
        self.rearm(path);
    }

    /// What a wake does in any case: whatever is owed has its alarm.
    pub fn rearm(&mut self, path: &str) {
        let due = self.stream(path).next_alarm();
        let node = self.node(path);
        node.alarm = [node.alarm, due].into_iter().flatten().min();
    }

    pub fn next_call(&mut self, path: &str) -> Option<Call> {
        self.transact(path, call::next_call).ok().and_then(|(call, _)| call)
    }

    /// The other side hears a call; `None` when its process died.
    pub fn hear(&mut self, call: &Call) -> Option<String> {
        let message = serde_json::to_string(&call.message).unwrap();
        let said = self.ask(&call.to, |stream, now| call::hear(stream, now, &message))?;
        assert_eq!(said.status, 200, "{}", said.body);
        Some(said.body)
    }

    pub fn settle(&mut self, path: &str, call: &Call, reply: Option<&str>) {
        let crash = self.crash_next;
        let settled = self.transact(path, |stream, now| call::settle(stream, now, call, reply));
        assert!(crash || settled.is_ok(), "{settled:?}");
    }

    /// All alarms ring in the order of their time until none is set. Nothing fails.
    pub fn work_off(&mut self) {
        self.work_off_with(|_| Reach::Heard);
    }

    pub fn work_off_with(&mut self, mut reach: impl FnMut(&Call) -> Reach) {
        for _ in 0..2_000 {
            let earliest = self.nodes.iter().filter_map(|(path, node)| Some((node.alarm?, path.clone()))).min();
            let Some((at, path)) = earliest else { return };
            self.now = self.now.max(at);
            self.ring(&path, &mut reach);
        }
        panic!("the alarms never come to rest");
    }
}

/// What becomes of a call to another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is heard and answered.
    Heard,
    /// It does not arrive.
    Lost,
    /// It is heard, the answer is lost.
    Unheard,
    /// It is heard twice.
    Doubled,
    /// It is heard, and the caller dies before it learns of it.
    Died,
}

fn entry(here: &StreamPath, event: NewEvent, inherited: Option<&Cause>) -> Entry {
    Entry {
        origin: cause::origin(here, inherited, event.cause.as_ref()),
        event_type: event.event_type,
        key: event.key.as_deref().map(keys::client),
        expected: event.expected,
        fragment: event.fragment,
        raw: None,
    }
}

/// A settle as the object takes it.
pub fn heard(settle: Settle, lease: String) -> settling::Said {
    settling::Said {
        lease,
        up_to: settle.up_to,
        state: settle.state,
        append: settle.append,
        failed: settle.error.map(|error| Failed { error, ..Failed::default() }),
        extend: settle.extend,
        ..settling::Said::default()
    }
}

/// A push's answer as the courier understands it.
pub fn understood(path: &str, leased: &Leased, status: u16, retry_after: Option<u64>, body: &str) -> settling::Said {
    let lease = leased.lease.clone();
    if !(200..300).contains(&status) {
        let failed = Failed { error: format!("HTTP {status}"), status: Some(status), retry_after, ms: 5 };
        return settling::Said { lease, failed: Some(failed), ..settling::Said::default() };
    }
    let here = StreamPath::parse(path).unwrap();
    let by = format!("subscription:{}", leased.slug);
    let mut said = settling::Said { lease: lease.clone(), ..settling::Said::default() };
    if is_settle(body) {
        match Settle::parse(body, &here, Writer { by: Some(&by), import: false, from: None, deployment: &Open }, false)
        {
            Ok(settle) => said = settling::Said { extend: None, ..heard(settle, lease) },
            Err(problem) => said.refused = Some(format!("the answer can never be accepted: {}", problem.detail())),
        }
    }
    settling::Said { status: Some(status), ms: Some(5), ..said }
}
