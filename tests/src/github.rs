//! What GitHub sends: the payloads of the npm package `@octokit/webhooks-examples`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::value::RawValue;

use crate::unique;

/// One delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `X-GitHub-Event`
    pub event: String,
    /// `X-GitHub-Delivery`
    pub id: String,
    /// The body, byte by byte.
    pub body: String,
}

impl Delivery {
    /// The headers that come with it.
    #[must_use]
    pub fn headers(&self) -> [(&str, &str); 5] {
        [
            ("content-type", "application/json"),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("x-github-event", &self.event),
            ("x-github-delivery", &self.id),
            ("accept", "*/*"),
        ]
    }
}

/// All deliveries, with a fresh id each.
#[must_use]
pub fn deliveries() -> Vec<Delivery> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = project.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let events: Vec<HashMap<String, Box<RawValue>>> = serde_json::from_str(&text).unwrap();
    let mut deliveries = Vec::new();
    for event in events {
        let name: String = serde_json::from_str(event["name"].get()).unwrap();
        let examples: Vec<Box<RawValue>> = serde_json::from_str(event["examples"].get()).unwrap();
        deliveries.extend(examples.iter().map(|example| Delivery {
            event: name.clone(),
            id: unique("d"),
            body: compact(example.get()),
        }));
    }
    assert_eq!(deliveries.len(), 329);
    deliveries
}

/// JSON without white space between its tokens, otherwise as it was.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            (in_string, escaped) = (c != '"' || escaped, c == '\\' && !escaped);
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}
