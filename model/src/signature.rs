//! What the system sends is signed after Standard Webhooks (symmetric, `v1`), so that any of its libraries verifies it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// What each hash is for: none is ever taken for another.
const SECRET_DOMAIN: &str = "tailrace signing secret 1";
const MESSAGE_DOMAIN: &str = "tailrace message id 1";

/// Bytes of SHA-256's block, which is what a key of HMAC is filled up to.
const BLOCK_BYTES: usize = 64;
/// Bytes of a message's hash that its ID shows: 24 characters, without padding.
const ID_BYTES: usize = 18;

/// The secret that one receiver's messages are signed with. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningSecret([u8; 32]);

impl SigningSecret {
    /// The same for the same arguments, and another when any of them differs. Nothing about it, or about the
    /// deployment's key, follows from other secrets of that key.
    #[must_use]
    pub fn derive(deployment_key: &[u8], generation: &str, slug: &str, version: &str) -> Self {
        let fields = [SECRET_DOMAIN, generation, slug, version].map(str::as_bytes);
        Self(hmac(deployment_key, &[&encode(&fields)]))
    }

    /// The secret as its receiver needs it: `whsec_` and base64.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0))
    }

    /// The header `webhook-signature` for a message with these `webhook-id`, `webhook-timestamp` and body. An ID
    /// contains no dot ([`message_id`] makes none), so that no two messages are signed as one.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp_s}.");
        format!("v1,{}", STANDARD.encode(hmac(&self.0, &[head.as_bytes(), body])))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret([hidden])")
    }
}

/// The header `webhook-id` of the message that brings these events: the same however often it is tried, and another
/// for anything else.
#[must_use]
pub fn message_id(generation: &str, slug: &str, epoch: u64, first: u64, last: u64) -> String {
    let (epoch, first, last) = (epoch.to_be_bytes(), first.to_be_bytes(), last.to_be_bytes());
    let fields = [MESSAGE_DOMAIN.as_bytes(), generation.as_bytes(), slug.as_bytes(), &epoch, &first, &last];
    let hash = Sha256::digest(encode(&fields));
    let shown = hash.get(..ID_BYTES).unwrap_or(&hash);
    format!("msg_{}", URL_SAFE_NO_PAD.encode(shown))
}

/// Each field with its length before it (64 bits, big-endian): other fields never give the same bytes.
fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(&(field.len() as u64).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // RFC 2104: a key longer than a block is hashed first, a shorter one filled up with zeros.
    let hashed: [u8; 32];
    let key = if key.len() > BLOCK_BYTES {
        hashed = Sha256::digest(key).into();
        &hashed
    } else {
        key
    };
    let mut block = [0; BLOCK_BYTES];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new((&block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use std::time::{SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    fn now() -> i64 {
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// Computed with Python's `hmac` and `hashlib`, see each expression.
    #[test]
    fn vectors() {
        // def enc(*fs): return b"".join(len(f).to_bytes(8, "big") + f for f in fs)
        // hmac.new(b"k" * 32, enc(b"tailrace signing secret 1", b"gen", b"slack", b"1"), "sha256")
        let secret = SigningSecret::derive(&[b'k'; 32], "gen", "slack", "1");
        assert_eq!(secret.reveal(), "whsec_3tfSv5N/oWI9uRek+dxpTdKnSmJ4lNpiVc9/3wHHcE4=");
        // hmac.new(secret, b"msg_1.1700000000.{}", "sha256")
        assert_eq!(secret.sign("msg_1", 1_700_000_000, b"{}"), "v1,frhQcbGK6Yv3miL326NgtwsYl41HPNDr07GuUlt1pvI=");
        // A key longer than a block: b"k" * 65.
        assert_eq!(
            SigningSecret::derive(&[b'k'; 65], "gen", "slack", "1").reveal(),
            "whsec_b+O39YGb8DBJEsW5iqtW+53QVJ80cbv0tDdUrqWI8Do="
        );
        // sha256(enc(b"tailrace message id 1", b"gen", b"slack", *(n.to_bytes(8, "big") for n in (3, 10, 19))))[:18]
        assert_eq!(message_id("gen", "slack", 3, 10, 19), "msg_lnFUxmzw8rhIWFp6u3t-kMA0");
    }

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn the_specification_s_own_vector() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mac = hmac(&key, &[b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.", br#"{"test": 2432232314}"#]);
        assert_eq!(STANDARD.encode(mac), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// RFC 4231, cases 1, 2, 6 and 7.
    #[test]
    fn hmac_is_hmac() {
        for (key, data, expected) in [
            (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                vec![0xaa; 131],
                "This is a test using a larger than block-size key and a larger than block-size data. The key \
                 needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            assert_eq!(hmac(&key, &[data.as_bytes()]).to_vec(), hex(expected), "{data}");
        }
    }

    fn verifies(secret: &SigningSecret, id: &str, timestamp: i64, body: &[u8], signature: &str) -> bool {
        let timestamp = timestamp.to_string();
        let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", signature)];
        let headers: HashMap<_, _> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Webhook::new(&secret.reveal()).unwrap().verify(body, &(&headers).try_into().unwrap()).is_ok()
    }

    #[test]
    fn a_library_verifies_what_is_signed_and_nothing_else() {
        let secret = SigningSecret::derive(b"key", "gen", "slack", "1");
        let other = SigningSecret::derive(b"key", "gen", "slack", "2");
        let (id, at, body) = (message_id("gen", "slack", 1, 2, 3), now(), br#"{"a":"\u00e4"}"#);
        let signature = secret.sign(&id, at, body);
        assert!(verifies(&secret, &id, at, body, &signature));
        assert!(verifies(&secret, &id, at, body, &format!("{} {signature}", other.sign(&id, at, body))));
        assert!(!verifies(&other, &id, at, body, &signature));
        assert!(!verifies(&secret, "msg_other", at, body, &signature));
        assert!(!verifies(&secret, &id, at + 1, body, &signature));
        assert!(!verifies(&secret, &id, at, b"{}", &signature));
    }

    #[test]
    fn every_argument_counts_and_none_runs_into_the_next() {
        let secrets: Vec<_> = [
            ("key", "gen", "slug", "1"),
            ("kez", "gen", "slug", "1"),
            ("key", "gem", "slug", "1"),
            ("key", "gen", "slog", "1"),
            ("key", "gen", "slug", "2"),
            ("key", "gens", "lug", "1"),
            ("key", "gen", "slug1", ""),
            ("key", "", "genslug", "1"),
            ("key", "slug", "gen", "1"),
        ]
        .map(|(key, generation, slug, version)| {
            SigningSecret::derive(key.as_bytes(), generation, slug, version).reveal()
        })
        .into();
        assert_eq!(secrets.iter().collect::<HashSet<_>>().len(), secrets.len());

        let ids: Vec<_> = [
            ("gen", "slug", 1, 2, 3),
            ("gem", "slug", 1, 2, 3),
            ("gen", "slog", 1, 2, 3),
            ("gens", "lug", 1, 2, 3),
            ("gen", "slug", 2, 2, 3),
            ("gen", "slug", 1, 1, 3),
            ("gen", "slug", 1, 2, 4),
            ("gen", "slug", 1, 3, 2),
            ("gen", "slug\0\0\0\0\0\0\0\u{8}", 1, 2, 3),
        ]
        .map(|(generation, slug, epoch, first, last)| message_id(generation, slug, epoch, first, last))
        .into();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = SigningSecret::derive(b"key", "gen", "slug", "1");
        assert_eq!(format!("{secret:?} {secret:#?}"), "SigningSecret([hidden]) SigningSecret([hidden])");
    }

    proptest! {
        #[test]
        fn any_body_verifies(body in "\\PC{0,300}", first in any::<u64>(), key in any::<Vec<u8>>()) {
            let secret = SigningSecret::derive(&key, "gen", "slug", "1");
            let (id, at) = (message_id("gen", "slug", 1, first, u64::MAX), now());
            prop_assert_eq!(id.len(), 28);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert!(verifies(&secret, &id, at, body.as_bytes(), &secret.sign(&id, at, body.as_bytes())));
        }
    }
}
