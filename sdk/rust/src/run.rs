//! Runs a processor by pulling: lease, process, settle, event by event.

use std::fmt;
use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either, select};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tailrace_model::control::subscription::{From, Subscription};
use tokio_util::sync::CancellationToken;
use web_time::Instant;

use crate::clock;
use crate::error::Error;
use crate::event::{Cause, Event, NewEvent};
use crate::lease::{self, Lease, Settle, is_lost};
use crate::platform::{Boxed, MaybeSend, MaybeSync, Told};
use crate::processor::{Appended, Failure, Processor, state_of};
use crate::retry::Attempts;
use crate::stream::Stream;
use crate::subscription;

/// An answer that there is nothing is no answer to a wait when it comes sooner.
const AT_ONCE: Duration = Duration::from_secs(1);

/// So long a processor may go on when nobody waits for it any more.
const FAREWELL: Duration = Duration::from_secs(1);

/// A processor that is about to run over a stream, as one of its subscriptions. `.await` it: it returns when it is
/// [stopped](Self::until), or with an error that trying again does not help.
///
/// The subscription is configured if it is missing or other than wanted here. Then what is due is leased, and each event is
/// folded, acted on and settled, with the state and what the processor appends, in one transaction. A restart goes on
/// exactly there. When the processor fails, `error.occurred` is appended and the event is tried again by the deployment's
/// schedule; what stands behind it waits. An answer that can never be accepted halts the subscription, and ends a run over
/// one stream.
#[must_use = "it runs when it is awaited"]
pub struct Run<P> {
    stream: Stream,
    processor: P,
    subscription: Subscription,
    concurrency: usize,
    lease_seconds: u64,
    grace: Duration,
    stop: CancellationToken,
    on_trouble: Option<Arc<Told<Trouble>>>,
}

/// Something went wrong, and the run goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// The processor failed at an event; that is in the stream as well.
    Failed {
        /// The stream.
        stream_path: String,
        /// The event.
        offset: u64,
        /// What the processor said.
        failure: Failure,
    },
    /// The deployment did not answer, or not as expected.
    Deployment(Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { stream_path, offset, failure } => write!(f, "event {offset} of {stream_path}: {failure}"),
            Self::Deployment(error) => error.fmt(f),
        }
    }
}

/// What became of an event.
enum Outcome {
    Done(Vec<NewEvent>),
    Failed(Failure),
    Lost,
    OutOfTime,
}

impl<P: Processor> Run<P> {
    pub(crate) fn new(stream: Stream, slug: String, processor: P) -> Self {
        Self {
            stream,
            processor,
            subscription: subscription::pulled(slug),
            concurrency: 1,
            lease_seconds: 10,
            grace: Duration::from_secs(10),
            stop: CancellationToken::new(),
            on_trouble: None,
        }
    }

    /// Over all streams below as well, also those born later. Each has a state of its own.
    pub fn children(mut self) -> Self {
        self.subscription.children = true;
        self
    }

    /// So many streams at the same time; the events of one come one after the other.
    pub fn concurrency(mut self, streams: usize) -> Self {
        self.concurrency = streams.max(1);
        self
    }

    /// Only events of these types; `*` stands for anything: `agent.*`. A processor that hears what it appends itself should
    /// know how it ends.
    pub fn types(mut self, globs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subscription.types = Some(globs.into_iter().map(Into::into).collect());
        self
    }

    /// Only events for which this is true: CEL over `event`, like `event.payload.amount > 100`.
    pub fn only(mut self, condition: impl Into<String>) -> Self {
        self.subscription.condition = Some(condition.into());
        self
    }

    /// From the stream's first event on, not from now on; what is there already is history.
    pub fn from_start(mut self) -> Self {
        self.subscription.from = Some(From::Start);
        self
    }

    /// From the event at this offset on.
    pub fn from_offset(mut self, offset: u64) -> Self {
        self.subscription.from = Some(From::Offset(offset));
        self
    }

    /// The version of the processor: when it changes, the state is made anew from history.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.subscription.version = Some(version.into());
        self
    }

    /// So many events in a lease, at most 1,000; 100 if nothing is said.
    pub fn batch(mut self, events: u64) -> Self {
        self.subscription.batch = events;
        self
    }

    /// Also while the stream is paused: for who watches over it.
    pub fn while_paused(mut self) -> Self {
        self.subscription.while_paused = true;
        self
    }

    /// Globs over control events that it may append.
    pub fn grants(mut self, globs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subscription.grants = globs.into_iter().map(Into::into).collect();
        self
    }

    /// Events are leased for so long, 1 to 600; 10 if nothing is said. While the processor works that is prolonged, so it
    /// only says how soon others take over when this one dies.
    pub fn lease_seconds(mut self, seconds: u64) -> Self {
        self.lease_seconds = seconds.clamp(1, 600);
        self
    }

    /// Until this is cancelled. Then nothing is leased any more, the event in hand is finished, for which there are 10 s
    /// (see [`Self::grace`]), and what is left of its lease is given back.
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// So long the event in hand may take when it is stopped.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Tells this what goes wrong, while the run goes on.
    pub fn on_trouble(mut self, tell: impl Fn(&Trouble) + MaybeSend + MaybeSync + 'static) -> Self {
        self.on_trouble = Some(Arc::new(tell));
        self
    }

    async fn go(self) -> Result<(), Error> {
        match self.stop.run_until_cancelled(subscription::ensure(&self.stream, &self.subscription)).await {
            None => return Ok(()),
            Some(ensured) => ensured?,
        }
        // One that cannot go on stops the others, which finish what they have in hand.
        let stop = self.stop.child_token();
        let workers = (0..self.concurrency).map(|_| async {
            let ended = self.work(&stop).await;
            stop.cancel();
            ended
        });
        future::join_all(workers).await.into_iter().collect()
    }

    /// One lease after the other.
    async fn work(&self, stop: &CancellationToken) -> Result<(), Error> {
        let mut attempts = Attempts::new(self.stream.client().retry());
        loop {
            let asked = Instant::now();
            let slug = &self.subscription.slug;
            let lease = lease::take(&self.stream, slug, self.subscription.children, self.lease_seconds);
            let pause = match stop.run_until_cancelled(lease).await {
                None => return Ok(()),
                Some(Ok(Some(lease))) => {
                    attempts.succeeded();
                    self.process(lease, stop).await?;
                    Duration::ZERO
                }
                Some(Ok(None)) if asked.elapsed() < AT_ONCE => attempts.pause(),
                Some(Ok(None)) => {
                    attempts.succeeded();
                    Duration::ZERO
                }
                Some(Err(error)) if error.is_passing() => {
                    let pause = attempts.pause_after(&error);
                    self.tell(&Trouble::Deployment(error));
                    pause
                }
                Some(Err(error)) => return Err(error),
            };
            if stop.run_until_cancelled(clock::sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// All events of a lease.
    ///
    /// # Errors
    /// A settle that can never be accepted: its subscription is halted by that.
    async fn process(&self, mut lease: Lease, stop: &CancellationToken) -> Result<(), Error> {
        let events = std::mem::take(&mut lease.events);
        let Some(first) = events.first().map(|event| event.offset) else { return Ok(()) };
        let settled = match state_of(&self.processor, &lease.state) {
            Err(failure) => self.fail(&lease, first, failure).await,
            Ok(state) if lease.replay => self.fold(&lease, events, state).await,
            Ok(state) => self.act(&lease, events, state, stop).await,
        };
        match settled {
            // It is somebody else's by now.
            Err(error) if is_lost(&error) => Ok(()),
            // Of many streams, the others have nothing to do with it.
            Err(error) if error.is_passing() || self.subscription.children => {
                self.tell(&Trouble::Deployment(error));
                Ok(())
            }
            settled => settled,
        }
    }

    /// History: folded whole, and settled once.
    async fn fold(&self, lease: &Lease, events: Vec<Event>, mut state: P::State) -> Result<(), Error> {
        for event in &events {
            if let Err(failure) = self.processor.reduce(&mut state, event) {
                return self.fail(lease, event.offset, failure).await;
            }
        }
        let last = events.last().map_or(0, |event| event.offset);
        match json_of(&state) {
            Ok(state) => {
                let said = Settle { up_to: Some(last), state: Some(&state), ..Settle::default() };
                self.settle(lease, said).await
            }
            Err(failure) => self.fail(lease, last, failure).await,
        }
    }

    /// Event by event, each settled before the next begins.
    async fn act(
        &self,
        lease: &Lease,
        events: Vec<Event>,
        mut state: P::State,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut left = events.len();
        for event in events {
            if stop.is_cancelled() {
                return self.give_back(lease).await;
            }
            let offset = event.offset;
            let reduced = self.processor.reduce(&mut state, &event).and_then(|()| json_of(&state));
            let json = match reduced {
                Ok(json) => json,
                Err(failure) => return self.fail(lease, offset, failure).await,
            };
            let append = match self.handle(lease, event, state.clone(), stop).await {
                Outcome::Done(append) => append,
                Outcome::Failed(failure) => return self.fail(lease, offset, failure).await,
                Outcome::Lost => return Ok(()),
                Outcome::OutOfTime => return self.give_back(lease).await,
            };
            left -= 1;
            let extend = (left > 0 && !stop.is_cancelled()).then_some(self.lease_seconds);
            let said = Settle { up_to: Some(offset), state: Some(&json), append, extend, ..Settle::default() };
            self.settle(lease, said).await?;
            if left > 0 && extend.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The effects of an event, while the lease is kept alive.
    async fn handle(&self, lease: &Lease, event: Event, state: P::State, stop: &CancellationToken) -> Outcome {
        let signal = CancellationToken::new();
        let (appended, collected) = Appended::new(event, state, signal.clone());
        let _cancelled_when_dropped = signal.clone().drop_guard();
        let work = pin!(self.processor.after_append(appended));
        let watch = pin!(async {
            match select(pin!(self.keep_alive(lease)), pin!(self.out_of_time(stop))).await {
                Either::Left(_) => Outcome::Lost,
                Either::Right(_) => Outcome::OutOfTime,
            }
        });
        match select(work, watch).await {
            Either::Left((Ok(()), _)) => Outcome::Done(collected.take()),
            Either::Left((Err(failure), _)) => Outcome::Failed(failure),
            Either::Right((outcome, work)) => {
                // What it does now counts no more, but it may want to leave things in order.
                signal.cancel();
                let _ = clock::within(FAREWELL, work).await;
                outcome
            }
        }
    }

    /// Prolongs the lease, until it is lost.
    async fn keep_alive(&self, lease: &Lease) {
        let every = Duration::from_secs(self.lease_seconds) / 3;
        loop {
            clock::sleep(every).await;
            let said = Settle { extend: Some(self.lease_seconds), ..Settle::default() };
            match self.settle(lease, said).await {
                Err(error) if is_lost(&error) => return,
                Err(error) => self.tell(&Trouble::Deployment(error)),
                Ok(()) => {}
            }
        }
    }

    async fn out_of_time(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        clock::sleep(self.grace).await;
    }

    /// Says in the stream what went wrong, and has the event tried again later.
    async fn fail(&self, lease: &Lease, offset: u64, failure: Failure) -> Result<(), Error> {
        let message: String = failure.to_string().chars().take(2_000).collect();
        let slug = &self.subscription.slug;
        self.tell(&Trouble::Failed { stream_path: lease.stream_path.clone(), offset, failure });
        // The same failure is said once, however often the event is tried.
        let hash: String =
            Sha256::digest(&message).iter().take(8).flat_map(|byte| [byte >> 4, byte & 15]).map(hex).collect();
        let event = NewEvent {
            cause: Some(Cause { offset, ..Cause::default() }),
            ..NewEvent::new("error.occurred")
                .payload(json!({"message": message, "subscription": slug, "offset": offset}))
                .key(format!("{slug}:{offset}:{hash}"))
        };
        let stream = self.stream.join(&lease.stream_path)?;
        if let Err(error) = stream.append(event).await {
            // A paused stream, for example, takes no such event. The attempt has failed all the same.
            self.tell(&Trouble::Deployment(error));
        }
        self.settle(lease, Settle { error: Some(&message), ..Settle::default() }).await
    }

    /// Gives back all that is not settled. Were the last that is done named, it would be a repeat of how that was settled.
    async fn give_back(&self, lease: &Lease) -> Result<(), Error> {
        self.settle(lease, Settle { up_to: Some(0), ..Settle::default() }).await
    }

    async fn settle(&self, lease: &Lease, said: Settle<'_>) -> Result<(), Error> {
        lease.settle(&self.stream, &Settle { lease: &lease.name, ..said }).await
    }

    fn tell(&self, trouble: &Trouble) {
        if let Some(tell) = &self.on_trouble {
            tell(trouble);
        }
    }
}

fn json_of(state: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(state).map_err(|error| format!("the state cannot be JSON: {error}").into())
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}

impl<P: Processor + 'static> IntoFuture for Run<P> {
    type Output = Result<(), Error>;
    type IntoFuture = Boxed<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.go())
    }
}

impl<P> fmt::Debug for Run<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("stream", &self.stream)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
