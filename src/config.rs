//! How the deployment is set up.

use std::cell::OnceCell;

use wasm_bindgen::JsValue;

use crate::platform::variable;

/// Who may do what with this deployment as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Callers show a token; this is the secret.
    Tokens(String),
    /// A developer's own machine: everybody on it may do everything.
    Open,
    /// Neither is set up: nothing is served but how to.
    Closed,
}

thread_local! {
    static CONFIG: OnceCell<Config> = const { OnceCell::new() };
}

/// How the deployment is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// See [`Mode`].
    pub mode: Mode,
    /// Lets third parties make a stream by sending to it.
    pub hook_key: Option<String>,
    /// The keys that signing secrets are derived from: the present one, and the one before it while both are in use.
    pub signing_keys: Vec<Vec<u8>>,
    /// Subscriptions may name loopback targets: for development.
    pub loopback_targets: bool,
}

impl Config {
    /// The deployment's set-up, read once: it does not change while an isolate lives.
    #[must_use]
    pub fn of(env: &JsValue) -> Self {
        CONFIG.with(|config| config.get_or_init(|| Self::read(env)).clone())
    }

    /// Reads the deployment's variables and secrets. A token always wins over the open mode.
    fn read(env: &JsValue) -> Self {
        let mode = match variable(env, "TAILRACE_TOKEN") {
            Some(token) => Mode::Tokens(token),
            None if variable(env, "TAILRACE_OPEN").as_deref() == Some("1") => Mode::Open,
            None => Mode::Closed,
        };
        let named = |name: &str| variable(env, name).map(String::into_bytes);
        let present = named("TAILRACE_SIGNING_KEY").unwrap_or_else(|| match &mode {
            Mode::Tokens(token) => token.clone().into_bytes(),
            // Everybody on this machine may have the secrets revealed anyway.
            Mode::Open | Mode::Closed => b"open".to_vec(),
        });
        let signing_keys = [Some(present), named("TAILRACE_SIGNING_KEY_PREVIOUS")].into_iter().flatten().collect();
        Self {
            mode,
            hook_key: variable(env, "TAILRACE_HOOK_KEY"),
            signing_keys,
            loopback_targets: variable(env, "TAILRACE_LOOPBACK_TARGETS").as_deref() == Some("1"),
        }
    }
}
