//! The differences from Kafka that are on purpose, each with its reason. `docs/compatibility.md` carries [`markdown`] between its markers.

use crate::compare::Difference;

/// One accepted difference. Every pattern may hold `*` for any characters.
pub struct Accepted {
    pub id: &'static str,
    pub scenario: &'static str,
    pub step: &'static str,
    pub path: &'static str,
    pub kafka: &'static str,
    pub ours: &'static str,
    pub reason: &'static str,
}

pub const ACCEPTED: &[Accepted] = &[
    Accepted {
        id: "null-records",
        scenario: "produce/malformed",
        step: "*null records*",
        path: "*",
        kafka: "answers nothing, ever",
        ours: "INVALID_RECORD (87)",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "compressed-batches-unopened",
        scenario: "produce/malformed-compression",
        step: "*",
        path: "*",
        kafka: "opens every compressed batch, and refuses what is broken inside",
        ours: "opens a compressed batch only where the topic needs a look inside (compacted, another codec); the consumer finds what is broken",
        reason: "speed: decompressing is most of what a produce request costs",
    },
    Accepted {
        id: "resource-twice",
        scenario: "configs/alter-errors",
        step: "*the same resource twice*",
        path: "*",
        kafka: "AlterConfigs that names a resource twice is never answered",
        ours: "INVALID_REQUEST (42), as IncrementalAlterConfigs",
        reason: "a client that waits for ever helps nobody",
    },
];

/// The entry that accepts a difference.
pub fn matching(difference: &Difference) -> Option<&'static Accepted> {
    ACCEPTED.iter().find(|entry| {
        glob(entry.scenario, &difference.scenario)
            && glob(entry.step, &difference.step)
            && glob(entry.path, &difference.path)
    })
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| (0..=text.len()).any(|i| text.is_char_boundary(i) && glob(rest, &text[i..]))),
    }
}

/// Markers around the list in `docs/compatibility.md`.
pub const BEGIN: &str = "<!-- accepted differences: generated -->";
pub const END: &str = "<!-- end -->";

/// The list as a markdown table.
pub fn markdown() -> String {
    let mut text = String::from("| Kafka | Ottla | Why |\n|---|---|---|\n");
    for entry in ACCEPTED {
        text.push_str(&format!("| {} | {} | {} |\n", entry.kafka, entry.ours, entry.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns_match_with_stars() {
        assert!(glob("a*c", "abbc") && glob("*", "") && glob("abc", "abc") && glob("*b*", "abc"));
        assert!(!glob("a*c", "abbd") && !glob("abc", "abcd") && !glob("b*", "abc"));
    }
}
