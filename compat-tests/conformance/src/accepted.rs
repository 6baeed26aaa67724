//! The differences from Kafka that are on purpose, each with its reason. `docs/compatibility.md` carries [`markdown`] between its markers.

use crate::compare::Difference;

/// One accepted difference.
pub struct Accepted {
    pub id: &'static str,
    pub places: &'static [Place],
    pub kafka: &'static str,
    pub ours: &'static str,
    pub reason: &'static str,
}

/// Where it may be met. Every pattern may hold `*` for any characters.
pub struct Place {
    pub scenario: &'static str,
    pub step: &'static str,
    pub path: &'static str,
}

const fn at(scenario: &'static str, step: &'static str, path: &'static str) -> Place {
    Place { scenario, step, path }
}

pub const ACCEPTED: &[Accepted] = &[
    Accepted {
        id: "features",
        places: &[
            at("api-versions/*", "*", "finalized_features[share.version]"),
            at("api-versions/*", "*", "finalized_features[streams.version]"),
            at("api-versions/*", "*", "finalized_features[transaction.version]"),
            at("api-versions/*", "*", "supported_features[share.version]"),
            at("api-versions/*", "*", "supported_features[streams.version]"),
            at("api-versions/*", "*", "supported_features[transaction.version]"),
        ],
        kafka: "ApiVersions names the features share.version, streams.version and transaction.version",
        ours: "they are absent",
        reason: "the APIs behind them are not served yet, and clients would take them for served",
    },
    Accepted {
        id: "internal-topics",
        places: &[
            at("metadata/internal-topics", "1 *", ""),
            at("produce/topics", "*an internal topic", "responses*"),
            at("delete-records/policies", "*an internal topic", "topics*"),
        ],
        kafka: "`__consumer_offsets` comes to be as soon as a client asks for it; it is refused with INVALID_TOPIC_EXCEPTION (17)",
        ours: "it is there once a client asked for a coordinator or for its metadata; before, UNKNOWN_TOPIC_OR_PARTITION (3)",
        reason: "it is made at once where Kafka takes a moment, so a test of Kafka finds it sooner or later than one here",
    },
    Accepted {
        id: "coordinator-at-once",
        places: &[at("coordinator/keys", "*the share key \"g:AAAAAAAAAAAAAAAAAAAAAA:0\"", "coordinators[0].*")],
        kafka: "FindCoordinator answers COORDINATOR_NOT_AVAILABLE (15) until its internal topic is created",
        ours: "answers this node at once",
        reason: "there is nothing to wait for; clients only try again",
    },
    Accepted {
        id: "created-at-once",
        places: &[
            at("metadata/creates", "*", "topics[*].error_code"),
            at("metadata/creates", "*", "topics[*].partitions[*]"),
            at("metadata/creates", "*", "topics[*].topic_id"),
        ],
        kafka: "the Metadata request that creates a topic is answered UNKNOWN_TOPIC_OR_PARTITION (3), a later one finds it",
        ours: "it is answered with the topic",
        reason: "the topic is there by then, and the client saves a round and a back-off",
    },
    Accepted {
        id: "own-defaults",
        places: &[
            at("configs/broker-table*", "*", "results[0].configs[group.initial.rebalance.delay.ms].synonyms[1].value"),
            at("configs/broker-table*", "*", "results[0].configs[node.id].synonyms[1]"),
            at("configs/broker-table*", "*", "results[0].configs[offsets.topic.replication.factor].synonyms[1].value"),
            at("configs/broker-table*", "*", "results[0].configs[queued.max.request.bytes].synonyms*"),
            at("configs/broker-table*", "*", "results[0].configs[queued.max.request.bytes].value"),
            at("configs/broker-table*", "*", "results[0].configs[share.coordinator.state.topic.*].synonyms[1].value"),
            at("configs/broker-table*", "*", "results[0].configs[transaction.state.log.*].synonyms[1].value"),
        ],
        kafka: "broker keys have Kafka's defaults",
        ours: "eight have others (docs/configuration.md names them)",
        reason: "defaults for one node that starts without a configuration and keeps to a bound of memory",
    },
    Accepted {
        id: "broker-loggers",
        places: &[
            at("configs/broker-loggers", "*", "responses[0].error_*"),
            at("configs/other-resources", "*resource type 8, *", "results[0].error_message"),
        ],
        kafka: "levels of log4j's loggers can be described and set (resource type 8)",
        ours: "INVALID_REQUEST (42)",
        reason: "there is no log4j; RUST_LOG chooses what is logged",
    },
    Accepted {
        id: "cleaner-threads",
        places: &[at("configs/broker-refusals", "*log.cleaner.threads=0", "responses[0].error_message")],
        kafka: "refuses `log.cleaner.threads=0` with the message of a Java exception, `/ by zero`",
        ours: "refuses it with a message that says what is wrong",
        reason: "the text is an accident",
    },
    Accepted {
        id: "resource-twice",
        places: &[at("configs/alter-errors", "*the same resource twice*", "*")],
        kafka: "AlterConfigs that names a resource twice is never answered",
        ours: "INVALID_REQUEST (42), as IncrementalAlterConfigs",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "null-records",
        places: &[at("produce/malformed", "*null records*", "*")],
        kafka: "Produce with null for records is never answered",
        ours: "INVALID_RECORD (87)",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "compressed-unopened",
        places: &[at("produce/malformed-compression", "*", "responses*")],
        kafka: "every compressed batch is decompressed and its records are checked before it is stored",
        ours: "only where that needs a look inside: compacted topics, another codec to store, timestamps out of range",
        reason: "it is most of the work of a Produce; checksum and header are checked, consumers decompress in any case",
    },
    Accepted {
        id: "compressors",
        places: &[
            at("walk", "*describe log dirs, batches were compressed by the broker", "*.partition_size"),
            at("walk", "*fetch, batches were compressed by the broker", "*.records[*]"),
        ],
        kafka: "a topic's `compression.type` makes of a batch what Java's compressors make of it",
        ours: "other compressors make other bytes, of another size, with the same records in them",
        reason: "no two versions of a compressor agree",
    },
    Accepted {
        id: "deleted-timestamps",
        places: &[
            at("delete-records/bounds", "*the largest timestamp of nothing", "topics*"),
            at("walk", "*list offsets, records were deleted up to the end", "topics*"),
            at("walk", "*describe log dirs, records were deleted up to the end", "*.partition_size"),
        ],
        kafka: "after DeleteRecords up to the end, the file of the last segment stays: DescribeLogDirs counts its bytes, and ListOffsets finds its largest timestamp",
        ours: "the file is gone with its records",
        reason: "the records are deleted, and their space is freed at once",
    },
    Accepted {
        id: "wire",
        places: &[
            at("connections/truncated-bodies", "*an array that claims -2 elements", ""),
            at("connections/truncated-bodies", "*a string that is not UTF-8", ""),
        ],
        kafka: "arrays of less than -1 elements are null; bytes that are no UTF-8 are replaced in strings",
        ours: "such a request closes the connection (but not for its client id)",
        reason: "no client sends them; our codec refuses them",
    },
    Accepted {
        id: "votes-drawn",
        places: &[
            at("join-group/votes", "*draw*", "*"),
            at("join-group/votes", "*as the follower sees it", "protocol_name"),
        ],
        kafka: "where protocols have as many votes, the one that comes first in a Java hash map wins",
        ours: "the one that the first member prefers",
        reason: "no client can rely on the order of a hash map",
    },
    Accepted {
        id: "replaced-while-parked",
        places: &[
            at("rejoin/twice", "*the earlier request*", ""),
            at("sync-group/twice", "*the earlier of two requests*", ""),
        ],
        kafka: "a JoinGroup or SyncGroup that a later one of the same member replaces is never answered",
        ours: "COORDINATOR_NOT_AVAILABLE (15)",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "who-is-too-many",
        places: &[
            at("join-group/full", "*of the four*", "*"),
            at("join-group/full", "*the last of four joins again", "*"),
        ],
        kafka: "of more old members than group.max.size allows, one is refused",
        ours: "one is refused, perhaps another",
        reason: "whose request is looked at last is a matter of threads",
    },
    Accepted {
        id: "ten-thousand-partitions",
        places: &[at("create-topics/counts", "*10000 partitions, validated only", "topics*")],
        kafka: "a topic of exactly 10,000 partitions is refused: with its own record it is one too many for the controller",
        ours: "it is created",
        reason: "the limit is 10,000 partitions, and such topics are what some tests are about",
    },
];

/// The entry that accepts a difference.
pub fn matching(difference: &Difference) -> Option<&'static Accepted> {
    let is_at = |place: &Place| {
        glob(place.scenario, &difference.scenario)
            && glob(place.step, &difference.step)
            && glob(place.path, &difference.path)
    };
    ACCEPTED.iter().find(|entry| entry.places.iter().any(is_at))
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
