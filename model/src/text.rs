//! Texts of strangers: kept short, and without what they repeat of ours.

use crate::json::quoted;

/// The text up to `max_bytes`, not cut within a character.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The text without these secrets, as they are or as JSON writes them. To be asked before it is cut: half a secret is not
/// found any more.
#[must_use]
pub fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().filter(|it| !it.is_empty()).fold(text.to_owned(), |text, it| {
        let quoted = quoted(it);
        text.replace(it, "[secret]").replace(quoted.trim_matches('"'), "[secret]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_as_it_is_and_as_json_writes_it() {
        let secrets = ["a\"b".to_owned(), String::new()];
        assert_eq!(without(r#"{"said":"a\"b"} a"b"#, &secrets), r#"{"said":"[secret]"} [secret]"#);
    }
}
