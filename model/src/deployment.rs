//! What of the deployment a control event is checked against: where it may send to, with which secrets.

use crate::secret::Secret;
use crate::target::{Allowed, Url};

/// The deployment, as far as control events name things of it.
pub trait Deployment {
    /// Takes a URL apart as the platform that will fetch it does; `None` when it is none.
    fn url(&self, text: &str) -> Option<Url>;

    /// Where it may send to beside public hosts.
    fn allowed(&self) -> Allowed;

    /// The secret of this name. `None` = there is none; an error says what is wrong with how it is declared.
    fn secret(&self, name: &str) -> Option<Result<Secret, String>>;

    /// Checks a condition over events: CEL, without what could run long.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn check_condition(&self, expression: &str) -> Result<(), String>;
}

/// A deployment that can send nothing: for what is only read.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Deployment for Nowhere {
    fn url(&self, _: &str) -> Option<Url> {
        None
    }

    fn allowed(&self) -> Allowed {
        Allowed::default()
    }

    fn secret(&self, _: &str) -> Option<Result<Secret, String>> {
        None
    }

    fn check_condition(&self, _: &str) -> Result<(), String> {
        Err("no conditions here".to_owned())
    }
}
