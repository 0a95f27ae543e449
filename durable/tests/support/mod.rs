//! What the tests of the stream's logic stand on: a real database, and a deployment of many streams in memory.
#![allow(dead_code, reason = "each test file uses its part of it")]

pub mod database;
pub mod deployment;

pub use database::Database;
pub use deployment::{Deployment, START};

use tailrace_durable::page::Query;

/// Everything, on pages as large as they get.
pub fn all() -> Query {
    Query { limit: 1_000, ..Query::default() }
}
