//! Access: who calls, and what they may do. Decided here and nowhere else.

use chrono::{Duration, TimeZone, Utc};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt, TimeOptions, UntrustedToken};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tailrace_model::time::Millis;
use tailrace_model::types::Power;
use tailrace_model::{Problem, StreamPath};

use crate::config::{Config, Mode};

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To see a stream.
    Read,
    /// To append events that nothing obeys.
    Append,
    /// To say that a tool may run.
    Approve,
    /// To change what a stream does.
    Control,
    /// Everything: the deployment's own token.
    Full,
}

impl From<Power> for Need {
    fn from(power: Power) -> Self {
        match power {
            Power::Append => Self::Append,
            Power::Approve => Self::Approve,
            Power::Control => Self::Control,
        }
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name that goes to `metadata.tailrace.by`; none in the open mode.
    pub by: Option<String>,
    rights: Rights,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rights {
    Full,
    Scoped { path: StreamPath, can: Vec<Right> },
}

/// A right that a scoped token gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Right {
    Read,
    Append,
    Approve,
    Control,
}

/// What a scoped token says; `exp` is the JWT's own.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    by: String,
    path: String,
    can: Vec<Right>,
}

/// Where a request says that it comes from and goes to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The `Sec-Fetch-Site` header, for what changes something: browsers send no `Origin` with an image, or a link.
    pub site: Option<&'a str>,
}

/// Guards the open mode: a page of any website could drive a developer's system otherwise.
///
/// # Errors
/// [`Problem::Forbidden`] for a foreign host or origin; [`Problem::Unauthorized`] when the deployment is not set up.
pub fn admit(config: &Config, from: Origin) -> Result<(), Problem> {
    match config.mode {
        Mode::Tokens(_) => Ok(()),
        Mode::Closed => Err(Problem::Unauthorized {
            detail: "this deployment has no token yet: wrangler secret put TAILRACE_TOKEN".to_owned(),
        }),
        Mode::Open => {
            if !from.host.is_some_and(is_loopback) {
                return Err(Problem::Forbidden { detail: "the open mode answers to loopback hosts only".to_owned() });
            }
            let foreign = |origin: &str| {
                let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                !host.is_some_and(is_loopback)
            };
            if from.origin.is_some_and(foreign) || from.site == Some("cross-site") {
                return Err(Problem::Forbidden { detail: "the open mode takes no requests of other sites".to_owned() });
            }
            Ok(())
        }
    }
}

/// Finds out who calls, from the `Authorization` header.
///
/// # Errors
/// [`Problem::Unauthorized`] when a token is needed and there is none that holds.
pub fn identify(config: &Config, authorization: Option<&str>, now: Millis) -> Result<Caller, Problem> {
    let secret = match &config.mode {
        Mode::Open => return Ok(Caller { by: None, rights: Rights::Full }),
        Mode::Closed => return Err(unauthorized("this deployment has no token yet")),
        Mode::Tokens(secret) => secret,
    };
    let token = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| unauthorized("send the header Authorization: Bearer <token>"))?;
    if bool::from(token.as_bytes().ct_eq(secret.as_bytes())) {
        return Ok(Caller { by: Some("owner".to_owned()), rights: Rights::Full });
    }
    scoped(secret, token, now).ok_or_else(|| unauthorized("the token is not valid, or expired"))
}

/// True when both are the same, found out in a time that does not tell where they differ.
#[must_use]
pub fn is_same_secret(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// True when the key is the deployment's hook key, or everybody may make streams.
#[must_use]
pub fn may_create_by_hook(config: &Config, key: Option<&str>) -> bool {
    if config.mode == Mode::Open {
        return true;
    }
    match (&config.hook_key, key) {
        (Some(hook_key), Some(key)) => hook_key.as_bytes().ct_eq(key.as_bytes()).into(),
        _ => false,
    }
}

impl Caller {
    /// Refuses who may not write anything to the stream at `path`.
    ///
    /// # Errors
    /// [`Problem::Forbidden`]
    pub fn check_any_write(&self, path: &StreamPath) -> Result<(), Problem> {
        let needs = [Need::Append, Need::Approve, Need::Control];
        if needs.into_iter().any(|need| self.check(need, path).is_ok()) {
            Ok(())
        } else {
            self.check(Need::Append, path)
        }
    }

    /// Refuses what the caller may not do with the stream at `path`.
    ///
    /// # Errors
    /// [`Problem::Forbidden`] naming what it would need.
    pub fn check(&self, need: Need, path: &StreamPath) -> Result<(), Problem> {
        let Rights::Scoped { path: scope, can } = &self.rights else { return Ok(()) };
        let right = match need {
            Need::Read => Right::Read,
            Need::Append => Right::Append,
            Need::Approve => Right::Approve,
            Need::Control => Right::Control,
            Need::Full => return Err(forbidden("this needs the deployment's own token")),
        };
        if !path.is_at_or_below(scope) {
            return Err(forbidden(&format!("the token is for {scope} and below")));
        }
        if !can.contains(&right) {
            return Err(forbidden(&format!("the token does not give the right {right:?}").to_lowercase()));
        }
        Ok(())
    }
}

fn scoped(secret: &str, token: &str, now: Millis) -> Option<Caller> {
    let token = UntrustedToken::new(token).ok()?;
    let key = Hs256Key::new(secret.as_bytes());
    let token = Hs256.validator::<Claims>(&key).validate(&token).ok()?;
    let clock = TimeOptions::new(Duration::zero(), move || Utc.timestamp_millis_opt(now).single().unwrap_or_default());
    let claims = token.claims();
    claims.validate_expiration(&clock).ok()?;
    let Claims { by, path, can } = &claims.custom;
    let path = StreamPath::from_decoded(path).ok()?;
    Some(Caller { by: Some(by.clone()), rights: Rights::Scoped { path, can: can.clone() } })
}

/// `localhost`, `127.x.y.z` or `[::1]`, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn unauthorized(detail: &str) -> Problem {
    Problem::Unauthorized { detail: detail.to_owned() }
}

fn forbidden(detail: &str) -> Problem {
    Problem::Forbidden { detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_compact::{Claims as JwtClaims, Header};

    const SECRET: &str = "a secret of this test";
    const NOW: Millis = 1_800_000_000_000;

    fn config(mode: Mode) -> Config {
        Config { mode, hook_key: Some("hook key".to_owned()), signing_keys: Vec::new(), loopback_targets: false }
    }

    fn tokens() -> Config {
        config(Mode::Tokens(SECRET.to_owned()))
    }

    fn token(secret: &str, path: &str, can: &[Right], expires: Millis) -> String {
        let custom = Claims { by: "bob".to_owned(), path: path.to_owned(), can: can.to_vec() };
        let mut claims = JwtClaims::new(custom);
        claims.expiration = Utc.timestamp_millis_opt(expires).single();
        Hs256.token(&Header::empty(), &claims, &Hs256Key::new(secret.as_bytes())).unwrap()
    }

    fn identify_with(token: &str) -> Result<Caller, Problem> {
        identify(&tokens(), Some(&format!("Bearer {token}")), NOW)
    }

    fn path(text: &str) -> StreamPath {
        StreamPath::parse(text).unwrap()
    }

    #[test]
    fn the_deployments_token_gives_everything() {
        let caller = identify_with(SECRET).unwrap();
        assert_eq!(caller.by.as_deref(), Some("owner"));
        assert!(caller.check(Need::Full, &path("/")).is_ok());
    }

    #[test]
    fn a_scoped_token_gives_its_rights_at_its_path_and_below() {
        let caller = identify_with(&token(SECRET, "/a", &[Right::Append], NOW + 1)).unwrap();
        assert_eq!(caller.by.as_deref(), Some("bob"));
        assert!(caller.check(Need::Append, &path("/a")).is_ok());
        assert!(caller.check(Need::Append, &path("/a/b")).is_ok());
        for (need, at) in [
            (Need::Append, "/"),
            (Need::Append, "/ab"),
            (Need::Read, "/a"),
            (Need::Control, "/a"),
            (Need::Approve, "/a"),
            (Need::Full, "/a"),
        ] {
            assert!(caller.check(need, &path(at)).is_err(), "{need:?} {at}");
        }
    }

    #[test]
    fn what_does_not_hold_is_refused() {
        let good = token(SECRET, "/", &[Right::Read], NOW + 1);
        let (head, signature) = good.rsplit_once('.').unwrap();
        for bad in [
            token("another secret", "/", &[Right::Read], NOW + 1),
            token(SECRET, "/", &[Right::Read], NOW - 1_000),
            token(SECRET, "/_bad", &[Right::Read], NOW + 1),
            format!("{head}x.{signature}"),
            format!("{head}."),
            "eyJhbGciOiJub25lIn0.e30.".to_owned(),
            String::new(),
            format!("{SECRET} "),
        ]
        .iter()
        .filter(|bad| bad.trim() != SECRET)
        {
            assert!(identify_with(bad).is_err(), "{bad}");
        }
        assert!(identify(&tokens(), None, NOW).is_err());
        assert!(identify(&tokens(), Some(&format!("Basic {SECRET}")), NOW).is_err());
        assert!(identify(&config(Mode::Closed), Some("Bearer x"), NOW).is_err());
    }

    #[test]
    fn a_token_that_never_expires_is_refused() {
        let custom = Claims { by: "bob".into(), path: "/".into(), can: vec![Right::Read] };
        let forever =
            Hs256.token(&Header::empty(), &JwtClaims::new(custom), &Hs256Key::new(SECRET.as_bytes())).unwrap();
        assert!(identify_with(&forever).is_err());
    }

    #[test]
    fn the_open_mode_is_for_this_machine_alone() {
        let admitted =
            |host, origin| admit(&config(Mode::Open), Origin { host: Some(host), origin, site: None }).is_ok();
        for host in ["localhost:8787", "127.0.0.1", "127.0.0.1:1", "[::1]:8787", "LOCALHOST"] {
            assert!(admitted(host, None), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "", "[::2]"] {
            assert!(!admitted(host, None), "{host}");
        }
        assert!(admitted("localhost", Some("http://127.0.0.1:3000")));
        for origin in ["null", "http://example.com", "file://", "http://localhost.evil.com"] {
            assert!(!admitted("localhost", Some(origin)), "{origin}");
        }
        let image = Origin { host: Some("localhost"), origin: None, site: Some("cross-site") };
        assert!(admit(&config(Mode::Open), image).is_err());
        assert!(admit(&config(Mode::Open), Origin { site: Some("same-origin"), ..image }).is_ok());
        assert!(admit(&config(Mode::Open), Origin::default()).is_err());
        assert!(admit(&config(Mode::Closed), Origin { host: Some("localhost"), ..Origin::default() }).is_err());
    }

    #[test]
    fn a_hook_makes_a_stream_only_with_the_key() {
        assert!(may_create_by_hook(&tokens(), Some("hook key")));
        assert!(!may_create_by_hook(&tokens(), Some("hook keY")));
        assert!(!may_create_by_hook(&tokens(), None));
        assert!(may_create_by_hook(&config(Mode::Open), None));
    }
}
