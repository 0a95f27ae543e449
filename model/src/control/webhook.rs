//! `webhook.configured`: how requests of one source are understood.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, invalid};
use crate::deployment::Deployment;
use crate::limits;
use crate::problem::Problem;
use crate::secret;
use crate::webhook::definition::Definition;
use crate::webhook::presets;

/// A source of hooks as it is configured. Its third party's URL is `/hooks/{path}?source={slug}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its name within the stream.
    pub slug: String,
    /// The preset that it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// How its requests are understood: the preset's way, with what was given in place of it.
    pub definition: Definition,
    /// Holds for every stream below too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub children: bool,
}

impl Webhook {
    pub(super) fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        let slug = fields.slug()?;
        let preset = fields.text("preset", 64)?;
        let mut definition = match &preset {
            None => Definition::default(),
            Some(name) => presets::find(name).ok_or_else(|| invalid("preset", unknown_preset()))?.definition,
        };
        if let Some(verify) = fields.take("verify") {
            let whole = merged(definition.verify.as_ref().map(|it| serde_json::json!(it)), verify);
            definition.verify = Some(read("verify", &whole)?);
        }
        if let Some(handshake) = fields.take("handshake") {
            let list = if handshake.is_object() { Value::Array(vec![handshake]) } else { handshake };
            definition.handshake = read("handshake", &list)?;
        }
        if let Some(idempotency) = fields.take("idempotency") {
            definition.idempotency = Some(read("idempotency", &idempotency)?);
        }
        if let Some(reply) = fields.take("reply") {
            definition.reply = Some(read("reply", &reply)?);
        }
        if let Some(reject) = fields.take("reject") {
            definition.reject = read("reject", &reject)?;
        }
        let webhook = Self { slug, preset, definition, children: fields.flag("children")? };
        webhook.definition.check().map_err(|(field, detail)| invalid(field, detail))?;
        if serde_json::json!(webhook).to_string().len() > limits::WEBHOOK_BYTES {
            return Err(invalid("payload", format!("at most {} bytes", limits::WEBHOOK_BYTES)));
        }
        if webhook.definition.reject && webhook.definition.verify.is_none() {
            return Err(invalid("reject", "only together with verify, or a preset that verifies"));
        }
        Ok(webhook)
    }

    /// What its secrets are declared for, and what the verdict names.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.preset.as_deref().unwrap_or("custom")
    }

    /// Checks that its secrets, as far as they are there, are declared for this use. One may be set later: until then
    /// nothing is verified by it.
    pub(super) fn check(&self, deployment: &dyn Deployment) -> Result<(), Problem> {
        for name in self.definition.secrets().filter(|name| deployment.secret(name).is_some()) {
            secret_for(deployment, name, self.scheme()).map_err(|detail| invalid("verify.secrets", detail))?;
        }
        Ok(())
    }
}

/// The value of a secret that requests of a preset are verified with.
///
/// # Errors
/// Why there is none. The secret itself is never named.
pub fn secret_for(deployment: &dyn Deployment, name: &str, preset: &str) -> Result<String, String> {
    let declare = format!("{}{name} = {{\"value\": \"…\", \"verify\": [\"{preset}\"]}}", secret::PREFIX);
    let secret =
        deployment.secret(name).ok_or_else(|| format!("this deployment has no such secret: set {declare}"))??;
    let value = secret.for_preset(preset).map(str::to_owned);
    value.ok_or_else(|| format!("the secret {name} is not declared for verifying {preset}: set {declare}"))
}

fn unknown_preset() -> String {
    let names: Vec<String> = presets::all().into_iter().map(|preset| preset.name).collect();
    format!("one of {}", names.join(", "))
}

/// What is given takes the place of what the preset says, field by field.
fn merged(preset: Option<Value>, given: Value) -> Value {
    match (preset, given) {
        (Some(Value::Object(mut whole)), Value::Object(given)) => {
            whole.extend(given);
            Value::Object(whole)
        }
        (_, given) => given,
    }
}

fn read<T: for<'de> Deserialize<'de>>(field: &str, value: &Value) -> Result<T, Problem> {
    // By its text, as it is read everywhere else.
    serde_json::from_str(&value.to_string()).map_err(|error| invalid(field, error.to_string()))
}
