//! Leases: what is due is taken, and settled.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tailrace_model::StreamPath;

use crate::client::Call;
use crate::error::Error;
use crate::event::{Event, NewEvent};
use crate::stream::Stream;

/// So long a request waits for something to be due.
const WAIT: Duration = Duration::from_secs(30);

/// Events that nobody else is handed meanwhile.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lease {
    #[serde(rename = "lease")]
    pub name: String,
    /// The stream whose events they are.
    pub stream_path: String,
    pub events: Vec<Event>,
    /// The subscription's state in that stream; null at first.
    #[serde(default)]
    pub state: Value,
    /// Fold them, and do nothing else.
    #[serde(default)]
    pub replay: bool,
}

/// What became of it. What is absent stays as it is.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settle<'a> {
    pub lease: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<NewEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend: Option<u64>,
}

/// Takes what is due, waiting for it if need be; nothing if there is nothing. Sent once.
pub(crate) async fn take(stream: &Stream, slug: &str, children: bool, seconds: u64) -> Result<Option<Lease>, Error> {
    let mut query = vec![("slug", slug.to_owned()), ("wait", WAIT.as_secs().to_string()), ("for", seconds.to_string())];
    query.extend(children.then(|| ("children", "true".to_owned())));
    let call = Call::post("lease", stream.stream_path()).query(query).waiting(WAIT);
    let answer = stream.client().send_once(&call).await?;
    if answer.status == 204 { Ok(None) } else { answer.json().map(Some) }
}

impl Lease {
    /// Says what became of it, until that is heard: repeated, it is answered as the first time.
    pub(crate) async fn settle(&self, top: &Stream, said: &Settle<'_>) -> Result<(), Error> {
        let body = serde_json::to_vec(said).map_err(|error| Error::Invalid(error.to_string()))?;
        let path = StreamPath::from_decoded(&self.stream_path)?;
        top.client().send(&Call::post("settle", &path).body(body)).await.map(drop)
    }
}

/// True when somebody else has its events by now.
pub(crate) fn is_lost(error: &Error) -> bool {
    error.code() == "lease_lost"
}
