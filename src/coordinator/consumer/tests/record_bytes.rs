//! Bytes that Kafka 4.2.1's own classes write for these values.

use super::*;
use crate::coordinator::consumer::member::{ClassicMember, ClassicProtocol};
use crate::coordinator::consumer::records::{CurrentAssignment, GroupMetadata, MemberMetadata};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn check(change: Change, key: &str, value: &str) {
    let (k, v) = change.encode("g");
    let v = v.expect("not a tombstone");
    assert_eq!((hex(&k).as_str(), hex(&v).as_str()), (key, value), "{change:?}");
    assert_eq!(Change::decode(&k, Some(&v)), Ok(Some(("g".into(), change))));
    for cut in 0..v.len() {
        let _ = Change::decode(&k, Some(&v[..cut]));
    }
}

fn some(partitions: &[i32]) -> Assignment {
    let topic = TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
    [(topic, partitions.iter().copied().collect())].into()
}

#[test]
fn records_are_kafkas() {
    let group = |metadata_hash| Change::Group(Some(GroupMetadata { epoch: 10, metadata_hash }));
    check(group(0x1122_3344_5566_7788), "0003000167", "00000000000a0100081122334455667788");
    check(group(0), "0003000167", "00000000000a00");

    let member = MemberMetadata {
        instance_id: Some("i".into()),
        rack_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topics: vec!["bar".into(), "foo".into()],
        subscribed_regex: Some(String::new()),
        rebalance_timeout_ms: 30_000,
        server_assignor: None,
        classic: None,
    };
    check(
        Change::Member { member_id: "m".into(), value: Some(member.clone()) },
        "000500016700016d",
        "000002690002630b2f3132372e302e302e31030462617204666f6f01000075300001000100",
    );
    let classic = MemberMetadata {
        instance_id: None,
        rack_id: Some("r".into()),
        subscribed_topics: vec!["foo".into()],
        subscribed_regex: Some("f.*".into()),
        server_assignor: Some("range".into()),
        classic: Some(ClassicMember {
            session_timeout_ms: 45_000,
            protocols: vec![ClassicProtocol { name: "range".into(), metadata: vec![1, 2, 3] }],
        }),
        ..member
    };
    check(
        Change::Member { member_id: "m".into(), value: Some(classic) },
        "000500016700016d",
        "000000027202630b2f3132372e302e302e310204666f6f04662e2a000075300672616e6765010012010000afc8020672616e6765040102030000",
    );
    check(Change::TargetEpoch(Some(7)), "0006000167", "00000000000700");
    check(
        Change::TargetMember { member_id: "m".into(), value: Some(some(&[0, 1, 2])) },
        "000700016700016d",
        "0000020123456789abcdef0123456789abcdef040000000000000001000000020000",
    );
    let current = CurrentAssignment {
        epoch: 5,
        previous_epoch: 4,
        state: 2,
        assigned: some(&[0, 1]),
        pending_revocation: some(&[2]),
    };
    check(
        Change::CurrentAssignment { member_id: "m".into(), value: Some(current) },
        "000800016700016d",
        "0000000000050000000402020123456789abcdef0123456789abcdef03000000000000000100020123456789abcdef0123456789abcdef02000000020000",
    );
    let regex =
        ResolvedRegex { topics: vec!["bar".into(), "foo".into()], version: 3, resolved_at_ms: 1_700_000_000_000 };
    check(
        Change::Regex { regex: "f.*".into(), value: Some(regex) },
        "00100001670003662e2a",
        "0000030462617204666f6f00000000000000030000018bcfe5680000",
    );
}

#[test]
fn tombstones_have_no_value_and_other_records_are_not_ours() {
    let (key, value) = Change::Group(None).encode("g");
    assert_eq!((hex(&key).as_str(), &value), ("0003000167", &None));
    assert_eq!(Change::decode(&key, None), Ok(Some(("g".into(), Change::Group(None)))));
    assert_eq!(Change::decode(&[0, 2, 0, 1, b'g'], None), Ok(None), "a classic group's");
    assert!(Change::decode(&[0], None).is_err());
    assert!(Change::decode(&key, Some(&[0, 1, 0, 0])).is_err(), "version 1 is unknown");
    // A claimed count of four billion elements costs nothing.
    assert!(Change::decode(&[0, 7, 0, 1, b'g', 0, 1, b'm'], Some(&[0, 0, 255, 255, 255, 255, 15])).is_err());
}
