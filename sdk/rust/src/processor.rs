//! Processors: `(state, event) -> state`, and what follows from it.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, NewEvent};
pub use crate::platform::{MaybeSend, MaybeSync};

/// Why an event could not be processed. Any error becomes one with `?`.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What handles the events of a stream, in order. [`run`](crate::run) pulls events for it, and a
/// [`Handler`](crate::Handler) is sent them; both keep its state where the events are.
///
/// Cursor, state and appended events are written as one, so its effects on streams happen exactly once, however often it is
/// killed. Only [`after_append`](Self::after_append) may have other effects: after a crash it is called again.
pub trait Processor: MaybeSend + MaybeSync {
    /// What it remembers of a stream: at most 256 KiB of JSON.
    type State: Serialize + DeserializeOwned + Default + Clone + MaybeSend + MaybeSync;

    /// The state before the first event.
    fn initial_state(&self) -> Self::State {
        Self::State::default()
    }

    /// Folds an event into the state. It has no effects, for history is folded again when it must be.
    ///
    /// # Errors
    /// [`Failure`]: the event is tried again later.
    fn reduce(&self, state: &mut Self::State, event: &Event) -> Result<(), Failure> {
        let _ = (state, event);
        Ok(())
    }

    /// Does what follows from an event. Not called for history.
    ///
    /// # Errors
    /// [`Failure`]: the event is tried again later, and nothing of what was collected is appended.
    fn after_append(&self, appended: Appended<Self::State>) -> impl Future<Output = Result<(), Failure>> + MaybeSend {
        let _ = appended;
        ready(Ok(()))
    }
}

/// An event that has just been folded into the state.
#[derive(Clone, Debug)]
pub struct Appended<S> {
    /// The event.
    pub event: Event,
    /// The state, this event included.
    pub state: S,
    /// Cancelled when nobody waits for the outcome any more: the lease is lost, or the time to shut down is over. Soon
    /// after that the future is dropped.
    pub signal: CancellationToken,
    collected: Collected,
}

/// Events to append when the event is settled.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<NewEvent>>>);

impl<S> Appended<S> {
    pub(crate) fn new(event: Event, state: S, signal: CancellationToken) -> (Self, Collected) {
        let collected = Collected::default();
        (Self { event, state, signal, collected: collected.clone() }, collected)
    }

    /// Collects an event. It is appended when this event is settled, together with the state, to the same stream or
    /// [to another](NewEvent::to), and its cause is this event.
    pub fn append(&self, event: impl Into<NewEvent>) {
        self.collected.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.into());
    }
}

impl Collected {
    pub(crate) fn take(&self) -> Vec<NewEvent> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

/// The state as a processor has it; null is the state before the first event.
pub(crate) fn state_of<P: Processor>(processor: &P, state: &Value) -> Result<P::State, Failure> {
    if state.is_null() {
        return Ok(processor.initial_state());
    }
    serde::Deserialize::deserialize(state).map_err(|error: serde_json::Error| {
        format!("the state is not of this processor's form (configure another version): {error}").into()
    })
}

/// A processor made of closures: see [`fold`] and [`each`].
pub struct Closures<S, R, A> {
    reduce: R,
    after_append: A,
    state: PhantomData<fn() -> S>,
}

/// The `after_append` of a processor that does nothing.
pub type NoEffect<S> = fn(Appended<S>) -> Ready<Result<(), Failure>>;

/// The `reduce` of a processor without a state.
pub type NoState = fn(&mut (), &Event) -> Result<(), Failure>;

/// A processor of which only the state is of interest, with this as its `reduce`.
///
/// ```
/// use tailrace_sdk::fold;
///
/// let counter = fold(|count: &mut u64, _event| {
///     *count += 1;
///     Ok(())
/// });
/// # fn is_one(_: impl tailrace_sdk::Processor<State = u64>) {}
/// # is_one(counter);
/// ```
pub fn fold<S, R>(reduce: R) -> Closures<S, R, NoEffect<S>>
where
    R: Fn(&mut S, &Event) -> Result<(), Failure>,
{
    Closures { reduce, after_append: |_| ready(Ok(())), state: PhantomData }
}

/// A processor without a state, with this as its `after_append`.
///
/// ```
/// use tailrace_sdk::{Appended, each, json};
///
/// let echo = each(|it: Appended<()>| async move {
///     it.append(("echo", json!({"of": it.event.offset})));
///     Ok(())
/// });
/// # fn is_one(_: impl tailrace_sdk::Processor<State = ()>) {}
/// # is_one(echo);
/// ```
pub fn each<A, F>(after_append: A) -> Closures<(), NoState, A>
where
    A: Fn(Appended<()>) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    Closures { reduce: |(), _| Ok(()), after_append, state: PhantomData }
}

impl<S, R, A> Closures<S, R, A> {
    /// The same with this as its `after_append`.
    pub fn then<B, F>(self, after_append: B) -> Closures<S, R, B>
    where
        B: Fn(Appended<S>) -> F,
        F: Future<Output = Result<(), Failure>>,
    {
        Closures { reduce: self.reduce, after_append, state: PhantomData }
    }
}

impl<S, R, A, F> Processor for Closures<S, R, A>
where
    S: Serialize + DeserializeOwned + Default + Clone + MaybeSend + MaybeSync,
    R: Fn(&mut S, &Event) -> Result<(), Failure> + MaybeSend + MaybeSync,
    A: Fn(Appended<S>) -> F + MaybeSend + MaybeSync,
    F: Future<Output = Result<(), Failure>> + MaybeSend,
{
    type State = S;

    fn reduce(&self, state: &mut S, event: &Event) -> Result<(), Failure> {
        (self.reduce)(state, event)
    }

    fn after_append(&self, appended: Appended<S>) -> impl Future<Output = Result<(), Failure>> + MaybeSend {
        (self.after_append)(appended)
    }
}

impl<S, R, A> fmt::Debug for Closures<S, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closures")
    }
}
