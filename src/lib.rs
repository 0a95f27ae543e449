//! The front Worker.
pub use tailrace_durable::object;

/// Entry.
#[worker::event(fetch)]
pub async fn fetch(req: worker::Request, env: worker::Env, _ctx: worker::Context) -> worker::Result<worker::Response> {
    let stub = env.durable_object("STREAM")?.get_by_name(&req.path())?;
    stub.fetch_with_request(req).await
}
