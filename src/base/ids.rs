//! Identifiers in Kafka's own spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A producer's number; -1 means none.
pub type ProducerId = i64;

/// A topic's identity. A topic deleted and created again under its name has another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub Uuid);

/// Names a data directory or a cluster in `meta.properties`; same spelling as a topic id.
pub type DirectoryId = TopicId;

impl TopicId {
    pub const ZERO: TopicId = TopicId(Uuid::nil());

    /// A random id. Like Kafka's, it never starts with '-' in text (tools would take it for an option) and is never
    /// one of the reserved first ids.
    pub fn random() -> TopicId {
        loop {
            let id = TopicId(Uuid::new_v4());
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    pub fn is_zero(self) -> bool {
        self.0.is_nil()
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for TopicId {
    /// 22 characters of URL-safe base64 without padding (Kafka's `Uuid.toString`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.as_u128();
        let mut text = [0u8; 22];
        for (i, c) in text.iter_mut().enumerate().take(21) {
            *c = ALPHABET[(bits >> (128 - 6 * (i + 1)) & 63) as usize];
        }
        text[21] = ALPHABET[((bits & 3) << 4) as usize];
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TopicId {
    type Err = String;

    fn from_str(text: &str) -> Result<TopicId, String> {
        let bad = || format!("{text:?} is not an id of 22 base64url characters");
        if text.len() != 22 {
            return Err(bad());
        }
        let mut bits: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let value = ALPHABET.iter().position(|a| *a == c).ok_or_else(bad)? as u128;
            bits = if i < 21 { bits << 6 | value } else { bits << 2 | value >> 4 };
        }
        Ok(TopicId(Uuid::from_u128(bits)))
    }
}

impl Serialize for TopicId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<TopicId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_kafkas_and_round_trips() {
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        let id = TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        assert_eq!(id.to_string(), "ASNFZ4mrze8BI0VniavN7w");
        for _ in 0..1000 {
            let id = TopicId::random();
            assert_eq!(id.to_string().parse::<TopicId>().expect("own text"), id);
            assert!(!id.to_string().starts_with('-'));
        }
        assert!("short".parse::<TopicId>().is_err());
    }
}
