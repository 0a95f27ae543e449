//! The pages in `docs/webhooks/` are what the table of providers says, one page each.
//!
//! `TAILRACE_WRITE_DOCS=1 cargo test -p tailrace-model --test webhook_docs` writes them anew.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a table that misses a field is to fail")]

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use tailrace_model::webhook::presets::TABLE;

#[test]
fn every_provider_has_a_page_that_says_what_the_table_says() {
    let presets: Vec<Value> = serde_json::from_str(TABLE).unwrap();
    same_as_committed("README.md", &index(&presets));
    for preset in &presets {
        same_as_committed(&format!("{}.md", text(&preset["name"])), &page(preset));
    }
}

fn same_as_committed(name: &str, expected: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/webhooks").join(name);
    if std::env::var_os("TAILRACE_WRITE_DOCS").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == expected, "docs/webhooks/{name} is not what the table says: see model/tests/webhook_docs.rs");
}

const WRITTEN: &str =
    "<!-- Written by model/tests/webhook_docs.rs from model/src/webhook/presets.json. Do not edit. -->";

fn index(presets: &[Value]) -> String {
    let mut out = format!(
        "# Webhooks\n\n{WRITTEN}\n\n\
         Any third party can be pointed at a stream: `/hooks/{{path}}` takes every method and body, stores it as \
         `webhook.received`, then answers. With `?source=` and a `webhook.configured` for it, the request is verified, its \
         delivery id counts (a repeat lands once), what the provider asks first is answered, and it hears what it wants to \
         hear. All of that is data, one row of a table per provider:\n\n\
         | preset | provider | verified by | a repeat is known by |\n|---|---|---|---|\n"
    );
    for preset in presets {
        let definition = &preset["definition"];
        let scheme = definition["verify"]["scheme"].as_str().unwrap_or("nothing");
        let id = places(&definition["idempotency"]);
        let id = if definition["cloudEvents"] == true { "the event's source and id".to_owned() } else { id };
        let (name, title) = (text(&preset["name"]), text(&preset["title"]));
        let _ = writeln!(out, "| [`{name}`]({name}.md) | {title} | {scheme} | {id} |");
    }
    out.push_str(
        "\n## A definition of your own\n\n\
         `webhook.configured {slug, preset?, verify?, handshake?, reply?, reject?, idempotency?, children?}`. What is given \
         takes the place of what the preset says; `verify` field by field. Without a preset the same data describes any \
         provider:\n\n\
         ```json\n\
         {\"type\": \"webhook.configured\", \"payload\": {\n\
         \x20 \"slug\": \"acme\",\n\
         \x20 \"verify\": {\"scheme\": \"hmac-sha256\", \"signature\": {\"header\": \"x-acme-signature\"}, \"prefix\": \"sha256=\",\n\
         \x20   \"signed\": \"{timestamp}.{body}\", \"timestamp\": {\"header\": \"x-acme-timestamp\"}, \"secrets\": [\"ACME\"]},\n\
         \x20 \"handshake\": [{\"when\": {\"json\": {\"/type\": \"hello\"}}, \"reply\": {\"body\": \"{json:/challenge}\"}}],\n\
         \x20 \"idempotency\": {\"header\": \"x-acme-delivery\"},\n\
         \x20 \"reply\": {\"status\": 204},\n\
         \x20 \"reject\": true\n\
         }}\n\
         ```\n\n\
         - `scheme`: `hmac-sha1`, `hmac-sha256`, `hmac-sha512`, `ed25519`, `ecdsa-p256` or `token`; `encoding` of the \
         signature: `hex`, `base64`, `text`; `key`, how the secret is written: `text`, `base64`, `hex`.\n\
         - A place is `{\"header\": …}` (with `part` for `a=1,b=2`), `{\"query\": …}`, `{\"json\": \"/pointer\"}`, \
         `{\"form\": …}` or `{\"basic\": \"password\"}`; a list of places is the first that has it.\n\
         - `signed` and the texts of a reply are templates: `{body}`, `{timestamp}`, `{url}`, `{form}`, `{header:name}`, \
         `{query:name}`, `{json:/pointer}`, in replies also `{hmac:/pointer}` and `{offset}`.\n\
         - `tolerance`: how many seconds old a signature may be, 300 if nothing is said.\n\
         - `secrets` are names: the deployment has `TAILRACE_SECRET_<NAME>` = `{\"value\": \"…\", \"verify\": [\"custom\"]}`, \
         with the preset's name instead of `custom` where there is one. Several are tried while one takes the place of \
         another. The log has only their names. While none is set nothing is verified: `verified` is `null`, and the reason says \
         so; with `reject` it is refused.\n\
         - `reject: true` refuses with `401` what does not verify; otherwise it is stored with `verified: false` and why.\n\n\
         The payload says `verified` (`true`, `false`, or `null` when nothing was looked at), `scheme`, `key` (the secret's \
         name) and `reason`. Signatures are stored, static tokens are not: with the exact bytes of `/api/raw` anyone who has \
         the secret can verify again.\n\n\
         Send a signed sample to the system on your own machine with `npm run hook -- <preset> <path>`.\n",
    );
    out
}

fn page(preset: &Value) -> String {
    let (name, title) = (text(&preset["name"]), text(&preset["title"]));
    let definition = &preset["definition"];
    let mut out = format!("# {title}\n\n{WRITTEN}\n\n");
    let mut step = 0;
    let mut add = |line: String| {
        step += 1;
        format!("{step}. {line}\n")
    };
    let secrets: Vec<&Value> =
        preset.get("secret").into_iter().chain(preset["secrets"].as_array().into_iter().flatten()).collect();
    for secret in &secrets {
        let variable = format!("TAILRACE_SECRET_{}", text(&secret["name"]));
        let value = format!("{{\"value\": \"…\", \"verify\": [\"{name}\"]}}");
        out.push_str(&add(format!(
            "Give the deployment {}: `npx wrangler secret put {variable}`, and as its value `{value}`. On your own machine: \
             `{variable}='{value}' npm start`.",
            text(&secret["is"])
        )));
    }
    out.push_str(&add(format!(
        "Say how the source is understood, with a token that has the right `control`:\n\n   \
         ```sh\n   curl https://your.host/api/streams/my/agent -H \"authorization: Bearer $TOKEN\" \\\n     \
         -d '{{\"type\":\"webhook.configured\",\"payload\":{{\"slug\":\"{name}\",\"preset\":\"{name}\"}}}}'\n   ```\n"
    )));
    let clicks: Vec<String> =
        preset["steps"].as_array().unwrap().iter().map(|it| format!("   - {}", text(it))).collect();
    out.push_str(&add(format!(
        "At the provider, give `https://your.host/hooks/my/agent?source={name}`:\n{}",
        clicks.join("\n")
    )));
    out.push_str("\n## What is understood\n\n");
    match definition["verify"]["scheme"].as_str() {
        None => out.push_str("- Nothing is verified: `verified` is `null`.\n"),
        Some("token") => {
            let _ = writeln!(out, "- The secret itself, in {}.", places(&definition["verify"]["signature"]));
        }
        Some(scheme) => {
            let signed = definition["verify"]["signed"].as_str().unwrap_or("{body}");
            let place = places(&definition["verify"]["signature"]);
            let _ = writeln!(out, "- The signature: {scheme} over `{signed}`, in {place}.");
        }
    }
    if definition["verify"].get("timestamp").is_some() {
        let tolerance = definition["verify"]["tolerance"].as_u64().unwrap_or(300);
        let _ = writeln!(out, "- It may be {tolerance} seconds old at most.");
    }
    for handshake in definition["handshake"].as_array().into_iter().flatten() {
        let verified = if handshake["verified"] == true { ", when it verifies" } else { "" };
        let _ = writeln!(
            out,
            "- A request with `{}` is a question{verified}: the answer is `{}`.",
            handshake["when"], handshake["reply"]
        );
    }
    if definition["cloudEvents"] == true {
        out.push_str("- Binary, structured and batched modes become one event each, with the attributes in `metadata.cloudEvent`; source and id together name a delivery.\n");
    }
    if definition.get("idempotency").is_some() {
        let _ = writeln!(out, "- A repeat is known by {} and lands once.", places(&definition["idempotency"]));
    }
    if let Some(reply) = definition.get("reply") {
        let _ = writeln!(out, "- What is stored is answered with `{reply}`.");
    }
    if definition["reject"] == true {
        out.push_str("- What does not verify is refused with `401` and not stored: the provider demands it.\n");
    }
    let _ = write!(out, "\nTry it on your own machine: `npm run hook -- {name} /my/agent`.\n");
    out
}

fn places(place: &Value) -> String {
    let one = |place: &Value| -> Option<String> {
        let (kind, name) = place.as_object()?.iter().find(|(kind, _)| *kind != "part")?;
        let part = place.get("part").map(|part| format!(", part `{}`", text(part))).unwrap_or_default();
        Some(match kind.as_str() {
            "json" => format!("`{}` of the body", text(name)),
            "basic" => format!("the {} of Basic authentication", text(name)),
            "query" => format!("the parameter `{}`", text(name)),
            kind => format!("the {kind} `{}`{part}", text(name)),
        })
    };
    let all: Vec<String> = match place {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        place => one(place).into_iter().collect(),
    };
    if all.is_empty() { "nothing".to_owned() } else { all.join(" or ") }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
