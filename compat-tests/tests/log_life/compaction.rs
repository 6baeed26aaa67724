//! What readers, slow and new ones, see of a topic that is compacted under them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use compat_tests::batch::{Batch, Record};
use compat_tests::broker::Broker;
use compat_tests::calls::{LATEST, code};
use compat_tests::codec::Codec;
use compat_tests::wire::Client;
use compat_tests::{Random, now_ms, wait_until};

use super::{LIMIT, busy_options, bytes_on_disk};

const COMPACTED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("internal.segment.bytes", "20000")];

type Table = BTreeMap<Bytes, Option<Bytes>>;

/// Some records in one batch; every fifth has no value, every seventh an empty one.
fn some(random: &mut Random, keys: usize, table: &mut Table) -> Batch {
    let mut batch = Batch::of_values(Vec::<Bytes>::new()).with_codec(Codec::ALL[random.below(5)]);
    for _ in 0..1 + random.below(6) {
        let key = Bytes::from(format!("key-{}", random.below(keys)));
        let value = match random.below(35) {
            n if n % 5 == 0 => None,
            n if n % 7 == 0 => Some(Bytes::new()),
            n => Some(Bytes::from(format!("{n}-{}", "v".repeat(random.below(300))))),
        };
        table.insert(key.clone(), value.clone());
        batch.records.push(Record { key: Some(key), value, timestamp: now_ms(), ..Record::default() });
    }
    batch
}

fn live(table: &Table) -> Table {
    table.iter().filter(|(_, value)| value.is_some()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn apply(table: &mut Table, records: &[Record]) {
    table.extend(records.iter().map(|record| (record.key.clone().expect("a key"), record.value.clone())));
}

/// Has the active segment sealed, so that all before can be cleaned.
fn seal(client: &mut Client, topic: &str) {
    for _ in 0..5 {
        client.must_produce(topic, 0, &Batch::of_values(["f".repeat(9_000)]).keyed("filler"));
    }
}

#[test] // S9, S33
fn readers_come_to_the_models_table_whatever_the_cleaner_does_meanwhile() {
    let broker = busy_options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("compacted", 1, &COMPACTED).expect("answered"), code::NONE);
    let mut random = Random::new(7);
    let (mut table, mut slow, mut next) = (Table::new(), Table::new(), 0);
    for round in 0..3_000 {
        client.must_produce("compacted", 0, &some(&mut random, 60, &mut table));
        if round % 4 == 0 {
            let data = client.fetch("compacted", 0, next).expect("answered");
            assert_eq!(data.error_code, code::NONE);
            // Never more than one batch: it stays far behind.
            let batches = compat_tests::batch::read_batches(data.records.unwrap_or_default()).expect("whole batches");
            if let Some(batch) = batches.first() {
                assert!(batch.last_offset >= next, "it goes on");
                let records = batch.records.iter().filter(|record| record.offset >= next).cloned();
                apply(&mut slow, &records.collect::<Vec<_>>());
                next = batch.last_offset + 1;
            }
        }
    }
    seal(&mut client, "compacted");
    let end = client.offset_at("compacted", 0, LATEST);
    wait_until("most is cleaned", LIMIT, || client.read_all("compacted", 0).len() < 1_500);
    let rest = client.read_from("compacted", 0, next);
    apply(&mut slow, &rest);
    table.insert("filler".into(), Some("f".repeat(9_000).into()));
    assert_eq!(live(&slow), live(&table), "the slow reader");
    let all = client.read_all("compacted", 0);
    assert!(all.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets only grow");
    assert!(all.last().is_some_and(|last| last.offset == end - 1));
    let mut new = Table::new();
    apply(&mut new, &all);
    assert_eq!(live(&new), live(&table), "a reader from the start");
}

#[test] // S33
fn a_tombstone_is_seen_for_delete_retention_and_goes_with_a_later_cleaning() {
    let broker = busy_options().start();
    let mut client = broker.client();
    for (topic, retention) in [("keeps", "86400000"), ("drops", "0")] {
        let configs: Vec<_> = COMPACTED.iter().chain(&[("delete.retention.ms", retention)]).copied().collect();
        assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), code::NONE);
        client.must_produce(topic, 0, &Batch::of_values(["value"]).keyed("gone"));
        client.must_produce(topic, 0, &Batch::of_values([""]).keyed("empty"));
        let tombstone = Record { key: Some("gone".into()), timestamp: now_ms(), ..Record::default() };
        client.must_produce(topic, 0, &Batch { records: vec![tombstone], ..Batch::of_values(Vec::<Bytes>::new()) });
    }
    let of = |client: &mut Client, topic: &str| -> Vec<(i64, bool)> {
        let records = client.read_all(topic, 0).into_iter().filter(|r| r.key.as_deref() != Some(b"filler"));
        records.map(|record| (record.offset, record.value.is_some())).collect()
    };
    // Each cleaning is brought about by what is written before it.
    wait_until("the tombstone past its horizon has gone", LIMIT, || {
        seal(&mut client, "drops");
        of(&mut client, "drops") == [(1, true)]
    });
    wait_until("the value is gone and the tombstone there", LIMIT, || {
        seal(&mut client, "keeps");
        of(&mut client, "keeps") == [(1, true), (2, false)]
    });
}

#[test] // S9: `__consumer_offsets` is such a topic
fn committed_offsets_outlive_the_cleaning_of_their_topic() {
    let options =
        || busy_options().set("offsets.topic.num.partitions", 1).set("offsets.topic.segment.bytes", 1_048_576);
    let mut broker: Broker = options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("read", 4, &[]).expect("answered"), code::NONE);
    assert_eq!(client.find_coordinator("group-0").expect("answered"), code::NONE);
    let dir = broker.partition_dir("__consumer_offsets", 0);
    let (mut commits, mut largest) = (0, 0);
    wait_until("the topic was cleaned", LIMIT, || {
        for _ in 0..500 {
            let (group, partition) = (format!("group-{}", commits % 9), (commits % 4) as i32);
            assert_eq!(client.commit(&group, "read", partition, commits).expect("answered"), code::NONE);
            commits += 1;
        }
        largest = bytes_on_disk(&dir).max(largest);
        bytes_on_disk(&dir) < largest / 2
    });
    let all = |client: &mut Client| -> BTreeSet<(i64, i32, i64)> {
        let places = (0..9).flat_map(|group| (0..4).map(move |partition| (group, partition)));
        let row = |(group, partition)| {
            (group, partition, client.committed_offset(&format!("group-{group}"), "read", partition))
        };
        places.map(row).collect()
    };
    let expected: BTreeSet<_> = (commits - 36..commits).map(|n| (n % 9, (n % 4) as i32, n)).collect();
    assert_eq!(all(&mut client), expected);
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.find_coordinator("group-0").expect("answered"), code::NONE);
    assert_eq!(all(&mut client), expected, "after a kill");
}
