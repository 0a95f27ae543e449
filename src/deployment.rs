//! This deployment, as control events and pushes name things of it: URLs, secrets, conditions.

use std::cell::RefCell;

use tailrace_model::deployment::Deployment;
use tailrace_model::secret::{self, Secret};
use tailrace_model::target::{Allowed, Url};
use wasm_bindgen::JsValue;

use crate::config::Config;
use crate::platform::{self, ParsedUrl, where_js};

/// Own hosts that are remembered, at most.
const OWN_HOSTS: usize = 8;

thread_local! {
    /// Hosts under which this deployment was called: it never pushes to itself.
    static OWN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// This deployment.
pub struct Here<'a> {
    env: &'a JsValue,
    config: &'a Config,
}

impl<'a> Here<'a> {
    /// The deployment that is called as `host`.
    #[must_use]
    pub fn new(env: &'a JsValue, config: &'a Config, host: Option<&str>) -> Self {
        OWN.with_borrow_mut(|own| match host {
            Some(host) if own.len() < OWN_HOSTS && !own.iter().any(|known| known == host) => own.push(host.to_owned()),
            _ => {}
        });
        Self { env, config }
    }
}

impl Deployment for Here<'_> {
    fn url(&self, text: &str) -> Option<Url> {
        let url = ParsedUrl::new(text).ok()?;
        let scheme = url.protocol();
        Some(Url {
            href: url.href(),
            scheme: scheme.strip_suffix(':').unwrap_or(&scheme).to_owned(),
            has_credentials: !url.username().is_empty() || !url.password().is_empty(),
            hostname: url.hostname(),
            port: url.port().parse().ok(),
        })
    }

    fn allowed(&self) -> Allowed {
        Allowed { loopback: self.config.loopback_targets, own_hosts: OWN.with_borrow(Clone::clone) }
    }

    fn secret(&self, name: &str) -> Option<Result<Secret, String>> {
        let declared = platform::variable(self.env, &format!("{}{name}", secret::PREFIX))?;
        Some(Secret::parse(&declared))
    }

    fn check_condition(&self, expression: &str) -> Result<(), String> {
        where_js::check(expression).map_or(Ok(()), Err)
    }
}
