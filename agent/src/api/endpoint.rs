//! Where an API is reached.

use tailrace_model::control::agent::Api;

/// The URL of an API below a base. A base that already names the endpoint stays as it is, an origin alone is taken for
/// one whose API begins at `/v1`, and a query string stays behind the path.
pub(super) fn url(api: Api, base: &str) -> String {
    let base = base.split('#').next().unwrap_or(base);
    let (path, query) = base.split_once('?').unwrap_or((base, ""));
    let path = path.trim_end_matches('/');
    let endpoint = match api {
        Api::Chat => "/chat/completions",
        Api::Responses => "/responses",
        Api::Messages => "/messages",
    };
    let is_origin = !path.split_once("://").map_or(path, |(_, rest)| rest).contains('/');
    let (between, endpoint) = match api {
        _ if path.ends_with(endpoint) => ("", ""),
        Api::Messages if !path.ends_with("/v1") => ("/v1", endpoint),
        Api::Chat | Api::Responses if is_origin => ("/v1", endpoint),
        _ => ("", endpoint),
    };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{path}{between}{endpoint}{mark}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_found_below_every_kind_of_base() {
        for (api, base, expected) in [
            (Api::Chat, "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            (Api::Chat, "http://localhost:1234", "http://localhost:1234/v1/chat/completions"),
            (Api::Chat, "http://localhost:1234//", "http://localhost:1234/v1/chat/completions"),
            (Api::Chat, "https://x.test/openai/", "https://x.test/openai/chat/completions"),
            (Api::Chat, "https://x.test/v1/chat/completions/", "https://x.test/v1/chat/completions"),
            (Api::Chat, "https://x.test?a=1", "https://x.test/v1/chat/completions?a=1"),
            (Api::Chat, "https://x.test/d/m?api-version=1#f", "https://x.test/d/m/chat/completions?api-version=1"),
            (Api::Chat, "https://x.test/chat/completions?a=/b", "https://x.test/chat/completions?a=/b"),
            (Api::Responses, "https://api.openai.com/v1", "https://api.openai.com/v1/responses"),
            (Api::Responses, "https://x.test", "https://x.test/v1/responses"),
            (Api::Responses, "https://x.test/v1/responses", "https://x.test/v1/responses"),
            (Api::Messages, "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
            (Api::Messages, "https://api.anthropic.com/v1/", "https://api.anthropic.com/v1/messages"),
            (Api::Messages, "https://x.test/anthropic?", "https://x.test/anthropic/v1/messages"),
            (Api::Messages, "https://x.test/v1/messages?beta=true", "https://x.test/v1/messages?beta=true"),
        ] {
            assert_eq!(url(api, base), expected);
        }
    }
}
