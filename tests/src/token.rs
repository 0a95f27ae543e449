//! Scoped tokens as `npm run token` makes them: JWT, HS256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// Signs a token that holds for an hour.
#[must_use]
pub fn sign(secret: &str, by: &str, path: &str, can: &[&str]) -> String {
    sign_claims(secret, &json!({"by": by, "path": path, "can": can, "exp": now() + 3_600}))
}

/// Signs any claims.
#[must_use]
pub fn sign_claims(secret: &str, claims: &Value) -> String {
    sign_with_header(secret, &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

/// Signs any header and claims.
#[must_use]
pub fn sign_with_header(secret: &str, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// A token whose claims were changed after signing.
#[must_use]
pub fn tamper(token: &str, claims: &Value) -> String {
    let mut parts = token.split('.');
    let (header, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    format!("{header}.{}.{signature}", BASE64.encode(claims.to_string()))
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
