//! Answers each ping: cargo run

use tailrace_sdk::{Appended, Error, Tailrace, each, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::var("TAILRACE_URL").unwrap_or_else(|_| "http://localhost:8787".to_owned());
    let pong = each(|ping: Appended<()>| async move {
        ping.append(("pong", json!({"round": ping.event.payload["round"]})));
        Ok(())
    });
    Tailrace::new(url)?.stream("/ping-pong")?.run("pong", pong).types(["ping"]).lease_seconds(5).await
}
