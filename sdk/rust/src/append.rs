//! Appending: sent until it is answered, with keys that make the deployment see a repetition.

use serde::Deserialize;
use uuid::Uuid;

use crate::client::Call;
use crate::error::Error;
use crate::event::{Event, NewEvent};
use crate::stream::Stream;

/// Appends an event.
pub(crate) async fn one(stream: &Stream, event: NewEvent) -> Result<Event, Error> {
    #[derive(Deserialize)]
    struct Answer {
        event: Event,
    }
    let call = call(stream, &keyed(event))?;
    let answer: Answer = stream.client().send_json(&call).await?;
    Ok(answer.event)
}

/// Appends events as one batch.
pub(crate) async fn all(stream: &Stream, events: Vec<NewEvent>) -> Result<Vec<Event>, Error> {
    #[derive(Deserialize)]
    struct Answer {
        events: Vec<Event>,
    }
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let events: Vec<NewEvent> = events.into_iter().map(keyed).collect();
    let answer: Answer = stream.client().send_json(&call(stream, &events)?).await?;
    Ok(answer.events)
}

fn call(stream: &Stream, body: &impl serde::Serialize) -> Result<Call, Error> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(Call::post("streams", stream.stream_path()).header("prefer", "handling=strict").body(body))
}

/// Chance makes the key, once: all attempts carry the same.
fn keyed(event: NewEvent) -> NewEvent {
    match event.idempotency_key {
        Some(_) => event,
        None => event.key(Uuid::new_v4().to_string()),
    }
}
