//! Agents, as far as the front Worker has a part in them: it decides with what the agent leased, speaks to models, and makes
//! any turn's request anew. What is decided is in the crate `tailrace-agent`.
//!
//! | module | what it does |
//! |---|---|
//! | [`log`] | reads a stream's pages into a transcript |
//! | [`prepared`] | a request to a model, but for its secrets |
//! | [`decide`] | what an agent does with a lease; what waits is `decide.js` |
//! | [`ask`] | one attempt at a request; what waits is `ask.js` |
//! | [`turn`] | `GET /api/agents/{path}`: the request of a turn |

pub mod ask;
pub mod decide;
pub mod log;
pub mod prepared;
pub mod turn;
