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

/// Where it may be met, and what the two answered there. In every pattern `*` stands for any characters and `(a|b)` for
/// either; a value is JSON, a string without its quotes, and `absent` where there is none.
pub struct Place {
    pub scenario: &'static str,
    pub step: &'static str,
    pub path: &'static str,
    pub kafka: &'static str,
    pub ours: &'static str,
}

/// The scenario of all random walks, which are played live only.
const WALK: &str = "walk";

const fn at(
    scenario: &'static str,
    step: &'static str,
    path: &'static str,
    kafka: &'static str,
    ours: &'static str,
) -> Place {
    Place { scenario, step, path, kafka, ours }
}

impl Place {
    /// Whether a run of all scenarios must meet it.
    pub fn is_certain(&self) -> bool {
        self.scenario != WALK
    }
}

/// Steps in which a Metadata request creates topics.
const CREATES: &str = "*(the first request|a name of 249 characters|the name *|two unknown topics)";
/// Scenarios that describe every key of the broker.
const TABLES: &str = "configs/broker-table(|-tuned)";
const UNOPENED: &str = "produce/malformed-compression";
const LARGEST: &str = "*the largest timestamp of nothing";
const TEN_THOUSAND: &str = "*10000 partitions, validated only";

pub static ACCEPTED: &[Accepted] = &[
    Accepted {
        id: "features",
        places: &[at("api-versions/*", "*", "(finalized|supported)_features[(share|streams).version]", "{*", "absent")],
        kafka: "ApiVersions names the features share.version and streams.version",
        ours: "they are absent",
        reason: "the APIs behind them are not served yet, and clients would take them for served",
    },
    Accepted {
        id: "coordinator-at-once",
        places: &[
            at(
                "coordinator/keys",
                "*the share key *:0\"",
                "coordinators[0].error_code",
                "15 COORDINATOR_NOT_AVAILABLE",
                "0",
            ),
            at("coordinator/keys", "*the share key *:0\"", "coordinators[0].host", "", "<host>"),
            at("coordinator/keys", "*the share key *:0\"", "coordinators[0].node_id", "-1", "1"),
            at("coordinator/keys", "*the share key *:0\"", "coordinators[0].port", "-1", "<port>"),
        ],
        kafka: "FindCoordinator answers COORDINATOR_NOT_AVAILABLE (15) until its internal topic is created",
        ours: "answers this node at once",
        reason: "there is nothing to wait for; clients only try again",
    },
    Accepted {
        id: "created-at-once",
        places: &[
            at("metadata/creates", CREATES, "topics[*].error_code", "3 UNKNOWN_TOPIC_OR_PARTITION", "0"),
            at("metadata/creates", CREATES, "topics[*].partitions[0]", "absent", "{\"error_code\":0,*"),
            at("metadata/creates", "*the first request", "topics[*].topic_id", "<zero>", "<uuid>"),
        ],
        kafka: "the Metadata request that creates a topic is answered UNKNOWN_TOPIC_OR_PARTITION (3), a later one finds it",
        ours: "it is answered with the topic",
        reason: "the topic is there by then, and the client saves a round and a back-off",
    },
    Accepted {
        id: "own-defaults",
        places: &[
            at(TABLES, "*", "*[group.initial.rebalance.delay.ms].synonyms[1].value", "3000", "0"),
            at(TABLES, "*", "*[node.id].synonyms[1]", "absent", "{\"name\":\"node.id\",\"source\":5,\"value\":\"1\"}"),
            at(TABLES, "*", "*[queued.max.request.bytes](|.synonyms[*]).value", "-1", "134217728"),
            at(TABLES, "*", "*[(offsets.topic|share.*|transaction.*).replication.factor].synonyms[1].value", "3", "1"),
            at(TABLES, "*", "*[(share|transaction).*.min.isr].synonyms[1].value", "2", "1"),
        ],
        kafka: "broker keys have Kafka's defaults",
        ours: "some have others (docs/configuration.md lists them)",
        reason: "defaults for one node that starts without a configuration and keeps to a bound of memory",
    },
    Accepted {
        id: "broker-loggers",
        places: &[
            at("configs/broker-loggers", "*", "responses[0].error_code", "40 INVALID_CONFIG", "42 INVALID_REQUEST"),
            at("configs/broker-loggers", "*", "responses[0].error_message", "*", "There are no broker loggers: *"),
            at(
                "configs/other-resources",
                "*type 8, *",
                "results[0].error_message",
                "*",
                "There are no broker loggers: *",
            ),
        ],
        kafka: "levels of log4j's loggers can be described and set (resource type 8)",
        ours: "INVALID_REQUEST (42)",
        reason: "there is no log4j; RUST_LOG chooses what is logged",
    },
    Accepted {
        id: "cleaner-threads",
        places: &[at(
            "configs/broker-refusals",
            "*log.cleaner.threads=0",
            "responses[0].error_message",
            "/ by zero",
            "Invalid value 0 for configuration log.cleaner.threads: *",
        )],
        kafka: "refuses `log.cleaner.threads=0` with the message of a Java exception, `/ by zero`",
        ours: "refuses it with a message that says what is wrong",
        reason: "the text is an accident",
    },
    Accepted {
        id: "resource-twice",
        places: &[at("configs/alter-errors", "*the same resource twice", "", "unanswered", "{*42 INVALID_REQUEST*")],
        kafka: "AlterConfigs that names a resource twice is never answered",
        ours: "INVALID_REQUEST (42), as IncrementalAlterConfigs",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "null-records",
        places: &[at("produce/malformed", "*null records", "", "unanswered", "{*87 INVALID_RECORD*")],
        kafka: "Produce with null for records is never answered",
        ours: "INVALID_RECORD (87)",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "no-transactions",
        places: &[at("transactions/add-partitions-batched", "*no transactions", "", "unanswered", "{*")],
        kafka: "AddPartitionsToTxn from version 4 on without any transaction is never answered",
        ours: "an empty answer",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "whose-offsets",
        places: &[at(
            "transactions/offsets-by-another-id",
            "*an unknown id",
            "topics[*].partitions[0].error_code",
            "0",
            "49 INVALID_PRODUCER_ID_MAPPING",
        )],
        kafka: "TxnOffsetCommit does not look at the transactional id once the producer's transaction is open in the group's partition",
        ours: "the transaction's coordinator is asked every time: INVALID_PRODUCER_ID_MAPPING (49) for another's id",
        reason: "no client sends that",
    },
    Accepted {
        id: "compressed-unopened",
        places: &[
            at(UNOPENED, "*: *", "responses[*].error_code", "(-1 UNKNOWN_SERVER_ERROR|87 INVALID_RECORD)", "0"),
            at(UNOPENED, "*: *", "responses[*].base_offset", "-1", "*"),
        ],
        kafka: "every compressed batch is decompressed and its records are checked before it is stored",
        ours: "only where that needs a look inside: compacted topics, another codec to store, timestamps out of range",
        reason: "it is most of the work of a Produce; checksum and header are checked, consumers decompress in any case",
    },
    Accepted {
        id: "compressors",
        places: &[
            at(WALK, "*describe log dirs, batches were compressed by the broker", "*.partition_size", "*", "*"),
            at(WALK, "*fetch, batches were compressed by the broker", "*.records[*]", "*", "*"),
        ],
        kafka: "a topic's `compression.type` makes of a batch what Java's compressors make of it",
        ours: "other compressors make other bytes, of another size, with the same records in them",
        reason: "no two versions of a compressor agree",
    },
    Accepted {
        id: "deleted-timestamps",
        places: &[
            at("delete-records/bounds", LARGEST, "topics[*].partitions[0].leader_epoch", "0", "-1"),
            at("delete-records/bounds", LARGEST, "topics[*].partitions[0].offset", "9", "-1"),
            at("delete-records/bounds", LARGEST, "topics[*].partitions[0].timestamp", "T+9", "-1"),
            at(WALK, "*list offsets, records were deleted up to the end", "topics*", "*", "-1"),
            at(WALK, "*describe log dirs, records were deleted up to the end", "*.partition_size", "*", "*"),
        ],
        kafka: "after DeleteRecords up to the end, the file of the last segment stays: DescribeLogDirs counts its bytes, and ListOffsets finds its largest timestamp",
        ours: "the file is gone with its records",
        reason: "the records are deleted, and their space is freed at once",
    },
    Accepted {
        id: "wire",
        places: &[
            at("connections/truncated-bodies", "*an array that claims -2 elements", "", "{*", "connection closed"),
            at("connections/truncated-bodies", "*a string that is not UTF-8", "", "{*", "connection closed"),
        ],
        kafka: "arrays of less than -1 elements are null; bytes that are no UTF-8 are replaced in strings",
        ours: "such a request closes the connection (but not for its client id)",
        reason: "no client sends them; our codec refuses them",
    },
    Accepted {
        id: "votes-drawn",
        places: &[
            at("join-group/votes", "*draw*", "protocol_name", "(sticky|range)", "(range|roundrobin)"),
            at("join-group/votes", "*draw*", "members[*].metadata", "(2|3)", "(1|4)"),
            at("join-group/votes", "*as the follower sees it", "protocol_name", "(sticky|range)", "(range|roundrobin)"),
        ],
        kafka: "where protocols have as many votes, the one that comes first in a Java hash map wins",
        ours: "the one that the first member prefers",
        reason: "no client can rely on the order of a hash map",
    },
    Accepted {
        id: "replaced-while-parked",
        places: &[
            at("rejoin/twice", "*the earlier request*", "", "still parked", "answered"),
            at("sync-group/twice", "*the earlier of two requests*", "", "still parked", "answered"),
            at("sync-group/leaves", "*its sync", "", "still parked", "answered"),
        ],
        kafka: "a JoinGroup or SyncGroup that a later one of the same member replaces is never answered, nor is the SyncGroup of a member that leaves",
        ours: "COORDINATOR_NOT_AVAILABLE (15); UNKNOWN_MEMBER_ID (25) for the one that leaves",
        reason: "a client that waits for ever helps nobody",
    },
    Accepted {
        id: "ten-thousand-partitions",
        places: &[
            at("create-topics/counts", TEN_THOUSAND, "topics[*].configs[*]", "absent", "{*"),
            at("create-topics/counts", TEN_THOUSAND, "topics[*].error_code", "44 POLICY_VIOLATION", "0"),
            at("create-topics/counts", TEN_THOUSAND, "topics[*].error_message", "*excessively large batch*", "null"),
            at("create-topics/counts", TEN_THOUSAND, "topics[*].num_partitions", "-1", "10000"),
            at("create-topics/counts", TEN_THOUSAND, "topics[*].replication_factor", "-1", "1"),
        ],
        kafka: "a topic of exactly 10,000 partitions is refused: with its own record it is one too many for the controller",
        ours: "it is created",
        reason: "the limit is 10,000 partitions, and such topics are what some tests are about",
    },
];

/// The entry that accepts a difference, and its place.
pub fn matching(difference: &Difference) -> Option<(&'static Accepted, &'static Place)> {
    let is_at = |place: &Place| {
        glob(place.scenario, &difference.scenario)
            && glob(place.step, &difference.step)
            && glob(place.path, &difference.path)
            && glob(place.kafka, bare(&difference.kafka))
            && glob(place.ours, bare(&difference.ours))
    };
    ACCEPTED.iter().find_map(|entry| Some((entry, entry.places.iter().find(|place| is_at(place))?)))
}

/// A JSON string without its quotes.
fn bare(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some(special) = pattern.find(['*', '(']) else { return pattern == text };
    let Some(text) = text.strip_prefix(&pattern[..special]) else { return false };
    let rest = &pattern[special + 1..];
    if pattern[special..].starts_with('*') {
        return (0..=text.len()).any(|i| text.is_char_boundary(i) && glob(rest, &text[i..]));
    }
    let (alternatives, rest) = rest.split_once(')').expect("every ( of a pattern has its )");
    alternatives.split('|').any(|alternative| glob(&format!("{alternative}{rest}"), text))
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
    fn patterns_match_with_stars_and_alternatives() {
        assert!(glob("a*c", "abbc") && glob("*", "") && glob("abc", "abc") && glob("*b*", "abc"));
        assert!(glob("a(b|*d|)c", "abc") && glob("a(b|*d|)c", "axdc") && glob("a(b|*d|)c", "ac"));
        assert!(!glob("a(b|*d|)c", "axc") && !glob("(a|b)", "ab"));
        assert!(!glob("a*c", "abbd") && !glob("abc", "abcd") && !glob("b*", "abc"));
    }
}
