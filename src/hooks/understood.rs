//! What the definition of a source says about a request: whether it verifies, what names it, how it is answered.

use js_sys::Uint8Array;
use serde_json::Value;
use tailrace_durable::keys;
use tailrace_model::control::{Webhook, webhook};
use tailrace_model::webhook::cloudevents::{self, CloudEvent};
use tailrace_model::webhook::definition::{Filled, Handshake};
use tailrace_model::webhook::verify::{Key, Outcome, PublicKeyCheck};
use tailrace_model::webhook::{Definition, Incoming, Reply, Verdict};
use tailrace_model::{Problem, limits};
use wasm_bindgen_futures::JsFuture;

use crate::access;
use crate::deployment::Here;
use crate::platform::{self, inspect_js};

/// A request as its source's definition sees it.
pub struct Understood {
    /// Whether it is signed as it should be.
    pub verdict: Verdict,
    /// What names the delivery, if that counts.
    key: Option<String>,
    /// The question that it is, answered.
    handshake: Option<Filled>,
    /// How it is answered when it is stored.
    reply: Option<Reply>,
    /// What the reply's HMACs are made with.
    secret: Option<Vec<u8>>,
    /// The events in it, when it carries `CloudEvent`s.
    pub cloud_events: Vec<CloudEvent>,
    /// The names of headers and parameters that carry a secret itself.
    pub secret_names: Vec<String>,
    slug: String,
}

impl Understood {
    /// Looks at a request whose body is held.
    ///
    /// # Errors
    /// [`Problem::Unauthorized`] when it must verify and does not.
    pub async fn of(here: &Here<'_>, config: &Webhook, incoming: &Incoming<'_>, bytes: &[u8]) -> Result<Self, Problem> {
        let definition = &config.definition;
        let handshake = definition.handshake_for(incoming);
        let keys = keys_of(here, config);
        let verdict = match handshake {
            Some(Handshake { token: Some(token), secrets, .. }) => {
                let own = named_keys(here, config, secrets);
                fits(config, if secrets.is_empty() { &keys } else { &own }, &token.value(incoming).unwrap_or_default())
            }
            // A question that is not signed.
            Some(Handshake { verified: false, .. }) => Verdict::default(),
            _ => verify(config, &keys, incoming, bytes).await,
        };
        let is_signed = handshake.is_none_or(|handshake| handshake.verified || handshake.token.is_some());
        if is_signed {
            may_be_kept(definition, &verdict)?;
        }
        let mut understood = Self::told(config, incoming, verdict, handshake.is_some());
        // Made for nobody else: with our HMAC of a text of their choice they could sign anything.
        let signed_by = |key: &&Key| understood.verdict.key.as_ref() == Some(&key.name);
        understood.secret = keys.iter().find(signed_by).map(|key| key.value.clone().into_bytes());
        if let Some(handshake) = handshake {
            // What a stranger asks is kept, but not answered.
            understood.handshake = Some(if is_signed && understood.verdict.verified != Some(true) {
                Filled { status: 401, headers: Vec::new(), body: String::new() }
            } else {
                handshake.reply.fill(incoming, understood.secret.as_deref(), None)
            });
        } else if definition.cloud_events
            && understood.verdict.verified != Some(false)
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            understood.cloud_events = cloudevents::read(incoming, text);
            if understood.cloud_events.len() > limits::BATCH_EVENTS {
                return Err(Problem::TooLarge { what: "events in a batch", limit: limits::BATCH_EVENTS });
            }
        }
        Ok(understood)
    }

    /// A request that was looked at while its body went by.
    ///
    /// # Errors
    /// [`Problem::Unauthorized`] when it must verify and does not.
    pub fn streamed(config: &Webhook, incoming: &Incoming, verdict: Verdict) -> Result<Self, Problem> {
        may_be_kept(&config.definition, &verdict)?;
        Ok(Self::told(config, incoming, verdict, false))
    }

    fn told(config: &Webhook, incoming: &Incoming, verdict: Verdict, is_question: bool) -> Self {
        // A stranger cannot claim an id.
        let counts = !is_question && verdict.verified != Some(false);
        let id = if counts { config.definition.delivery_id(incoming) } else { None };
        Self {
            key: id.map(|id| keys::system(&format!("hook:{}:{id}", config.slug))),
            verdict,
            handshake: None,
            reply: config.definition.reply.clone(),
            secret: None,
            cloud_events: Vec::new(),
            secret_names: config.definition.secret_names(),
            slug: config.slug.clone(),
        }
    }

    /// The idempotency key of the event at `index` in the request.
    #[must_use]
    pub fn key(&self, index: usize) -> Option<String> {
        match self.cloud_events.get(index) {
            Some(event) => Some(keys::system(&format!("hook:{}:{}", self.slug, event.key))),
            None => self.key.clone(),
        }
    }

    /// How the request is answered once it is stored with this body of an answer; `None` = as every other.
    #[must_use]
    pub fn answer(&self, incoming: &Incoming, stored: &str) -> Option<Filled> {
        let stored: Option<Value> = serde_json::from_str(stored).ok();
        let offset = stored.and_then(|body| body.get("offset").and_then(Value::as_u64));
        let reply = || self.reply.as_ref().map(|reply| reply.fill(incoming, self.secret.as_deref(), offset));
        self.handshake.clone().or_else(reply)
    }
}

/// The secrets of a source that are there and declared for it.
#[must_use]
pub fn keys_of(here: &Here, config: &Webhook) -> Vec<Key> {
    config.definition.verify.as_ref().map(|verify| named_keys(here, config, &verify.secrets)).unwrap_or_default()
}

fn named_keys(here: &Here, config: &Webhook, names: &[String]) -> Vec<Key> {
    let key = |name: &String| {
        let value = webhook::secret_for(here, name, config.scheme()).ok()?;
        Some(Key { name: name.clone(), value })
    };
    names.iter().filter_map(key).collect()
}

fn fits(config: &Webhook, keys: &[Key], given: &str) -> Verdict {
    let key = keys.iter().find(|key| access::is_same_secret(&key.value, given));
    Verdict {
        verified: Some(key.is_some()),
        scheme: Some(config.scheme().to_owned()),
        key: key.map(|key| key.name.clone()),
        reason: key.is_none().then(|| "it is not the token".to_owned()),
    }
}

async fn verify(config: &Webhook, keys: &[Key], incoming: &Incoming<'_>, bytes: &[u8]) -> Verdict {
    let Some(verify) = &config.definition.verify else { return Verdict::default() };
    if keys.is_empty() {
        return without_secret(config);
    }
    let mut verifier = verify.begin(config.scheme(), keys, incoming, platform::now());
    verifier.update(bytes);
    match verifier.finish() {
        Outcome::Decided(verdict) => verdict,
        Outcome::PublicKey(check) => check_public_key(config.scheme(), check).await,
    }
}

/// None of its secrets is set: nothing can be looked at.
#[must_use]
pub fn without_secret(config: &Webhook) -> Verdict {
    let reason = "none of its secrets is set in this deployment".to_owned();
    Verdict { scheme: Some(config.scheme().to_owned()), reason: Some(reason), ..Verdict::default() }
}

/// What must verify and does not is refused.
fn may_be_kept(definition: &Definition, verdict: &Verdict) -> Result<(), Problem> {
    if definition.reject && verdict.verified != Some(true) {
        let reason = verdict.reason.as_deref().unwrap_or_default();
        return Err(Problem::Unauthorized { detail: format!("the request does not verify: {reason}") });
    }
    Ok(())
}

async fn check_public_key(scheme: &str, check: PublicKeyCheck) -> Verdict {
    let method = serde_json::json!(check.scheme);
    let bytes = |bytes: &[u8]| Uint8Array::from(bytes);
    let (signature, message) = (bytes(&check.signature), bytes(&check.message));
    let mut verdict = Verdict { verified: Some(false), scheme: Some(scheme.to_owned()), ..Verdict::default() };
    for (name, key) in &check.keys {
        let method = method.as_str().unwrap_or_default();
        let holds = JsFuture::from(inspect_js::verify_signature(method, &bytes(key), &signature, &message)).await;
        if holds.is_ok_and(|it| it.is_truthy()) {
            verdict.verified = Some(true);
            verdict.key = Some(name.clone());
            return verdict;
        }
    }
    verdict.reason = Some("no key made this signature".to_owned());
    verdict
}
