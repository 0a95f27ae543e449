//! Whether a request is signed as it should be.

use std::collections::BTreeSet;
use std::fmt;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::place::{Incoming, Place, fill, named};
use crate::hook::{from_base64, hex};
use crate::time::Millis;

/// How requests are signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// By which method.
    pub scheme: Scheme,
    /// Where the signature stands; for `token` the token itself.
    pub signature: Place,
    /// What stands before it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What stands between several of them: any that holds is enough.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub separator: String,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// What is signed: `{body}`, `{timestamp}`, `{url}`, `{form}` (names and values in the order of the names, as Twilio
    /// joins them), `{header:name}`, `{query:name}`.
    #[serde(default = "body")]
    pub signed: String,
    /// Where the time of signing stands, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Place>,
    /// How many seconds that may differ from now.
    #[serde(default = "tolerance")]
    pub tolerance: u64,
    /// Where the SHA-256 of the body stands, in hexadecimal, when the signature does not cover the body itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_digest: Option<Place>,
    /// How the secrets are written: as a text if nothing is said.
    #[serde(default = "plain")]
    pub key: Encoding,
    /// The names of the secrets, several while one takes the place of another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

fn body() -> String {
    "{body}".to_owned()
}

const fn plain() -> Encoding {
    Encoding::Text
}

const fn tolerance() -> u64 {
    300
}

/// A method of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
    /// Ed25519; the secret is the public key.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the signature in DER; the secret is the public key (SPKI).
    EcdsaP256,
    /// The secret itself.
    Token,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal, the default of a signature.
    #[default]
    Hex,
    /// Base64.
    Base64,
    /// As they are: a text.
    Text,
}

/// A secret that may have signed.
#[derive(Clone)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its value, as it is declared.
    pub value: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is signed as it should be; `None` when that was not looked at.
    pub verified: Option<bool>,
    /// By what it was looked at: a preset's name, or `custom`.
    pub scheme: Option<String>,
    /// The name of the secret that fits.
    pub key: Option<String>,
    /// Why it does not verify.
    pub reason: Option<String>,
}

/// What only the platform can check: a signature with a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyCheck {
    /// By which method.
    pub scheme: Scheme,
    /// The names of the keys and their bytes.
    pub keys: Vec<(String, Vec<u8>)>,
    /// The signature's bytes.
    pub signature: Vec<u8>,
    /// What is signed.
    pub message: Vec<u8>,
}

/// Where a verification stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Decided.
    Decided(Verdict),
    /// To be checked by the platform.
    PublicKey(PublicKeyCheck),
}

/// A verification in progress: the body goes by in pieces.
pub struct Verifier<'a> {
    verify: &'a Verify,
    scheme: String,
    /// What the request says without its body: the secret that fits, or why none does.
    early: Option<Result<String, String>>,
    signatures: Vec<Vec<u8>>,
    macs: Vec<(String, AnyMac)>,
    digest: Option<(Sha256, String)>,
    keys: Vec<(String, Vec<u8>)>,
    message: Option<Vec<u8>>,
    /// What stands behind the body in what is signed.
    behind: Vec<u8>,
    /// A body that came, though the signature says nothing about one.
    is_uncovered: bool,
    covers: bool,
}

enum AnyMac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Verify {
    /// Checks what its form alone does not say.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        self.signature.check()?;
        for place in [&self.timestamp, &self.body_digest].into_iter().flatten() {
            place.check()?;
        }
        if self.secrets.is_empty() || self.secrets.len() > 10 {
            return Err("secrets: the names of 1 to 10 secrets".to_owned());
        }
        if self.encoding == Encoding::Text && self.scheme != Scheme::Token {
            return Err("encoding: hex or base64".to_owned());
        }
        if self.signed.matches("{body}").count() > 1 {
            return Err("signed: {body} stands in it once".to_owned());
        }
        Ok(())
    }

    /// Whether it looks into the body as JSON.
    #[must_use]
    pub fn reads_json(&self) -> bool {
        let places = [Some(&self.signature), self.timestamp.as_ref(), self.body_digest.as_ref()];
        self.signed.contains("{json:") || places.into_iter().flatten().any(Place::is_in_body)
    }

    /// Whether what is signed says anything about the body.
    fn covers(&self, request: &Incoming) -> bool {
        self.scheme == Scheme::Token
            || self.signed.contains("{body}")
            || (self.signed.contains("{form}") && !request.form.is_empty())
            || self.body_digest.as_ref().is_some_and(|place| place.value(request).is_some())
    }

    /// Begins a verification. `scheme` is what the verdict names.
    #[must_use]
    pub fn begin<'a>(&'a self, scheme: &str, keys: &[Key], request: &Incoming, now: Millis) -> Verifier<'a> {
        let mut verifier = Verifier {
            verify: self,
            scheme: scheme.to_owned(),
            early: None,
            signatures: Vec::new(),
            macs: Vec::new(),
            digest: None,
            keys: Vec::new(),
            message: None,
            behind: Vec::new(),
            is_uncovered: false,
            covers: self.covers(request),
        };
        if let Err(reason) = verifier.prepare(keys, request, now) {
            verifier.early = Some(Err(reason));
        }
        verifier
    }
}

impl Verifier<'_> {
    /// The next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.is_uncovered |= !self.covers && !piece.is_empty();
        for (_, mac) in &mut self.macs {
            mac.update(piece);
        }
        if let Some((digest, _)) = &mut self.digest {
            sha2::Digest::update(digest, piece);
        }
        if let Some(message) = &mut self.message {
            message.extend_from_slice(piece);
        }
    }

    /// True when the whole body must be held to verify it.
    #[must_use]
    pub fn needs_whole(&self) -> bool {
        self.message.is_some()
    }

    /// What was found out.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let behind = std::mem::take(&mut self.behind);
        let digest = self.digest.take().map(|(digest, wanted)| (hex(&sha2::Digest::finalize(digest)), wanted));
        if self.early.is_none() {
            // What is signed may go on behind the body.
            for (_, mac) in &mut self.macs {
                mac.update(&behind);
            }
        }
        let Self { verify, scheme, early, signatures, macs, keys, message, is_uncovered, .. } = self;
        let decided = |found: Result<String, String>| {
            let (verified, key, reason) = match found {
                Ok(key) => (true, Some(key), None),
                Err(reason) => (false, None, Some(reason)),
            };
            Outcome::Decided(Verdict { verified: Some(verified), scheme: Some(scheme.clone()), key, reason })
        };
        if let Some(Err(reason)) = early {
            return decided(Err(reason));
        }
        if is_uncovered {
            return decided(Err("the signature does not cover the body".to_owned()));
        }
        if digest.is_some_and(|(made, wanted)| !bool::from(made.as_bytes().ct_eq(wanted.as_bytes()))) {
            return decided(Err("the digest of the body does not fit".to_owned()));
        }
        if let Some(found) = early {
            return decided(found);
        }
        if let Some(mut message) = message {
            message.extend_from_slice(&behind);
            let signature = signatures.into_iter().next().unwrap_or_default();
            return Outcome::PublicKey(PublicKeyCheck { scheme: verify.scheme, keys, signature, message });
        }
        for (name, mac) in macs {
            let made = mac.finish();
            // No early return that would tell how far a guess fits; which of the keys fits is no secret.
            if signatures.iter().any(|signature| bool::from(made.ct_eq(signature))) {
                return decided(Ok(name));
            }
        }
        decided(Err("no secret made this signature".to_owned()))
    }

    fn prepare(&mut self, keys: &[Key], request: &Incoming, now: Millis) -> Result<(), String> {
        let verify = self.verify;
        if keys.is_empty() {
            return Err("none of its secrets is set".to_owned());
        }
        let given = verify.signature.values(request);
        if given.iter().all(|it| it.is_empty()) {
            return Err("it carries no signature".to_owned());
        }
        if verify.scheme == Scheme::Token {
            self.early = Some(token(verify, keys, &given));
            return Ok(());
        }
        let split = |value: &str| -> Vec<String> {
            match verify.separator.as_str() {
                "" => vec![value.to_owned()],
                separator => value.split(separator).map(|it| it.trim().to_owned()).collect(),
            }
        };
        let written = given.iter().flat_map(|value| split(value));
        let decoded = written.filter_map(|text| decode(text.strip_prefix(verify.prefix.as_str())?, verify.encoding));
        self.signatures = decoded.take(20).collect();
        if self.signatures.is_empty() {
            return Err("the signature is not of the form it should be".to_owned());
        }
        let timestamp = self.timestamp(request, now)?;
        if let Some(place) = &verify.body_digest
            && let Some(wanted) = place.value(request)
        {
            self.digest = Some((Sha256::default(), wanted.to_ascii_lowercase()));
        }
        let value_of = |name: &str| match name {
            "timestamp" => Some(timestamp.clone()),
            "url" => Some(request.url.to_owned()),
            "form" => Some(if self.digest.is_some() { String::new() } else { joined(request.form) }),
            "body" => None,
            name => named(request, name),
        };
        let (before, behind) = match verify.signed.split_once("{body}") {
            Some((before, behind)) => (fill(before, value_of), fill(behind, value_of)),
            None => (fill(&verify.signed, value_of), String::new()),
        };
        self.behind = behind.into_bytes();
        let covers_body = verify.signed.contains("{body}");
        for key in keys {
            let bytes = key_bytes(&key.value, verify.key);
            match verify.scheme {
                Scheme::Ed25519 | Scheme::EcdsaP256 => {
                    let bytes = bytes.ok_or_else(|| format!("the secret {} is not a key", key.name))?;
                    self.keys.push((key.name.clone(), bytes));
                }
                _ => {
                    let bytes =
                        bytes.ok_or_else(|| format!("the secret {} is not written as it should be", key.name))?;
                    let mut mac = AnyMac::new(verify.scheme, &bytes).ok_or("no such method")?;
                    mac.update(before.as_bytes());
                    if covers_body {
                        self.macs.push((key.name.clone(), mac));
                    } else {
                        let made = mac.finish();
                        if self.signatures.iter().any(|signature| bool::from(made.ct_eq(signature))) {
                            self.early = Some(Ok(key.name.clone()));
                        }
                    }
                }
            }
        }
        if matches!(verify.scheme, Scheme::Ed25519 | Scheme::EcdsaP256) {
            self.message = Some(before.into_bytes());
        }
        if !covers_body && self.early.is_none() && self.macs.is_empty() && self.message.is_none() {
            return Err("no secret made this signature".to_owned());
        }
        Ok(())
    }

    fn timestamp(&self, request: &Incoming, now: Millis) -> Result<String, String> {
        let Some(place) = &self.verify.timestamp else { return Ok(String::new()) };
        let text = place.value(request).ok_or("it carries no timestamp")?;
        let seconds: i64 = text.parse().map_err(|_| "the timestamp is no number of seconds")?;
        // Some providers count in milliseconds.
        let seconds = if seconds > 100_000_000_000 { seconds / 1_000 } else { seconds };
        let tolerance = i64::try_from(self.verify.tolerance).unwrap_or(i64::MAX);
        let age = (now / 1_000).saturating_sub(seconds);
        if age.saturating_abs() > tolerance {
            return Err(format!("it was signed {age} seconds ago, at most {tolerance} are allowed"));
        }
        Ok(text.into_owned())
    }
}

impl AnyMac {
    fn new(scheme: Scheme, key: &[u8]) -> Option<Self> {
        Some(match scheme {
            Scheme::HmacSha1 => Self::Sha1(Hmac::new_from_slice(key).ok()?),
            Scheme::HmacSha256 => Self::Sha256(Hmac::new_from_slice(key).ok()?),
            Scheme::HmacSha512 => Self::Sha512(Hmac::new_from_slice(key).ok()?),
            Scheme::Ed25519 | Scheme::EcdsaP256 | Scheme::Token => return None,
        })
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha512(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }
}

/// Every token that the request carries must be one of the secrets.
fn token(verify: &Verify, keys: &[Key], given: &[std::borrow::Cow<str>]) -> Result<String, String> {
    let fits = |text: &str| {
        // Where a token may stand in several places, not all have the prefix.
        let (begin, rest) = text.split_at_checked(verify.prefix.len()).unwrap_or(("", text));
        let text = if begin.eq_ignore_ascii_case(&verify.prefix) { rest } else { text };
        keys.iter().find(|key| bool::from(key.value.as_bytes().ct_eq(text.as_bytes())))
    };
    let mut names = given.iter().map(|text| fits(text).map(|key| key.name.clone()));
    let first = names.next().flatten().ok_or("it is not the secret")?;
    if names.all(|name| name.is_some()) { Ok(first) } else { Err("not all of it carries the secret".to_owned()) }
}

/// Names and values one behind the other, in the order of the names, each pair once: as Twilio signs a form.
fn joined(form: &[(String, String)]) -> String {
    let sorted: BTreeSet<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    sorted.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Text => Some(text.as_bytes().to_vec()),
        Encoding::Base64 => from_base64(text),
        Encoding::Hex => {
            let bytes = text.as_bytes();
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
            bytes
                .len()
                .is_multiple_of(2)
                .then(|| {
                    bytes.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
                })
                .flatten()
        }
    }
}

fn key_bytes(value: &str, encoding: Encoding) -> Option<Vec<u8>> {
    // How Standard Webhooks write a secret.
    let value = value.trim();
    let value = if encoding == Encoding::Base64 { value.strip_prefix("whsec_").unwrap_or(value) } else { value };
    decode(value, encoding)
}

/// An HMAC with SHA-256, in hexadecimal.
pub(super) fn hmac_hex(key: &[u8], message: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(message);
    hex(&mac.finalize().into_bytes())
}
