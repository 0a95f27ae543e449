//! `POST /api/lease/{path}`: hands a worker what is due. What waits is `lease.js`.

use js_sys::Array;
use tailrace_model::{Problem, StreamPath, limits};
use wasm_bindgen::JsValue;

use crate::http::{Query, invalid_query};

/// How the worker wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The subscription.
    pub slug: String,
    /// For how many milliseconds.
    pub for_ms: u64,
    /// Seconds to wait when nothing is due.
    pub wait: u64,
    /// From any stream below as well.
    pub below: bool,
}

impl Wish {
    /// Reads the query.
    ///
    /// # Errors
    /// [`Problem::InvalidQuery`] naming the parameter.
    pub fn read(query: &Query) -> Result<Self, Problem> {
        let slug = query.get("slug").ok_or_else(|| invalid_query("slug", "the slug of a subscription"))?;
        let seconds = query.number("for", 1..=limits::LEASE_SECONDS_MAX)?.unwrap_or(limits::LEASE_SECONDS);
        Ok(Self {
            slug: slug.to_owned(),
            for_ms: seconds * 1_000,
            wait: query.number("wait", 0..=limits::WAIT_SECONDS)?.unwrap_or(0),
            below: query.flag("children")?,
        })
    }

    /// As `lease.js` takes it.
    #[must_use]
    pub fn to_array(&self, path: &StreamPath, cross_site: &JsValue) -> Array {
        let number = |number: u64| JsValue::from(u32::try_from(number).unwrap_or(u32::MAX));
        [
            JsValue::from_str(path.as_str()),
            JsValue::from_str(&self.slug),
            number(self.for_ms),
            number(self.wait),
            JsValue::from(self.below),
            cross_site.clone(),
        ]
        .into_iter()
        .collect()
    }
}
