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
        Self { mode, hook_key: variable(env, "TAILRACE_HOOK_KEY") }
    }
}
