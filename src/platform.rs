//! What the platform gives us, as far as the crates do not bind it: object stubs with their calls, and answers made of
//! the platform's own strings and streams.

use js_sys::{Array, JsString, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// The binding of a class of Durable Objects.
    pub type Namespace;

    /// The object of this name. Free: nothing is called.
    #[wasm_bindgen(method, catch, js_name = getByName)]
    pub fn get_by_name(this: &Namespace, name: &str) -> Result<Stub, JsValue>;

    /// The other end of one stream; its methods are those of `stream.js`.
    #[derive(Clone)]
    pub type Stub;

    /// `append` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn append(this: &Stub, text: &JsValue) -> Result<JsValue, JsValue>;
    /// `hook` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn hook(this: &Stub, text: &str) -> Result<JsValue, JsValue>;
    /// `hookConfig` of `stream.js`.
    #[wasm_bindgen(method, catch, js_name = hookConfig)]
    pub fn hook_config(this: &Stub, source: &str) -> Result<JsValue, JsValue>;
    /// `ephemeral` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn ephemeral(this: &Stub, text: &str) -> Result<JsValue, JsValue>;
    /// `upload` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn upload(this: &Stub, id: &str, number: f64, bytes: &Uint8Array, may_create: bool)
    -> Result<JsValue, JsValue>;
    /// `discard` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn discard(this: &Stub, id: &str) -> Result<JsValue, JsValue>;
    /// `read` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn read(this: &Stub, query: &str) -> Result<JsValue, JsValue>;
    /// `head` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn head(this: &Stub) -> Result<JsValue, JsValue>;
    /// `chain` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn chain(this: &Stub, offset: f64) -> Result<JsValue, JsValue>;
    /// `state` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn state(this: &Stub, at: Option<f64>) -> Result<JsValue, JsValue>;
    /// `children` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn children(this: &Stub, query: &str) -> Result<JsValue, JsValue>;
    /// `raw` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn raw(this: &Stub, offset: f64) -> Result<JsValue, JsValue>;
    /// `raw_part` of `stream.js`.
    #[wasm_bindgen(method, catch, js_name = rawPart)]
    pub fn raw_part(this: &Stub, id: &str, number: f64) -> Result<JsValue, JsValue>;
    /// `subscriptions` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn subscriptions(this: &Stub, slug: &str) -> Result<JsValue, JsValue>;
    /// `settleLease` of `stream.js`.
    #[wasm_bindgen(method, catch, js_name = settleLease)]
    pub fn settle_lease(this: &Stub, text: &str) -> Result<JsValue, JsValue>;
    /// `delete` of `stream.js`.
    #[wasm_bindgen(method, catch)]
    pub fn delete(this: &Stub, below: bool) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_name = Response)]
    type NewResponse;
    #[wasm_bindgen(constructor, js_class = "Response", catch)]
    fn new(body: &JsValue, init: &Object) -> Result<NewResponse, JsValue>;

    #[wasm_bindgen(js_namespace = crypto, js_name = randomUUID)]
    fn random_uuid() -> String;
}

#[wasm_bindgen]
extern "C" {
    /// A URL, taken apart by the parser that `fetch` uses.
    #[wasm_bindgen(js_name = URL)]
    pub type ParsedUrl;
    /// Parses.
    #[wasm_bindgen(constructor, js_class = "URL", catch)]
    pub fn new(text: &str) -> Result<ParsedUrl, JsValue>;
    /// The whole, normalized.
    #[wasm_bindgen(method, getter, js_class = "URL")]
    pub fn href(this: &ParsedUrl) -> String;
    /// The scheme with its colon.
    #[wasm_bindgen(method, getter, js_class = "URL")]
    pub fn protocol(this: &ParsedUrl) -> String;
    /// The user's name.
    #[wasm_bindgen(method, getter, js_class = "URL")]
    pub fn username(this: &ParsedUrl) -> String;
    /// The user's password.
    #[wasm_bindgen(method, getter, js_class = "URL")]
    pub fn password(this: &ParsedUrl) -> String;
    /// The host without the port.
    #[wasm_bindgen(method, getter, js_class = "URL")]
    pub fn hostname(this: &ParsedUrl) -> String;
    /// The port, unless it is the scheme's own.
    #[wasm_bindgen(method, getter, js_class = "URL")]
    pub fn port(this: &ParsedUrl) -> String;
}

/// Conditions over events: `where.js`.
pub mod where_js {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(raw_module = "../../src/where.js")]
    extern "C" {
        /// What is wrong with a condition.
        pub fn check(expression: &str) -> Option<String>;
        /// Whether an event, as its line, fulfils it.
        pub fn matches(expression: &str, line: &str) -> bool;
    }
}

/// What of a hook only the platform can look at: `inspect.js`.
pub mod inspect_js {
    use js_sys::{Promise, Uint8Array};
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(raw_module = "../../src/inspect.js")]
    extern "C" {
        /// Whether a signature with a public key holds: a promise of true or false.
        #[wasm_bindgen(js_name = verifySignature)]
        pub fn verify_signature(
            scheme: &str,
            key: &Uint8Array,
            signature: &Uint8Array,
            message: &Uint8Array,
        ) -> Promise;
        /// The fields of a multipart form as JSON text: a promise of it, or of nothing.
        #[wasm_bindgen(js_name = multipartFields)]
        pub fn multipart_fields(body: &Uint8Array, content_type: &str) -> Promise;
    }
}

/// The binding called `name`.
///
/// # Errors
/// When the deployment has none.
pub fn namespace(env: &JsValue, name: &str) -> Result<Namespace, JsValue> {
    Ok(Reflect::get(env, &JsValue::from_str(name))?.unchecked_into())
}

/// The variable or secret called `name`, unless it is missing or empty.
#[must_use]
pub fn variable(env: &JsValue, name: &str) -> Option<String> {
    let value = Reflect::get(env, &JsValue::from_str(name)).ok()?;
    value.as_string().filter(|text| !text.is_empty())
}

/// Waits for what a call on a stub returns.
///
/// # Errors
/// What the call throws.
pub async fn settled(call: Result<JsValue, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(Promise::resolve(&call?)).await
}

/// An answer with a body of the platform's own making.
///
/// # Errors
/// When the platform does not take a header.
pub fn response(status: u16, headers: &[(&str, &str)], body: &JsValue) -> Result<web_sys::Response, JsValue> {
    let pairs: Array = headers
        .iter()
        .map(|(name, value)| [JsString::from(*name), JsString::from(*value)].iter().collect::<Array>())
        .collect();
    let init = Object::new();
    Reflect::set(&init, &JsValue::from_str("status"), &JsValue::from(status))?;
    Reflect::set(&init, &JsValue::from_str("headers"), &pairs)?;
    Ok(NewResponse::new(body, &init)?.unchecked_into())
}

/// A name that nobody guesses.
#[must_use]
pub fn random_name() -> String {
    random_uuid()
}

/// Now, in milliseconds since 1970.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "times are far below 2^53")]
pub fn now() -> i64 {
    js_sys::Date::now() as i64
}

/// From 0 up to, not including, 1.
#[must_use]
pub fn random() -> f64 {
    js_sys::Math::random()
}
