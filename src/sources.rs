//! How the sources of a stream's hooks are configured. What was told is kept, with its version; the stream refuses an old
//! one and tells the new.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use tailrace_model::control::Webhook;
use tailrace_model::{Problem, StreamPath};
use wasm_bindgen::JsValue;

use crate::http::Answer;
use crate::stream::Stream;

/// So many are kept.
const KEPT: usize = 1_000;

thread_local! {
    static KNOWN: RefCell<HashMap<(String, String), Source>> = RefCell::new(HashMap::new());
}

/// How hooks of a source are configured.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which configuration this is.
    pub version: String,
    /// The configuration, if there is one.
    pub config: Option<Rc<Webhook>>,
}

/// What a stream says.
#[derive(Deserialize)]
struct Told {
    version: String,
    config: Option<Webhook>,
    above: bool,
    born: bool,
}

/// How a source is configured, as far as it is known here; else the stream is asked.
///
/// # Errors
/// [`Problem`]
pub async fn find(env: &JsValue, path: &StreamPath, slug: &str, may_create: bool) -> Result<Source, Problem> {
    let known = KNOWN.with_borrow(|known| known.get(&(path.to_string(), slug.to_owned())).cloned());
    match known {
        Some(source) => Ok(source),
        None => ask(env, path, slug, may_create).await,
    }
}

/// How a source is configured now.
///
/// # Errors
/// [`Problem`]
pub async fn ask(env: &JsValue, path: &StreamPath, slug: &str, may_create: bool) -> Result<Source, Problem> {
    let told = told(&Stream::at(env, path)?.hook_config(slug).await?)?;
    if !told.above {
        return Ok(keep(path, slug, told));
    }
    if !told.born && !may_create {
        // It will be refused, whatever holds.
        return Ok(Source { version: told.version, config: None });
    }
    // It is not born, or has not heard yet what holds for it.
    let mut above = path.parent();
    let mut config = None;
    while let Some(parent) = above {
        let told = self::told(&Stream::at(env, &parent)?.hook_config(slug).await?)?;
        config = told.config.filter(|config| config.children);
        if config.is_some() || !told.above {
            break;
        }
        above = parent.parent();
    }
    Ok(Source { version: told.version, config: config.map(Rc::new) })
}

/// What a stream told because another version was gone by.
///
/// # Errors
/// [`Problem::Internal`]
pub async fn retold(
    env: &JsValue,
    path: &StreamPath,
    slug: &str,
    answer: &Answer,
    may_create: bool,
) -> Result<Source, Problem> {
    let told = told(answer)?;
    if told.above { ask(env, path, slug, may_create).await } else { Ok(keep(path, slug, told)) }
}

fn keep(path: &StreamPath, slug: &str, told: Told) -> Source {
    let source = Source { version: told.version, config: told.config.map(Rc::new) };
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert((path.to_string(), slug.to_owned()), source.clone());
    });
    source
}

fn told(answer: &Answer) -> Result<Told, Problem> {
    serde_json::from_str(&String::from(answer.body.clone())).map_err(|_| Problem::Internal)
}
