//! The page for people: the inspector's files, which are part of the Worker.

use js_sys::{Array, Object, Reflect};
use tailrace_model::Problem;
use wasm_bindgen::JsValue;

use crate::http::{Response, make};

/// The files as the build made them: an object with `[content type, text]` by path. Handed in by `entry.js`, so that the
/// page can be built anew without this.
pub type Files = Object;

/// Everything of our own, nothing inline, no text taken for markup, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Files below it have their content's hash in their names, so they never change.
const HASHED: &str = "/inspector/";

/// What the page of a stream is.
const INDEX: &str = "/index.html";

/// What a deployment without a token shows, and what that needs. They show no secret.
const CLOSED: &str = "/closed.html";

/// A file of the page; `None` when there is none at this path.
#[must_use]
pub fn file(files: &Files, path: &str) -> Option<Result<Response, Problem>> {
    answer(files, if is_page(path) { INDEX } else { path })
}

/// What a deployment without a token serves: how to set one, at every address of the page.
#[must_use]
pub fn closed(files: &Files, path: &str) -> Option<Result<Response, Problem>> {
    let is_beside = path.starts_with(HASHED) || path == "/icon.svg";
    if is_page(path) { answer(files, CLOSED) } else { is_beside.then(|| answer(files, path)).flatten() }
}

fn is_page(path: &str) -> bool {
    path == "/" || path == "/streams" || path.starts_with("/streams/")
}

fn answer(files: &Files, path: &str) -> Option<Result<Response, Problem>> {
    let name = JsValue::from_str(path);
    // Nothing that an object inherits is a file.
    if !Object::has_own(files, &name) {
        return None;
    }
    let file = Array::from(&Reflect::get(files, &name).ok()?);
    let content_type = file.get(0).as_string().unwrap_or_default();
    Some(respond(&content_type, path, &file.get(1)))
}

fn respond(content_type: &str, path: &str, body: &JsValue) -> Result<Response, Problem> {
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        ("content-type", content_type),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", caching),
    ];
    make(200, &headers, body)
}
