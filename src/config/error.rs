//! The one error of this floor.

use std::fmt;

/// A value that cannot be used.
///
/// `message` is Kafka's own text, fit for an error response; `Display` adds what would be valid, fit for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub key: String,
    /// The value as given; `[hidden]` for passwords.
    pub value: String,
    pub message: String,
    /// What would have been valid, in words; empty if the message says it all.
    pub valid: String,
}

impl ConfigError {
    /// An error with a message of its own.
    pub fn new(key: &str, value: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: value.to_owned(), message: message.into(), valid: String::new() }
    }

    /// Kafka's `ConfigException(name, value, message)`.
    pub fn invalid(key: &str, value: &str, message: &str) -> Self {
        Self::new(key, value, format!("Invalid value {value} for configuration {key}: {message}"))
    }

    /// A broken rule between keys; Kafka prefixes these with "requirement failed", which an operator need not read.
    pub fn requirement(key: &str, value: &str, message: impl fmt::Display) -> Self {
        Self::new(key, value, format!("{REQUIREMENT}{message}"))
    }

    /// Adds what would have been valid.
    pub fn valid(mut self, valid: &impl fmt::Display) -> Self {
        self.valid = valid.to_string();
        self
    }
}

const REQUIREMENT: &str = "requirement failed: ";

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.strip_prefix(REQUIREMENT).unwrap_or(&self.message))?;
        if !self.message.contains(&self.key) {
            write!(f, " ({}={})", self.key, self.value)?;
        }
        if !self.valid.is_empty() {
            write!(f, " (valid: {})", self.valid)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
