//! The table of docs/compatibility.md: every API of Kafka 4.2 beside what `ottla::api::APIS` declares.
//! `UPDATE_DOCS=1 cargo test --test compatibility` writes it anew.

use std::fmt::Write;
use std::path::Path;

use ottla::api::{APIS, Api};

const BEGIN: &str = "<!-- APIs: generated -->\n";
const END: &str = "<!-- end of APIs -->";

const SECURITY: &str = "SASL, ACLs and delegation tokens are not served yet";
const QUOTAS: &str = "quotas are not served yet";
const SHARE: &str = "share groups are not served yet";
const STREAMS: &str = "streams groups are not served yet";
const QUORUM: &str = "there is no quorum of controllers";
const BETWEEN_BROKERS: &str = "spoken between brokers only";

/// What a broker of Kafka 4.2 advertises: key, name, versions, and why we serve less.
const KAFKA: &[(i16, &str, (i16, i16), &str)] = &[
    (0, "Produce", (0, 13), "0–2 are advertised but refused, as Kafka does"),
    (1, "Fetch", (4, 18), ""),
    (2, "ListOffsets", (1, 11), "11 only adds -6, for tiered storage, and our codec lacks it"),
    (3, "Metadata", (0, 13), ""),
    (8, "OffsetCommit", (2, 10), ""),
    (9, "OffsetFetch", (1, 10), ""),
    (10, "FindCoordinator", (0, 6), ""),
    (11, "JoinGroup", (0, 9), ""),
    (12, "Heartbeat", (0, 4), ""),
    (13, "LeaveGroup", (0, 5), ""),
    (14, "SyncGroup", (0, 5), ""),
    (15, "DescribeGroups", (0, 6), ""),
    (16, "ListGroups", (0, 5), ""),
    (17, "SaslHandshake", (0, 1), SECURITY),
    (18, "ApiVersions", (0, 4), ""),
    (19, "CreateTopics", (2, 7), ""),
    (20, "DeleteTopics", (1, 6), ""),
    (21, "DeleteRecords", (0, 2), ""),
    (22, "InitProducerId", (0, 5), ""),
    (23, "OffsetForLeaderEpoch", (2, 4), ""),
    (24, "AddPartitionsToTxn", (0, 5), ""),
    (25, "AddOffsetsToTxn", (0, 4), ""),
    (26, "EndTxn", (0, 5), ""),
    (27, "WriteTxnMarkers", (1, 2), "2 only adds a field that says whose protocol it is, and our codec lacks it"),
    (28, "TxnOffsetCommit", (0, 5), ""),
    (29, "DescribeAcls", (1, 3), SECURITY),
    (30, "CreateAcls", (1, 3), SECURITY),
    (31, "DeleteAcls", (1, 3), SECURITY),
    (32, "DescribeConfigs", (1, 4), ""),
    (33, "AlterConfigs", (0, 2), ""),
    (34, "AlterReplicaLogDirs", (1, 2), "there is one log directory"),
    (35, "DescribeLogDirs", (1, 4), ""),
    (36, "SaslAuthenticate", (0, 2), SECURITY),
    (37, "CreatePartitions", (0, 3), ""),
    (38, "CreateDelegationToken", (1, 3), SECURITY),
    (39, "RenewDelegationToken", (1, 2), SECURITY),
    (40, "ExpireDelegationToken", (1, 2), SECURITY),
    (41, "DescribeDelegationToken", (1, 3), SECURITY),
    (42, "DeleteGroups", (0, 2), ""),
    (43, "ElectLeaders", (0, 2), ""),
    (44, "IncrementalAlterConfigs", (0, 1), ""),
    (45, "AlterPartitionReassignments", (0, 1), ""),
    (46, "ListPartitionReassignments", (0, 0), ""),
    (47, "OffsetDelete", (0, 0), ""),
    (48, "DescribeClientQuotas", (0, 1), QUOTAS),
    (49, "AlterClientQuotas", (0, 1), QUOTAS),
    (50, "DescribeUserScramCredentials", (0, 0), SECURITY),
    (51, "AlterUserScramCredentials", (0, 0), SECURITY),
    (55, "DescribeQuorum", (0, 2), QUORUM),
    (57, "UpdateFeatures", (0, 2), "features cannot be changed"),
    (60, "DescribeCluster", (0, 2), ""),
    (61, "DescribeProducers", (0, 0), ""),
    (64, "UnregisterBroker", (0, 0), "there is one broker"),
    (65, "DescribeTransactions", (0, 0), ""),
    (66, "ListTransactions", (0, 2), ""),
    (68, "ConsumerGroupHeartbeat", (0, 1), ""),
    (69, "ConsumerGroupDescribe", (0, 1), ""),
    (74, "ListConfigResources", (0, 1), ""),
    (75, "DescribeTopicPartitions", (0, 0), ""),
    (76, "ShareGroupHeartbeat", (1, 1), SHARE),
    (77, "ShareGroupDescribe", (1, 1), SHARE),
    (78, "ShareFetch", (1, 2), SHARE),
    (79, "ShareAcknowledge", (1, 2), SHARE),
    (80, "AddRaftVoter", (0, 1), QUORUM),
    (81, "RemoveRaftVoter", (0, 0), QUORUM),
    (83, "InitializeShareGroupState", (0, 0), BETWEEN_BROKERS),
    (84, "ReadShareGroupState", (0, 0), BETWEEN_BROKERS),
    (85, "WriteShareGroupState", (0, 1), BETWEEN_BROKERS),
    (86, "DeleteShareGroupState", (0, 0), BETWEEN_BROKERS),
    (87, "ReadShareGroupStateSummary", (0, 1), BETWEEN_BROKERS),
    (88, "StreamsGroupHeartbeat", (0, 0), STREAMS),
    (89, "StreamsGroupDescribe", (0, 0), STREAMS),
    (90, "DescribeShareGroupOffsets", (0, 1), SHARE),
    (91, "AlterShareGroupOffsets", (0, 0), SHARE),
    (92, "DeleteShareGroupOffsets", (0, 0), SHARE),
];

fn served(key: i16) -> Option<&'static Api> {
    APIS.iter().copied().find(|api| api.key == key)
}

fn range((first, last): (i16, i16)) -> String {
    if first == last { first.to_string() } else { format!("{first}–{last}") }
}

fn table() -> String {
    let mut text = format!(
        "{} of {} APIs.\n\n| Key | API | Kafka 4.2 | Ottla | |\n|---|---|---|---|---|\n",
        APIS.len(),
        KAFKA.len()
    );
    for (key, name, kafka, note) in KAFKA {
        let ours = served(*key).map_or("–".to_owned(), |api| range((api.advertised_from, api.versions.1)));
        writeln!(text, "| {key} | {name} | {} | {ours} | {note} |", range(*kafka)).expect("strings take text");
    }
    text
}

#[test]
fn the_documentation_has_every_api() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let page = std::fs::read_to_string(&path).expect("docs/compatibility.md is there");
    let (before, rest) = page.split_once(BEGIN).expect("the marker before the table");
    let (inside, after) = rest.split_once(END).expect("the marker after the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).expect("the page can be written");
    } else {
        assert_eq!(inside, table(), "run UPDATE_DOCS=1 cargo test --test compatibility");
    }
}

#[test]
fn what_is_served_is_kafkas() {
    for api in APIS {
        let row = KAFKA.iter().find(|(key, ..)| *key == api.key);
        let (_, name, (first, last), note) = row.unwrap_or_else(|| panic!("Kafka has no API {}", api.key));
        assert_eq!(*name, api.name);
        assert!(api.advertised_from == *first && api.versions.1 <= *last, "{name}");
        assert!(api.versions.1 == *last || !note.is_empty(), "{name} is served in part, without a reason");
    }
    let unexplained = KAFKA.iter().filter(|(key, _, _, note)| served(*key).is_none() && note.is_empty());
    assert_eq!(unexplained.count(), 0, "every API that is not served has a reason");
}
