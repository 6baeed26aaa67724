//! Why a request was refused, in words too.

use std::fmt;

pub use crate::coordinator::GroupError;

/// The message is Kafka's, where it reaches clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub name: GroupError,
    pub message: String,
}

impl Refusal {
    pub fn new(name: GroupError, message: impl Into<String>) -> Refusal {
        Refusal { name, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Refusal {}
