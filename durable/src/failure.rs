//! Why a call on a stream did not do what it was asked to.

use std::fmt;

use tailrace_model::Problem;

/// A refusal the caller is told about, or a fault of the storage.
#[derive(Debug)]
pub enum Failure {
    /// Refused before anything was written.
    Refused(Problem),
    /// The storage failed; the caller rolls back and forgets the loaded stream.
    Storage(String),
}

impl Failure {
    /// The same of an element of a batch.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        match self {
            Self::Refused(problem) => Self::Refused(problem.at_index(index)),
            Self::Storage(_) => self,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => write!(f, "{}", problem.code().name),
            Self::Storage(detail) => write!(f, "storage: {detail}"),
        }
    }
}

impl std::error::Error for Failure {}
