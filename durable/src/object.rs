//! The shell.
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};
/// One stream.
#[durable_object]
pub struct Stream { state: State }
impl std::panic::RefUnwindSafe for Stream {}
impl DurableObject for Stream {
    fn new(state: State, _env: Env) -> Self { Self { state } }
    async fn fetch(&self, _req: Request) -> Result<Response> {
        Response::ok(self.state.id().name().unwrap_or_default())
    }
}
