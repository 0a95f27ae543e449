//! `GET /api/subscriptions/{path}`: how subscriptions stand.

use serde_json::{Map, Value, json};
use tailrace_model::signature::SigningSecret;
use tailrace_model::{Problem, StreamPath};

use crate::access::{Caller, Need};
use crate::config::Config;
use crate::http::{JSON, Request, Response, invalid_query, text};
use crate::stream::Stream;

/// Answers how they stand; with `?reveal=secret`, also with which secret the one of a slug is signed.
///
/// # Errors
/// [`Problem`]
pub async fn read(
    stream: &Stream,
    request: &Request,
    config: &Config,
    caller: &Caller,
    path: &StreamPath,
) -> Result<Response, Problem> {
    caller.check(Need::Read, path)?;
    let slug = request.query.get("slug").unwrap_or_default();
    let reveal = match request.query.get("reveal") {
        None => false,
        Some("secret") if !slug.is_empty() => true,
        Some("secret") => return Err(invalid_query("slug", "whose secret is to be revealed")),
        Some(_) => return Err(invalid_query("reveal", "secret")),
    };
    if reveal {
        caller.check(Need::Control, path)?;
    }
    let answer = stream.subscriptions(slug).await?;
    if answer.status != 200 || !reveal {
        return answer.into_response(JSON, &[("cache-control", "no-store")]);
    }
    let generation = answer.header("tailrace-generation").unwrap_or_default().to_owned();
    let mut report: Map<String, Value> =
        serde_json::from_str(&String::from(answer.body)).map_err(|_| Problem::Internal)?;
    let version = report.get("secretVersion").and_then(Value::as_str).unwrap_or_default();
    let secret = secret(config, &generation, slug, version);
    report.insert("secret".to_owned(), json!(secret.map(|secret| secret.reveal())));
    text(200, &[("content-type", JSON), ("cache-control", "no-store")], &Value::Object(report).to_string())
}

fn secret(config: &Config, generation: &str, slug: &str, version: &str) -> Option<SigningSecret> {
    config.signing_keys.first().map(|key| SigningSecret::derive(key, generation, slug, version))
}
