//! Which names a topic may have (Kafka's `Topic` class).

use std::fmt;

/// Topics that belong to the broker itself.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// What Kafka's controller keeps in the same directory: never a topic of ours.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

const NAME_CHARACTERS_MAX: usize = 249;

/// INVALID_TOPIC_EXCEPTION, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError(pub String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// `[a-zA-Z0-9._-]{1,249}`, but neither "." nor "..".
pub fn validate_name(name: &str) -> Result<(), NameError> {
    let invalid = |why: String| Err(NameError(format!("Topic name is invalid: {why}")));
    if name.is_empty() {
        return invalid("the empty string is not allowed".into());
    }
    if name == "." || name == ".." {
        return invalid(format!("'{name}' is not allowed"));
    }
    if name.len() > NAME_CHARACTERS_MAX {
        return invalid(format!("the length of '{name}' is longer than the max allowed length {NAME_CHARACTERS_MAX}"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return invalid(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// Names with equal keys collide in metric names: '.' and '_' are the same there.
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}
