//! A request to a model, but for its secrets: the courier makes it when a turn starts, and hands it to the Runner.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tailrace_agent::transcript::Transcript;
use tailrace_model::control::agent::Api;
use tailrace_model::control::subscription::secret_for;
use tailrace_model::deployment::Deployment;
use tailrace_model::{secret, target};

/// A request to a model, but for its secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// How the model is spoken to.
    pub api: Api,
    /// Where.
    pub url: String,
    /// Headers; their values may name secrets.
    pub headers: Vec<(String, String)>,
    /// The name of the secret that the provider wants, the header that carries it and what stands before it there.
    pub credential: Option<(String, String, String)>,
    /// The body, byte for byte.
    pub body: String,
    /// Milliseconds that it may take as a whole.
    pub total_ms: u64,
    /// Milliseconds that may pass until something comes of it.
    pub idle_ms: u64,
}

impl Prepared {
    /// The request that is made of a transcript; `None` while the agent is not configured in it.
    #[must_use]
    pub fn of(transcript: &Transcript) -> Option<Self> {
        let (agent, config) = transcript.config()?;
        let request = transcript.request()?;
        let own: BTreeMap<&String, &String> = config.headers.iter().collect();
        let is_set = |name: &str| own.keys().any(|known| *known == name);
        let mut headers: Vec<(String, String)> =
            request.headers.into_iter().filter(|(name, _)| !is_set(name)).collect();
        headers.extend(config.headers.clone());
        let (header, before) = request.credential;
        let credential = agent.secret.clone().map(|name| (name, header.to_owned(), before.to_owned()));
        Some(Self {
            api: agent.api,
            url: request.url,
            headers,
            credential,
            body: request.body,
            total_ms: agent.total_ms,
            idle_ms: agent.idle_ms,
        })
    }

    /// SHA-256 of the body, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.body).iter().fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    /// URL and headers with the secrets in them, which are also noted in `sent`.
    ///
    /// # Errors
    /// Why it may not be sent.
    pub fn fill(
        &self,
        here: &dyn Deployment,
        sent: &mut Vec<String>,
    ) -> Result<(String, Vec<(String, String)>), String> {
        let url = here.url(&self.url).ok_or("the base URL is none")?;
        // What was allowed when it was configured may not be any more.
        target::check(&url, &here.allowed())?;
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        let mut value_of = |name: &str| {
            let value = secret_for(here, name, &url.hostname)?;
            sent.push(value.clone());
            Ok::<_, String>(value)
        };
        for (name, template) in &self.headers {
            headers.push((name.clone(), secret::fill(template, &mut value_of)?));
        }
        if let Some((secret, header, before)) = &self.credential {
            headers.push((header.clone(), format!("{before}{}", value_of(secret)?)));
        }
        Ok((url.href, headers))
    }
}
