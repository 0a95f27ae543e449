//! `GET /api/raw/{path}?offset=N`: the exact bytes a hook received. They are a stranger's: only ever a download.

use futures_util::stream;
use serde::Deserialize;
use tailrace_model::{Problem, hook};
use wasm_bindgen::JsValue;

use crate::http::{JSON, Request, Response, invalid_query, make};
use crate::stream::Stream;

/// What the object says about them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    content_type: Option<String>,
    whole: Option<String>,
    id: Option<String>,
    #[serde(default)]
    count: u32,
}

/// Answers with the bytes.
///
/// # Errors
/// [`Problem`]
pub async fn read(stream: &Stream, request: &Request) -> Result<Response, Problem> {
    let offset = request.query.number("offset", 1..=(1 << 53))?;
    let offset = offset.ok_or_else(|| invalid_query("offset", "the offset of a webhook.received event"))?;
    let answer = stream.raw(offset).await?;
    if answer.status != 200 {
        return answer.into_response(JSON, &[]);
    }
    let found: Found = serde_json::from_str(&String::from(answer.body)).map_err(|_| Problem::Internal)?;
    let content_type = found.content_type.as_deref().filter(|it| is_harmless(it)).unwrap_or("application/octet-stream");
    let disposition = format!("attachment; filename=\"hook-{offset}\"");
    let headers = [
        ("content-type", content_type),
        ("content-disposition", disposition.as_str()),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cache-control", "no-store"),
    ];
    match (found.whole, found.id) {
        (Some(whole), _) => {
            let bytes = hook::from_base64(&whole).ok_or(Problem::Internal)?;
            make(200, &headers, &js_sys::Uint8Array::from(bytes.as_slice()))
        }
        (None, Some(id)) => make(200, &headers, &parts(stream.clone(), id, found.count)),
        (None, None) => Err(Problem::Internal),
    }
}

/// The parts one after the other, each read when the client has taken the one before.
fn parts(stream: Stream, id: String, count: u32) -> JsValue {
    let parts = stream::unfold(0, move |number| {
        let (stream, id) = (stream.clone(), id.clone());
        async move {
            if number >= count {
                return None;
            }
            let part = stream.raw_part(&id, number).await;
            Some((part.map(JsValue::from).map_err(|_| JsValue::from_str("the bytes could not be read")), number + 1))
        }
    });
    wasm_streams::ReadableStream::from_stream(parts).into_raw().into()
}

/// A type that can stand in a header.
fn is_harmless(content_type: &str) -> bool {
    content_type.len() <= 200
        && content_type.contains('/')
        && content_type.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}
