//! The page for people, as files that are part of the Worker.

use tailrace_model::Problem;

use crate::http::{Response, text};

/// Everything of our own, nothing inline, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the styles are. They show no secret, so a closed deployment serves them too.
pub const STYLES: &str = "/page.css";

/// A file of the page; `None` when there is none at this path.
#[must_use]
pub fn file(path: &str) -> Option<Result<Response, Problem>> {
    let (content_type, body) = match path {
        "/page.js" => ("text/javascript; charset=utf-8", include_str!("../inspector/page.js")),
        STYLES => ("text/css; charset=utf-8", include_str!("../inspector/page.css")),
        "/" => ("text/html; charset=utf-8", include_str!("../inspector/index.html")),
        _ if path == "/streams" || path.starts_with("/streams/") => {
            ("text/html; charset=utf-8", include_str!("../inspector/index.html"))
        }
        _ => return None,
    };
    Some(answer(200, content_type, body))
}

/// What a deployment without a token shows: how to set one.
///
/// # Errors
/// [`Problem::Internal`]
pub fn closed() -> Result<Response, Problem> {
    answer(200, "text/html; charset=utf-8", include_str!("../inspector/closed.html"))
}

fn answer(status: u16, content_type: &str, body: &str) -> Result<Response, Problem> {
    let headers = [
        ("content-type", content_type),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ];
    text(status, &headers, body)
}
