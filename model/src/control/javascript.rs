//! The target `{"javascript": {…}}`: a subscription whose events are answered by code that the stream itself holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, invalid_in};
use crate::limits;
use crate::problem::Problem;

/// Hosted code as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Javascript {
    /// A module: `export default {initialState, reduce, afterAppend}`.
    pub source: String,
    /// Hosts that it may call; none, if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// What it may use.
    pub limits: JavascriptLimits,
}

/// What hosted code may use for one batch of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JavascriptLimits {
    /// Work, in milliseconds of an ordinary machine.
    pub cpu_ms: u64,
    /// Memory in MiB.
    pub memory_mb: u64,
}

impl Javascript {
    /// Reads what stands under `javascript`.
    pub(super) fn from_value(value: Value) -> Result<Self, Problem> {
        let Value::Object(object) = value else { return Err(invalid_in("target.javascript", "", "a JSON object")) };
        let mut fields = Fields::below("target.javascript", object);
        let source = fields.text("source", limits::SOURCE_BYTES)?.filter(|source| !source.trim().is_empty());
        let source = source
            .ok_or_else(|| fields.invalid("source", "a module: export default {initialState, reduce, afterAppend}"))?;
        let allow_hosts = hosts_from(&mut fields)?;
        let limits = limits_from(&mut fields)?;
        fields.finish()?;
        Ok(Self { source, allow_hosts, limits })
    }

    /// True when it may call a URL with this host and port (`None` = the scheme's own): the list names hosts, with a port
    /// where it is not the scheme's own, or `*.` and a domain.
    #[must_use]
    pub fn may_call(&self, hostname: &str, port: Option<u16>) -> bool {
        self.allow_hosts.iter().any(|allowed| {
            let (host, allowed_port) = match allowed.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
                _ => (allowed.as_str(), None),
            };
            let is_host = match host.strip_prefix("*.") {
                Some(domain) => hostname.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
                None => hostname == host,
            };
            is_host && allowed_port == port
        })
    }
}

fn hosts_from(fields: &mut Fields) -> Result<Vec<String>, Problem> {
    let mut hosts = fields.any_globs("allowHosts")?.unwrap_or_default();
    for host in &mut hosts {
        *host = host.to_ascii_lowercase();
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let is_host =
            !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
        if !is_host {
            return Err(fields.invalid("allowHosts", "hosts, like \"api.example.com\" or \"*.example.com\""));
        }
    }
    Ok(hosts)
}

fn limits_from(fields: &mut Fields) -> Result<JavascriptLimits, Problem> {
    let given = match fields.take("limits") {
        None => serde_json::Map::new(),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(fields.invalid("limits", "{cpuMs?, memoryMb?}")),
    };
    let mut inner = Fields::below("target.javascript.limits", given);
    let limits = JavascriptLimits {
        cpu_ms: inner.optional_integer("cpuMs", 1..=2_000)?.unwrap_or(250),
        memory_mb: inner.optional_integer("memoryMb", 4..=64)?.unwrap_or(32),
    };
    inner.finish()?;
    Ok(limits)
}
