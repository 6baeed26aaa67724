//! The broker is killed while its cleaner is at work, over and over: the last committed value of every key stays what it
//! was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use compat_tests::Random;
use compat_tests::batch::{Batch, TRANSACTIONAL};
use compat_tests::calls::{code, produce_request, text};
use compat_tests::wire::Client;
use kafka_protocol::messages::TransactionalId;

use super::{LIMIT, busy_options};
use crate::producer::{Producer, Protocol, row_of_produce, until_free};
use crate::readers::{committed_records, end_of, try_fetch_committed, value_of};

const TOPIC: &str = "killed";
const KEYS: usize = 40;
const KILLS: usize = 12;
/// As many readers, one after the other, do not all meet the cleaner.
const READERS_MAX: usize = 20;
const CONFIGS: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("internal.segment.bytes", "15000"), ("delete.retention.ms", "0")];

struct Writer {
    random: Random,
    producer: Producer,
    table: BTreeMap<String, String>,
    written: usize,
}

impl Writer {
    /// One transaction over a few keys, committed or not.
    fn transact(&mut self, client: &mut Client) {
        let mut rows = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let key = format!("key-{}", self.random.below(KEYS));
            self.written += 1;
            // Empty means deleted.
            let value = match self.random.below(6) {
                0 => String::new(),
                _ => format!("{}-{}", self.written, "v".repeat(self.random.below(400))),
            };
            self.send(client, &key, &value);
            rows.push((key, value));
        }
        let commit = self.random.below(3) > 0;
        self.producer.must_end(client, commit);
        if commit {
            self.table.extend(rows);
        }
    }

    fn send(&mut self, client: &mut Client, key: &str, value: &str) {
        // The request of the producer, with a key in it.
        let request = self.producer.produce_request(TOPIC, 0, [value.to_owned()]);
        let sequence = {
            let records = request.topic_data[0].partition_data[0].records.clone().expect("a batch");
            compat_tests::batch::read_batches(records).expect("whole")[0].base_sequence
        };
        let mut batch = Batch::of_values([value.to_owned()]).keyed(key.to_owned()).from_producer(
            self.producer.id,
            self.producer.epoch,
            sequence,
        );
        batch.attributes |= TRANSACTIONAL;
        if value.is_empty() {
            batch.records[0].value = None;
        }
        let request = produce_request(TOPIC, 0, batch.build())
            .with_transactional_id(Some(TransactionalId(text(&self.producer.name))));
        let version = self.producer.protocol.produce_version();
        let answer = until_free(|| Ok(row_of_produce(client.call(version, &request)?)), |row| row.error_code);
        assert_eq!(answer.expect("answered").error_code, code::NONE);
        self.producer.advance(TOPIC, 0, 1);
    }
}

fn read_table(client: &mut Client) -> BTreeMap<String, String> {
    let (mut table, mut next) = (BTreeMap::new(), 0);
    loop {
        let data = try_fetch_committed(client, TOPIC, 0, next).expect("answered");
        assert_eq!(data.error_code, code::NONE);
        for record in committed_records(&data, next) {
            let key = String::from_utf8_lossy(record.key.as_deref().expect("a key")).into_owned();
            table.insert(key, value_of(&record));
        }
        match end_of(&data) {
            Some(end) => next = end,
            None => break,
        }
    }
    table.retain(|_, value| !value.is_empty());
    table
}

#[test] // S33, and the crash with files of a compaction
fn no_kill_while_it_cleans_changes_what_readers_of_committed_records_find() {
    let mut broker = busy_options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic(TOPIC, 1, &CONFIGS).expect("answered"), code::NONE);
    let mut writer = Writer {
        random: Random::new(11),
        producer: Producer::new("writer", Protocol::Second),
        table: BTreeMap::new(),
        written: 0,
    };
    let mut cleanings = 0;
    for kill in 0..KILLS {
        writer.producer = writer.producer.clone().started(&mut client);
        let until = Instant::now() + Duration::from_millis(100 + writer.random.below(400) as u64);
        let cleaned = || broker.log().iter().filter(|line| line.contains("log cleaned")).count();
        // At any moment of a pass; but on a busy machine, where the cleaner comes last, it would never see the end of one.
        let waits = Instant::now() + LIMIT;
        while Instant::now() < until || kill % 3 == 0 && cleaned() == 0 && Instant::now() < waits {
            writer.transact(&mut client);
        }
        cleanings += cleaned();
        broker.kill();
        broker.restart();
        client = broker.client();
        let mut wanted = writer.table.clone();
        wanted.retain(|_, value| !value.is_empty());
        // A tombstone may go between two fetches of a reader that has the value already: then a later reader must be right.
        let mut read = read_table(&mut client);
        for _ in 0..READERS_MAX {
            if read == wanted {
                break;
            }
            read = read_table(&mut client);
        }
        assert_eq!(read, wanted, "after kill {kill}");
    }
    assert!(cleanings >= KILLS / 3, "the cleaner was at work: {cleanings} cleanings, {} records", writer.written);
}
