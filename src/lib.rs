//! The front Worker: HTTP in, Server-Sent Events out, hooks in. It holds no state.
//!
//! | module | what it does |
//! |---|---|
//! | [`append`], [`read`], [`live`], [`tree`], [`hooks`], [`raw`], [`page`] | one call of the API each |
//! | [`subscriptions`], [`lease`], [`settle`] | how subscriptions stand; what workers outside call |
//! | [`push`] | what the courier sends, and what it makes of the answers |
//! | [`access`] | who may do what |
//! | [`config`], [`deployment`] | how the deployment is set up; what control events may name of it |
//! | [`http`] | requests and answers; problems become HTTP here |
//! | [`body`] | bodies of any size |
//! | [`stream`] | calls to a stream's object |
//! | [`platform`] | what the platform gives us |

pub mod access;
pub mod agents;
pub mod append;
pub mod body;
pub mod config;
pub mod deployment;
pub mod hooks;
pub mod hosted;
pub mod http;
pub mod lease;
pub mod live;
pub mod page;
pub mod platform;
pub mod push;
pub mod raw;
pub mod read;
pub mod settle;
pub mod sources;
pub mod stream;
pub mod subscriptions;
pub mod tree;

use std::panic::AssertUnwindSafe;

use js_sys::{Array, JsString, Promise};
use tailrace_model::{Problem, StreamPath, limits};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::access::{Caller, Need, Origin};
use crate::config::{Config, Mode};
use crate::deployment::Here;
use crate::http::{JSON, Request, Response, text};
use crate::stream::Stream;

#[cfg(target_arch = "wasm32")]
pub use tailrace_durable::object;

/// What the API says about itself.
const OPENAPI: &str = include_str!("openapi.json");

/// What `entry.js` calls. A class, because those are what the build exports.
#[wasm_bindgen]
pub struct Front;

#[expect(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]
#[wasm_bindgen]
impl Front {
    /// Answers a request; `body` is given when it was read already, `files` are those of the page. The promise is rejected only when the code panics:
    /// nothing is shared between requests that a panic could leave in disorder.
    pub fn handle(request: web_sys::Request, env: JsValue, files: page::Files, body: Option<Vec<u8>>) -> Promise {
        future_to_promise(AssertUnwindSafe(async move { answer(request, env, files, body).await.map(JsValue::from) }))
    }

    /// The quick way for what is done most: takes an append whose body is read, and returns `[path, append, whether the
    /// answer is for other sites too]`, an answer, or `undefined` when [`Self::handle`] must do it. Nothing here waits, so
    /// nothing is paid for waiting.
    ///
    /// # Errors
    /// What the platform throws.
    #[expect(clippy::too_many_arguments, reason = "reading headers there costs less than handing over the request")]
    #[wasm_bindgen(js_name = prepareAppend)]
    pub fn prepare_append(
        env: &JsValue,
        url: &str,
        host: Option<String>,
        origin: Option<String>,
        authorization: Option<String>,
        prefer: Option<String>,
        if_match: Option<String>,
        cause: Option<String>,
        body: &[u8],
    ) -> Result<JsValue, JsValue> {
        let config = Config::of(env);
        let prepare = || {
            access::admit(&config, Origin { host: host.as_deref(), origin: origin.as_deref(), site: None })?;
            let (path, query) = http::split_url(url);
            let path = stream_in(path)?;
            let caller = access::identify(&config, authorization.as_deref(), platform::now())?;
            let query = http::Query::parse(query);
            let here = Here::new(env, &config, host.as_deref());
            let wish = append::Wish::read(&query, prefer.as_deref(), if_match.as_deref(), cause.as_deref())?;
            let prepared = append::prepare(&here, &wish, &caller, &path, body)?;
            let is_quick = !wish.check
                && matches!(&prepared, append::Prepared::Append(append) if !append::is_traced_elsewhere(&wish, &path, append));
            Ok((path, is_quick.then_some(prepared)))
        };
        match prepare() {
            Ok((path, Some(append::Prepared::Append(append)))) => {
                let cross_site = JsValue::from(matches!(config.mode, Mode::Tokens(_)));
                let prepared = [JsValue::from_str(path.as_str()), stream::hand_over(&append), cross_site];
                Ok(prepared.into_iter().collect::<Array>().into())
            }
            Ok(_) => Ok(JsValue::UNDEFINED),
            Err(problem) => finish(&config, http::problem(&problem)).map(JsValue::from),
        }
    }

    /// Prepares a read of a stream: returns an answer, or `[path, query or LiveTail, whether the answer is for other
    /// sites too, seconds to wait]`.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = prepareRead)]
    pub fn prepare_read(
        env: &JsValue,
        url: &str,
        host: Option<String>,
        origin: Option<String>,
        authorization: Option<String>,
        accept: Option<String>,
        last_event_id: Option<String>,
    ) -> Result<JsValue, JsValue> {
        let config = Config::of(env);
        let prepare = || {
            access::admit(&config, Origin { host: host.as_deref(), origin: origin.as_deref(), site: None })?;
            let (path, query) = http::split_url(url);
            let path = stream_in(path)?;
            let query = http::Query::parse(query);
            let way = read::way(&query, accept.as_deref())?;
            if way == read::Way::Browse {
                return read::to_page(path.as_str()).map(JsValue::from);
            }
            access::identify(&config, authorization.as_deref(), platform::now())?.check(Need::Read, &path)?;
            let (asked, wait) = match way {
                read::Way::Page { format, wait } => {
                    (JsValue::from_str(&stream::read_text(format, &read::query(&query)?)?), wait)
                }
                _ => (live::LiveTail::new(&query, last_event_id.as_deref())?.into(), 0),
            };
            let cross_site = JsValue::from(matches!(config.mode, Mode::Tokens(_)));
            let wait = JsValue::from(u32::try_from(wait).unwrap_or(0));
            let prepared = [JsValue::from_str(path.as_str()), asked, cross_site, wait];
            Ok(prepared.into_iter().collect::<Array>().into())
        };
        prepare().or_else(|problem: Problem| finish(&config, http::problem(&problem)).map(JsValue::from))
    }

    /// Prepares a lease for a worker: returns an answer, or `[path, slug, milliseconds, seconds to wait, whether from any
    /// stream below, whether the answer is for other sites too]`.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = prepareLease)]
    pub fn prepare_lease(
        env: &JsValue,
        url: &str,
        host: Option<String>,
        origin: Option<String>,
        authorization: Option<String>,
    ) -> Result<JsValue, JsValue> {
        let config = Config::of(env);
        let prepare = || {
            access::admit(&config, Origin { host: host.as_deref(), origin: origin.as_deref(), site: None })?;
            let (path, query) = http::split_url(url);
            let path = match Api::split(path) {
                Some((Api::Lease, path)) => StreamPath::parse(path)?,
                _ => return Err(not_found()),
            };
            let caller = access::identify(&config, authorization.as_deref(), platform::now())?;
            let wish = lease::Wish::read(&http::Query::parse(query))?;
            caller.check(Need::Read, &path)?;
            caller.check(Need::Append, &path)?;
            let cross_site = JsValue::from(matches!(config.mode, Mode::Tokens(_)));
            Ok(wish.to_array(&path, &cross_site).into())
        };
        prepare().or_else(|problem: Problem| finish(&config, http::problem(&problem)).map(JsValue::from))
    }

    /// The largest body that [`Self::prepare_append`] takes.
    #[must_use]
    #[wasm_bindgen(js_name = wholeBytes)]
    pub fn whole_bytes() -> usize {
        limits::BATCH_BYTES
    }

    /// Lets pages of other sites read an answer.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = openToOtherSites)]
    pub fn open_to_other_sites(response: &Response) -> Result<(), JsValue> {
        allow_other_sites(response)
    }

    /// What an object answered, as HTTP.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = answerWith)]
    pub fn answer_with(env: &JsValue, text: &JsString) -> Result<Response, JsValue> {
        finish(&Config::of(env), Self::answer_to(text))
    }

    /// Reads a lease as the object gives it. Not a constructor: the build wraps what those make in a proxy whose `free`
    /// leaves it to be freed once more.
    ///
    /// # Errors
    /// When it is none.
    #[wasm_bindgen(js_name = readLease)]
    pub fn read_lease(leased: &str) -> Result<push::Delivery, JsError> {
        Ok(push::Delivery::read(leased)?)
    }

    /// Takes a lease of an agent. Not a constructor; see [`Self::read_lease`].
    ///
    /// # Errors
    /// When it is none.
    #[wasm_bindgen(js_name = readAgent)]
    pub fn read_agent(leased: &str) -> Result<agents::decide::Decider, JsError> {
        agents::decide::Decider::read(leased).map_err(|error| JsError::new(&error))
    }

    /// Takes a lease of hosted code. Not a constructor; see [`Self::read_lease`].
    ///
    /// # Errors
    /// When it is none.
    #[wasm_bindgen(js_name = readScript)]
    pub fn read_script(leased: &str) -> Result<hosted::Script, JsError> {
        hosted::Script::read(leased).map_err(|error| JsError::new(&error))
    }

    /// Takes a call of a model that a Runner owes. Not a constructor; see [`Self::read_lease`].
    ///
    /// # Errors
    /// When it is none.
    #[wasm_bindgen(js_name = readAsk)]
    #[expect(clippy::needless_pass_by_value, reason = "what JavaScript hands over is owned")]
    pub fn read_ask(ask: &str, attempt: u32, prepared: Option<String>) -> Result<agents::ask::Asking, JsError> {
        Ok(agents::ask::Asking::read(ask, attempt, prepared.as_deref())?)
    }

    /// What an object answered to a wish for a lease, as HTTP: a refusal.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = answerTo)]
    pub fn answer_to(text: &JsString) -> Result<Response, JsValue> {
        http::Answer::new(text).into_response(JSON, &[]).or_else(|problem| http::problem(&problem))
    }

    /// The answer when nothing is due; `text` is the object's.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = nothingDue)]
    pub fn nothing_due(text: &JsString) -> Result<Response, JsValue> {
        push::nothing(&http::Answer::new(text))
    }

    /// So much of a push's answer is read.
    #[must_use]
    #[wasm_bindgen(js_name = answerBytes)]
    pub fn answer_bytes() -> usize {
        limits::ANSWER_BYTES
    }

    /// The answer when calling an object failed.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = answerToFailure)]
    pub fn answer_to_failure(env: &JsValue, error: &JsValue) -> Result<Response, JsValue> {
        finish(&Config::of(env), http::problem(&http::unforeseen("stream", error)))
    }

    /// The answer to a request whose handling panicked.
    ///
    /// # Errors
    /// What the platform throws.
    #[wasm_bindgen(js_name = answerToPanic)]
    pub fn answer_to_panic() -> Result<Response, JsValue> {
        http::problem(&Problem::Internal)
    }
}

async fn answer(
    request: web_sys::Request,
    env: JsValue,
    files: page::Files,
    body: Option<Vec<u8>>,
) -> Result<Response, JsValue> {
    let request = Request::new(request, body);
    let config = Config::of(&env);
    let response = match route(&request, &env, &config, &files).await {
        Ok(response) => Ok(response),
        Err(problem) => {
            // Many clients send all of it first, and never see an answer that comes before they have.
            body::drain(&request).await;
            http::problem(&problem)
        }
    };
    finish(&config, response)
}

/// The stream that the path of a URL names.
fn stream_in(path: &str) -> Result<StreamPath, Problem> {
    match Api::split(path) {
        Some((Api::Streams, path)) => StreamPath::parse(path),
        _ => Err(not_found()),
    }
}

fn not_found() -> Problem {
    Problem::NotFound { detail: "this path is not served; see /api/openapi.json".to_owned() }
}

/// With tokens a page of any site may call; the open mode is for its own page.
fn finish(config: &Config, response: Result<Response, JsValue>) -> Result<Response, JsValue> {
    let response = response?;
    if matches!(config.mode, Mode::Tokens(_)) {
        allow_other_sites(&response)?;
    }
    Ok(response)
}

/// The parts of the API that name a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Streams,
    State,
    Children,
    Raw,
    Subscriptions,
    Agents,
    Lease,
    Settle,
}

impl Api {
    fn split(path: &str) -> Option<(Self, &str)> {
        let rest = path.strip_prefix("/api/")?;
        let (name, stream) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let api = match name {
            "streams" => Self::Streams,
            "state" => Self::State,
            "children" => Self::Children,
            "raw" => Self::Raw,
            "subscriptions" => Self::Subscriptions,
            "agents" => Self::Agents,
            "lease" => Self::Lease,
            "settle" => Self::Settle,
            _ => return None,
        };
        Some((api, stream))
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Streams => "GET, HEAD, POST, DELETE",
            Self::State | Self::Children | Self::Raw | Self::Subscriptions | Self::Agents => "GET, HEAD",
            Self::Lease | Self::Settle => "POST",
        }
    }
}

async fn route(request: &Request, env: &JsValue, config: &Config, files: &page::Files) -> Result<Response, Problem> {
    let method = request.method.as_str();
    if config.mode == Mode::Closed
        && matches!(method, "GET" | "HEAD")
        && let Some(file) = page::closed(files, &request.path)
    {
        return file;
    }
    let (host, origin, site) = (request.header("host"), request.header("origin"), request.header("sec-fetch-site"));
    // A link of another site may lead to the page, but to nothing that changes a stream.
    let site = site.as_deref().filter(|_| request.path.starts_with("/hooks") || request.path.starts_with("/api"));
    access::admit(config, Origin { host: host.as_deref(), origin: origin.as_deref(), site })?;

    let hook = request.path.strip_prefix("/hooks").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(path) = hook {
        let path = StreamPath::parse(path)?;
        return hooks::receive(env, request, config, &path).await;
    }
    if request.path == "/api/openapi.json" {
        return match method {
            "GET" | "HEAD" => text(200, &[("content-type", JSON)], OPENAPI),
            _ => Err(Problem::MethodNotAllowed { allow: "GET, HEAD" }),
        };
    }
    if let Some((api, path)) = Api::split(&request.path) {
        if method == "OPTIONS" && matches!(config.mode, Mode::Tokens(_)) {
            return http::make(204, &[("allow", api.methods())], &JsValue::NULL);
        }
        let path = StreamPath::parse(path)?;
        let caller = access::identify(config, request.header("authorization").as_deref(), platform::now())?;
        return call(api, request, env, config, &caller, &path).await;
    }
    match page::file(files, &request.path) {
        Some(file) if matches!(method, "GET" | "HEAD") => file,
        Some(_) => Err(Problem::MethodNotAllowed { allow: "GET, HEAD" }),
        None => Err(not_found()),
    }
}

async fn call(
    api: Api,
    request: &Request,
    env: &JsValue,
    config: &Config,
    caller: &Caller,
    path: &StreamPath,
) -> Result<Response, Problem> {
    let stream = Stream::at(env, path)?;
    match (api, request.method.as_str()) {
        (Api::Streams, "POST") => append::append(env, config, &stream, request, caller, path).await,
        (Api::Streams, "DELETE") => {
            caller.check(Need::Control, path)?;
            tree::delete(&stream, request).await
        }
        (Api::Streams, "HEAD") => {
            caller.check(Need::Read, path)?;
            read::head(&stream).await
        }
        // Reading a stream itself goes by `prepare_read`.
        (Api::Subscriptions, "GET" | "HEAD") => subscriptions::read(&stream, request, config, caller, path).await,
        // Leasing goes by `prepare_lease`.
        (Api::Settle, "POST") => settle::settle(env, config, &stream, request, caller, path).await,
        (Api::State | Api::Children | Api::Raw | Api::Agents, "GET" | "HEAD") => {
            caller.check(Need::Read, path)?;
            match api {
                Api::State => read::state(&stream, request).await,
                Api::Children => tree::children(env, request, path).await,
                Api::Agents => agents::turn::read(&stream, &request.query).await,
                _ => raw::read(&stream, request).await,
            }
        }
        _ => Err(Problem::MethodNotAllowed { allow: api.methods() }),
    }
}

/// With tokens a page of any site may call, without credentials: the token is what counts.
fn allow_other_sites(response: &Response) -> Result<(), JsValue> {
    const EXPOSED: &str = "Tailrace-Head, Tailrace-Generation, Tailrace-Paused, Tailrace-Halted, Tailrace-Duplicate, Tailrace-Interpreted-As, \
         Tailrace-After-Offset, Tailrace-Before-Offset, Tailrace-Count, Tailrace-Up-To-Date, Retry-After, Allow";
    let headers = response.headers();
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", EXPOSED),
        ("access-control-allow-methods", "GET, HEAD, POST, DELETE"),
        (
            "access-control-allow-headers",
            "authorization, content-type, if-match, last-event-id, prefer, tailrace-cause",
        ),
        ("access-control-max-age", "86400"),
    ] {
        headers.set(name, value)?;
    }
    Ok(())
}
