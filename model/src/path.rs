//! Where a stream lives.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::limits;
use crate::problem::Problem;

/// A stream's path in its one canonical spelling: `/` or `/seg/seg…`, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPath(String);

impl StreamPath {
    /// The path every other path lies below.
    #[must_use]
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Reads a path as it stands in a URL, percent-encoded or not, so that `a%2Fb` is `/a/b`.
    /// A trailing slash is dropped; a missing leading one is added.
    ///
    /// # Errors
    /// [`Problem::InvalidPath`] with the rule that is broken.
    pub fn parse(encoded: &str) -> Result<Self, Problem> {
        let decoded =
            percent_decode_str(encoded).decode_utf8().map_err(|_| invalid("a path is UTF-8 after percent-decoding"))?;
        Self::from_decoded(&decoded)
    }

    /// Reads a path that is not percent-encoded, as events name it in `streamPath`.
    ///
    /// # Errors
    /// [`Problem::InvalidPath`] with the rule that is broken.
    pub fn from_decoded(text: &str) -> Result<Self, Problem> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return if text == "//" { Err(invalid("a path has no empty segments")) } else { Ok(Self::root()) };
        }
        if inner.len() >= limits::PATH_BYTES {
            return Err(invalid(format!("a path has at most {} bytes", limits::PATH_BYTES)));
        }
        let mut segments = 0;
        for segment in inner.split('/') {
            segments += 1;
            check_segment(segment)?;
        }
        if segments > limits::PATH_SEGMENTS {
            return Err(invalid(format!(
                "a path has at most {} segments, this one has {segments}",
                limits::PATH_SEGMENTS
            )));
        }
        Ok(Self(format!("/{inner}")))
    }

    /// Reads a path as one stream names another: from the root with a leading `/`, else from this one, where `.` is this
    /// stream and `..` its parent.
    ///
    /// # Errors
    /// [`Problem::InvalidPath`] with the rule that is broken.
    pub fn resolve(&self, text: &str) -> Result<Self, Problem> {
        if text.starts_with('/') {
            return Self::from_decoded(text);
        }
        if text.is_empty() {
            return Err(invalid("a path is not empty"));
        }
        let mut segments: Vec<&str> = self.0.split('/').filter(|it| !it.is_empty()).collect();
        for segment in text.strip_suffix('/').unwrap_or(text).split('/') {
            match segment {
                "." => {}
                ".." => {
                    segments.pop().ok_or_else(|| invalid("there is nothing above the root"))?;
                }
                "" => return Err(invalid("a path has no empty segments")),
                name => segments.push(name),
            }
        }
        Self::from_decoded(&format!("/{}", segments.join("/")))
    }

    /// The canonical spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stream this one is a child of; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0 == "/" {
            return None;
        }
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Some(Self::root()),
            Some((parent, _)) => Some(Self(parent.to_owned())),
        }
    }

    /// True for the path itself and for all below it.
    #[must_use]
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        if ancestor.0 == "/" {
            return true;
        }
        self.0.strip_prefix(ancestor.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_segment(segment: &str) -> Result<(), Problem> {
    if segment.is_empty() {
        return Err(invalid("a path has no empty segments"));
    }
    if segment == "." || segment == ".." {
        return Err(invalid("a segment is not `.` or `..`"));
    }
    if segment.starts_with('_') {
        return Err(invalid("a segment does not start with `_`"));
    }
    if segment.chars().count() > limits::SEGMENT_CHARS {
        return Err(invalid(format!("a segment has at most {} characters", limits::SEGMENT_CHARS)));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~@:-".contains(&byte);
    if !segment.bytes().all(allowed) {
        return Err(invalid("a segment is made of the characters A-Z a-z 0-9 . _ ~ @ : -"));
    }
    Ok(())
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::InvalidPath { detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<String> {
        StreamPath::parse(text).ok().map(|path| path.0)
    }

    #[test]
    fn a_path_is_named_from_another() {
        let here = StreamPath::parse("/a/b").unwrap();
        let from = |text: &str| here.resolve(text).ok().map(|path| path.0);
        for (text, path) in
            [("c", "/a/b/c"), ("./c/d/", "/a/b/c/d"), ("../c", "/a/c"), ("../..", "/"), (".", "/a/b"), ("/x", "/x")]
        {
            assert_eq!(from(text).as_deref(), Some(path), "{text}");
        }
        for bad in ["", "../../..", "c//d", "_x", "a b"] {
            assert_eq!(from(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for spelling in ["/a/b", "/a/b/", "a/b", "/a%2Fb", "/%61/b"] {
            assert_eq!(parsed(spelling).as_deref(), Some("/a/b"), "{spelling}");
        }
        for spelling in ["/", "", "%2F"] {
            assert_eq!(parsed(spelling).as_deref(), Some("/"), "{spelling}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_no_path() {
        let long_segment = "x".repeat(129);
        let deep = "/x".repeat(17);
        let long = format!("/{}", ["y".repeat(128).as_str(); 8].join("/"));
        for bad in [
            "/a//b",
            "//",
            "//a",
            "/.",
            "/..",
            "/a/../b",
            "/a/%2e%2e",
            "/_x",
            "/a/_b",
            "/a b",
            "/ä",
            "/a%00",
            "/a%ff",
            "/a?b",
            "/a\\b",
            "/a//",
            &long_segment,
            &deep,
            &long,
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        assert!(parsed(&"/x".repeat(16)).is_some());
        assert!(parsed(&"x".repeat(128)).is_some());
    }

    #[test]
    fn parents_lead_to_the_root() {
        let path = StreamPath::parse("/a/b").unwrap();
        let parent = path.parent().unwrap();
        assert_eq!(parent.as_str(), "/a");
        assert_eq!(parent.parent(), Some(StreamPath::root()));
        assert_eq!(StreamPath::root().parent(), None);
    }

    #[test]
    fn below_means_whole_segments() {
        let below = |path: &str, ancestor: &str| {
            StreamPath::parse(path).unwrap().is_at_or_below(&StreamPath::parse(ancestor).unwrap())
        };
        assert!(below("/a/b", "/a") && below("/a", "/a") && below("/a", "/"));
        assert!(!below("/ab", "/a") && !below("/a", "/a/b"));
    }

    proptest! {
        #[test]
        fn a_parsed_path_parses_to_itself(text in "[/A-Za-z0-9._~@:%-]{0,60}") {
            if let Ok(path) = StreamPath::parse(&text) {
                prop_assert_eq!(StreamPath::parse(path.as_str()).unwrap(), path);
            }
        }
    }
}
