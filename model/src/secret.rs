//! Secrets that a deployment declares together with their use, and the templates that name them.
//! No value of a secret stands in an error or in `Debug`.

use std::fmt;

use serde_json::Value;

/// The secret `NAME` is the environment variable `TAILRACE_SECRET_NAME`.
pub const PREFIX: &str = "TAILRACE_SECRET_";

/// Characters of a secret's name.
const NAME_CHARS: usize = 64;
/// How a template names a secret: this, the name, and [`CLOSE`].
const OPEN: &str = "{{";
const KIND: &str = "secret:";
const CLOSE: &str = "}}";

/// How a use is declared.
const HOW: &str = "declare its use by making the variable JSON such as \
                   {\"value\": \"…\", \"send\": [\"api.example.com\", \"*.example.org\"], \"verify\": [\"slack\"]}";

/// A secret and what it may be used for. Its `Debug` does not show the value.
#[derive(Clone)]
pub struct Secret {
    value: String,
    send: Vec<String>,
    verify: Vec<String>,
}

impl Secret {
    /// Reads the variable: `value`, the hosts it may be sent to (`send`), and the presets that verify hooks with it
    /// (`verify`). A list that is missing is empty.
    ///
    /// # Errors
    /// What is wrong and how to declare a use. Shows nothing of the text, since it may all be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Err(format!("the secret has no declared use; {HOW}"));
        };
        let Some(Value::String(value)) = fields.remove("value") else {
            return Err(format!("`value` of the secret is not a string; {HOW}"));
        };
        if value.is_empty() {
            return Err("`value` of the secret is empty".to_owned());
        }
        let send = list(fields.remove("send"), "send", "a host, or `*.` and a host, in ASCII and without port", host)?;
        let verify = list(fields.remove("verify"), "verify", "the name of a preset", |preset| {
            Some(preset.to_owned()).filter(|preset| !preset.is_empty())
        })?;
        if !fields.is_empty() {
            return Err(format!("the secret has fields beside `value`, `send` and `verify`; {HOW}"));
        }
        Ok(Self { value, send, verify })
    }

    /// The value, if it may be sent to this host. `*.x` covers what lies below `x`, but not `x` itself. Neither case
    /// nor trailing dots matter.
    #[must_use]
    pub fn for_host(&self, host: &str) -> Option<&str> {
        let host = canonical(host);
        let covers = |declared: &String| match declared.strip_prefix('*') {
            Some(below) => host.strip_suffix(below).is_some_and(|rest| !rest.is_empty()),
            None => *declared == host,
        };
        self.send.iter().any(covers).then_some(&self.value)
    }

    /// The value, if hooks of this preset may be verified with it.
    #[must_use]
    pub fn for_preset(&self, preset: &str) -> Option<&str> {
        self.verify.iter().any(|declared| declared == preset).then_some(&self.value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("send", &self.send).field("verify", &self.verify).finish_non_exhaustive()
    }
}

/// The names of the `{{secret:NAME}}` in a template, in their order.
///
/// # Errors
/// Says where a `{{` is not closed, is no secret, or has a name that is not 1–64 of `A-Z 0-9 _`. Shows nothing of the
/// template, since somebody may have written the value into it.
pub fn names(template: &str) -> Result<Vec<&str>, String> {
    let pieces = pieces(template)?;
    Ok(pieces.into_iter().filter_map(|piece| if let Piece::Secret(name) = piece { Some(name) } else { None }).collect())
}

/// Puts the secrets into the template of a header's value. `value_of` gives the value for a name, or says why not. A
/// value is not itself a template.
///
/// # Errors
/// Those of [`names`] and of `value_of`, and a control character, such as a line break, in the template or in a value:
/// it could end the header.
pub fn fill(template: &str, mut value_of: impl FnMut(&str) -> Result<String, String>) -> Result<String, String> {
    let mut filled = String::with_capacity(template.len());
    for piece in pieces(template)? {
        match piece {
            Piece::Text(text) if text.contains(char::is_control) => {
                return Err("the template has a control character, such as a line break".to_owned());
            }
            Piece::Text(text) => filled.push_str(text),
            Piece::Secret(name) => {
                let value = value_of(name)?;
                if value.contains(char::is_control) {
                    return Err(format!(
                        "the value of the secret {name} has a control character, such as a line break"
                    ));
                }
                filled.push_str(&value);
            }
        }
    }
    Ok(filled)
}

/// A part of a template.
enum Piece<'a> {
    Text(&'a str),
    Secret(&'a str),
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let at = template.len() - after.len() - OPEN.len();
        let wrong = |what: &str| format!("the `{{{{` at byte {at} of the template {what}");
        let (inner, after) = after.split_once(CLOSE).ok_or_else(|| wrong("is not closed by `}}`"))?;
        let name = inner.strip_prefix(KIND).ok_or_else(|| wrong("is not a `{{secret:NAME}}`"))?;
        if !is_name(name) {
            return Err(wrong(&format!("has a name that is not 1 to {NAME_CHARS} of the characters A-Z 0-9 _")));
        }
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Secret(name));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_CHARS).contains(&name.len()) && name.bytes().all(allowed)
}

/// A list of strings, each as `read` makes it.
fn list(
    field: Option<Value>,
    name: &str,
    expected: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let elements = match field {
        None => Vec::new(),
        Some(Value::Array(elements)) => elements,
        Some(_) => return Err(format!("`{name}` of the secret is not a list; {HOW}")),
    };
    let read = |(index, element): (usize, Value)| {
        let text = element.as_str().and_then(&read);
        text.ok_or_else(|| format!("`{name}[{index}]` of the secret is not {expected}"))
    };
    elements.into_iter().enumerate().map(read).collect()
}

fn canonical(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// A declared host in its one spelling; `None` when it could match nothing, or more than it seems to.
fn host(declared: &str) -> Option<String> {
    let declared = canonical(declared);
    if declared.starts_with('[') {
        let inner = declared.strip_prefix('[')?.strip_suffix(']')?;
        let address: std::net::Ipv6Addr = inner.parse().ok()?;
        // As `URL.hostname` has it: compressed, and never with an IPv4 address in it.
        return (address.to_ipv4_mapped().is_none()).then(|| format!("[{address}]"));
    }
    let name = declared.strip_prefix("*.").unwrap_or(&declared);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let labels = |text: &str| text.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed));
    // Below an address lies nothing, but `*.0.0.1` looks as if.
    let numeric = |text: &str| text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    let address = declared.parse::<std::net::Ipv4Addr>().is_ok();
    (labels(name) && (address || !numeric(name))).then_some(declared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const VALUE: &str = "hunter2-\u{1F511}";

    fn secret(send: &[&str], verify: &[&str]) -> Secret {
        Secret::parse(&json!({"value": VALUE, "send": send, "verify": verify}).to_string()).unwrap()
    }

    #[test]
    fn a_secret_goes_only_to_declared_hosts() {
        let secret = secret(&["API.example.com", "*.Example.org.", "127.0.0.1", "[0:0::1]", "localhost"], &[]);
        for host in [
            "api.example.com",
            "API.EXAMPLE.COM",
            "api.example.com.",
            "a.example.org",
            "a.b.example.org",
            "A.Example.Org.",
            "127.0.0.1",
            "[::1]",
            "localhost",
        ] {
            assert_eq!(secret.for_host(host), Some(VALUE), "{host}");
        }
        for host in [
            "",
            ".",
            "example.com",
            "x.api.example.com",
            "api.example.com.evil.net",
            "apixexample.com",
            "example.org",
            ".example.org",
            "evilexample.org",
            "example.org.evil.net",
            "*.example.com",
            "127.0.0.2",
            "[::2]",
            "a.localhost",
        ] {
            assert_eq!(secret.for_host(host), None, "{host}");
        }
    }

    #[test]
    fn a_secret_verifies_only_for_declared_presets() {
        let secret = secret(&["api.example.com"], &["slack", "github"]);
        assert_eq!(secret.for_preset("slack"), Some(VALUE));
        assert_eq!(secret.for_preset("github"), Some(VALUE));
        for preset in ["", "stripe", "Slack", "slack2", "api.example.com"] {
            assert_eq!(secret.for_preset(preset), None, "{preset}");
        }
    }

    #[test]
    fn nothing_declared_is_nothing_allowed() {
        for text in [r#"{"value":"x"}"#, r#"{"value":"x","send":[],"verify":[]}"#] {
            let secret = Secret::parse(text).unwrap();
            assert_eq!((secret.for_host("example.com"), secret.for_preset("slack")), (None, None));
            assert_eq!(secret.for_host(""), None);
        }
    }

    #[test]
    fn what_is_not_a_declaration_is_refused_and_not_shown() {
        for text in [
            "hunter2",
            "",
            "\"hunter2\"",
            "42",
            "null",
            "[\"hunter2\"]",
            "{\"value\":\"hunter2\"",
            "{}",
            r#"{"hunter2":1}"#,
            r#"{"value":["hunter2"]}"#,
            r#"{"value":{"hunter2":1}}"#,
            r#"{"value":""}"#,
            r#"{"value":"hunter2","send":"hunter2"}"#,
            r#"{"value":"hunter2","send":null}"#,
            r#"{"value":"hunter2","send":{"hunter2":1}}"#,
            r#"{"value":"hunter2","send":[1]}"#,
            r#"{"value":"hunter2","verify":[""]}"#,
            r#"{"value":"hunter2","verify":[["hunter2"]]}"#,
            r#"{"value":"hunter2","sent":["hunter2.com"]}"#,
        ] {
            let error = Secret::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Secret::parse("hunter2").unwrap_err().contains(r#""send": ["api.example.com", "*.example.org"]"#));
    }

    #[test]
    fn a_host_that_matches_nothing_or_too_much_is_refused() {
        for host in [
            "",
            ".",
            "*",
            "*.",
            "**.example.com",
            "a.*.example.com",
            "a*.example.com",
            "*example.com",
            "https://example.com",
            "example.com:443",
            "example.com/x",
            "user@example.com",
            "exa mple.com",
            "a..b",
            ".example.com",
            "bücher.de",
            "*.0.0.1",
            "*.1",
            "127.1",
            "[::1",
            "[::1]:443",
            "*.[::1]",
            "::1",
            "[::ffff:1.2.3.4]",
        ] {
            let text = json!({"value": VALUE, "send": ["good.example.com", host]}).to_string();
            let error = Secret::parse(&text).unwrap_err();
            assert!(error.contains("`send[1]`"), "{host}: {error}");
        }
    }

    #[test]
    fn debug_does_not_show_the_value() {
        let shown = format!("{:?} {0:#?}", secret(&["example.com"], &["slack"]));
        assert!(!shown.contains("hunter2") && shown.contains("example.com") && shown.contains("slack"), "{shown}");
    }

    #[test]
    fn a_template_names_its_secrets() {
        let longest = "X".repeat(64);
        assert_eq!(names(""), Ok(vec![]));
        assert_eq!(names("plain } text { }} {"), Ok(vec![]));
        assert_eq!(names("Bearer {{secret:A_1}}"), Ok(vec!["A_1"]));
        assert_eq!(names("{{secret:B}}{{secret:A}}:ä{{secret:B}}"), Ok(vec!["B", "A", "B"]));
        assert_eq!(names(&format!("{{{{secret:{longest}}}}}")), Ok(vec![longest.as_str()]));
    }

    #[test]
    fn what_is_not_a_secret_s_name_is_refused_and_not_shown() {
        let too_long = format!("{{{{secret:{}}}}}", "X".repeat(65));
        for template in [
            "{{",
            "a {{secret:A",
            "{{secret:A}",
            "{{}}",
            "{{A}}",
            "{{hunter2}}",
            "{{secret:}}",
            "{{secret:hunter2}}",
            "{{secret:A-B}}",
            "{{ secret:A }}",
            "{{secret: A}}",
            "{{Secret:A}}",
            "{{secret:Ä}}",
            "{{{secret:A}}}",
            "{{secret:{{secret:A}}}}",
            "{{secret:A}}{{secret:hunter2",
            &too_long,
        ] {
            let error = names(template).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert_eq!(fill(template, |_| Ok(VALUE.to_owned())), Err(error), "{template}");
        }
        assert!(names("ab{{x}}").unwrap_err().contains("byte 2"));
    }

    #[test]
    fn a_template_is_filled_once() {
        let value_of = |name: &str| match name {
            "A" => Ok("{{secret:B}}".to_owned()),
            "B" => Ok("b".to_owned()),
            other => Err(format!("there is no secret {other}")),
        };
        assert_eq!(fill("x {{secret:B}}-{{secret:A}} }}", value_of), Ok("x b-{{secret:B}} }}".to_owned()));
        assert_eq!(fill("plain", value_of), Ok("plain".to_owned()));
        assert_eq!(fill("{{secret:B}}{{secret:C}}", value_of), Err("there is no secret C".to_owned()));
    }

    #[test]
    fn no_control_character_gets_into_a_header() {
        for control in ["\r", "\n", "\0", "\t", "\u{7f}", "\u{85}"] {
            let error = fill("Bearer {{secret:A}}", |_| Ok(format!("hunter2{control}x: y"))).unwrap_err();
            assert!(error.contains("secret A") && !error.contains("hunter2"), "{error}");
            let error = fill(&format!("hunter2{control}{{{{secret:A}}}}"), |_| Ok("v".into())).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn filling_gives_each_name_its_value(texts in proptest::collection::vec("[^{\\p{Cc}]{0,8}", 1..5)) {
            let template = texts.join("{{secret:KEY}}");
            prop_assert_eq!(names(&template).unwrap().len(), texts.len() - 1);
            prop_assert_eq!(fill(&template, |_| Ok("v".to_owned())).unwrap(), texts.join("v"));
        }

        #[test]
        fn no_template_panics(template in "([{}]|secret:|[A-Z]|\\PC){0,30}") {
            let filled = fill(&template, |_| Ok("v".to_owned()));
            prop_assert_eq!(filled.is_ok(), names(&template).is_ok());
        }
    }
}
