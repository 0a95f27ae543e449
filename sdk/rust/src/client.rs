//! Where a deployment is, and what a request to it looks like.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::de::DeserializeOwned;
use tailrace_model::StreamPath;

use crate::clock;
use crate::error::{Error, Refusal};
use crate::json;
use crate::retry::{Attempts, Retry, retry_after};
use crate::stream::Stream;

/// So long an answer may take beside what was asked to wait for.
const ANSWER: Duration = Duration::from_secs(30);

/// A deployment of Tailrace. Cloning it is cheap, and shares its connections.
#[derive(Clone)]
pub struct Tailrace {
    http: reqwest::Client,
    base: Arc<str>,
    authorization: Option<Arc<str>>,
    retry: Retry,
}

/// A request that may be sent several times.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    patience: Duration,
}

/// A whole answer that is a success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Tailrace {
    /// The deployment at this URL, such as `http://localhost:8787`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not a URL of http or https.
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        let builder = reqwest::Client::builder();
        #[cfg(not(target_arch = "wasm32"))]
        let builder = builder.redirect(reqwest::redirect::Policy::none()).connect_timeout(Duration::from_secs(10));
        let http = builder.build().map_err(|error| Error::Invalid(format!("no HTTP client: {error}")))?;
        Self::with_http(url, http)
    }

    /// As [`Self::new`], with a client of one's own: for proxies, certificates, time-outs.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_http(url: impl AsRef<str>, http: reqwest::Client) -> Result<Self, Error> {
        let text = url.as_ref().trim_end_matches('/');
        let url = url::Url::parse(text).map_err(|error| Error::Invalid(format!("{text}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(Error::Invalid(format!("{text}: should be http(s)://host, perhaps with a path")));
        }
        Ok(Self { http, base: url.as_str().trim_end_matches('/').into(), authorization: None, retry: Retry::default() })
    }

    /// With a token: the deployment's, or one that `npm run token` made.
    #[must_use]
    pub fn with_token(self, token: impl AsRef<str>) -> Self {
        Self { authorization: Some(format!("Bearer {}", token.as_ref()).into()), ..self }
    }

    /// With other patience.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// A stream by its path, such as `/support/anna`. It need not exist: its first event makes it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when that is no path of a stream.
    pub fn stream(&self, path: &str) -> Result<Stream, Error> {
        Ok(Stream::new(self.clone(), StreamPath::parse(path)?))
    }

    pub(crate) fn retry(&self) -> Retry {
        self.retry
    }

    /// Sends until it is answered with a success, as long as that may help.
    ///
    /// # Errors
    /// The last error.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Error> {
        self.send_as(call, Ok).await
    }

    /// As [`Self::send`], for an answer in JSON.
    pub(crate) async fn send_json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        self.send_as(call, |answer| answer.json()).await
    }

    async fn send_as<T>(&self, call: &Call, read: impl Fn(Answer) -> Result<T, Error>) -> Result<T, Error> {
        let mut attempts = Attempts::new(self.retry);
        loop {
            match self.send_once(call).await.and_then(&read) {
                Ok(read) => return Ok(read),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// Sends once.
    ///
    /// # Errors
    /// What came instead of a success.
    pub(crate) async fn send_once(&self, call: &Call) -> Result<Answer, Error> {
        let answer = async {
            let response = self.open(call).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = if call.method == Method::HEAD { Bytes::new() } else { response.bytes().await? };
            Ok(Answer { status, headers, body })
        };
        let silence = || Err(Error::Unreachable(format!("none within {} s", call.patience.as_secs())));
        clock::within(call.patience, answer).await.unwrap_or_else(silence)
    }

    /// Sends once, and leaves the body of the answer to be read.
    ///
    /// # Errors
    /// What came instead of a success.
    pub(crate) async fn open(&self, call: &Call) -> Result<reqwest::Response, Error> {
        let mut request = self.http.request(call.method.clone(), format!("{}{}", self.base, call.target));
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", &**authorization);
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|value| retry_after(value, clock::now_ms()));
        let body = if call.method == Method::HEAD { Bytes::new() } else { response.bytes().await.unwrap_or_default() };
        Err(Error::Refused(Box::new(Refusal::read(status, wait, &body))))
    }
}

impl fmt::Debug for Tailrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tailrace").field("url", &self.base).finish_non_exhaustive()
    }
}

impl Call {
    /// A call of `/api/<what>/<path>`.
    pub(crate) fn new(method: Method, what: &str, path: &StreamPath) -> Self {
        let target = format!("/api/{what}{path}");
        Self { method, target, headers: Vec::new(), body: None, patience: ANSWER }
    }

    pub(crate) fn get(what: &str, path: &StreamPath) -> Self {
        Self::new(Method::GET, what, path)
    }

    pub(crate) fn post(what: &str, path: &StreamPath) -> Self {
        Self::new(Method::POST, what, path)
    }

    /// With these parameters.
    pub(crate) fn query<'a>(mut self, query: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(query);
        let pairs = pairs.finish();
        if !pairs.is_empty() {
            self.target.push('?');
            self.target.push_str(&pairs);
        }
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this JSON. The same bytes are sent each time.
    pub(crate) fn body(self, json: impl Into<Bytes>) -> Self {
        Self { body: Some(json.into()), ..self }.header("content-type", "application/json")
    }

    /// An answer that may take so much longer.
    pub(crate) fn waiting(self, wait: Duration) -> Self {
        Self { patience: ANSWER + wait, ..self }
    }
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        json::read(&self.body).map_err(|error| Error::Answer(error.to_string()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_http_are_deployments() {
        for good in ["http://localhost:8787", "https://t.example/", "http://127.0.0.1:1/below/it/"] {
            assert!(Tailrace::new(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost:8787", "ftp://a", "http://a?b", "http://a#b", "/api"] {
            assert!(matches!(Tailrace::new(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let tailrace = Tailrace::new("http://a").unwrap().with_token("secret");
        assert!(!format!("{tailrace:?}").contains("secret"));
    }

    #[test]
    fn parameters_are_encoded() {
        let call = Call::get("streams", &StreamPath::parse("/a/b").unwrap());
        let call = call.query([("types", "a.*,b&c".to_owned()), ("since", "2026-01-01T00:00:00+01:00".to_owned())]);
        assert_eq!(call.target, "/api/streams/a/b?types=a.*%2Cb%26c&since=2026-01-01T00%3A00%3A00%2B01%3A00");
    }
}
