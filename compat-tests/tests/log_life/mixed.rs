//! All kinds of writers in one compacted partition, with transactions that stay open over segments, restarts and kills,
//! against a model of the whole log. `OTTLA_LIFE_SEED` and `OTTLA_LIFE_KILLS` make it another and longer.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use compat_tests::batch::{Batch, Record, TRANSACTIONAL};
use compat_tests::broker::Broker;
use compat_tests::calls::{EARLIEST, LATEST, code, produce_request, text};
use compat_tests::codec::Codec;
use compat_tests::wire::Client;
use compat_tests::{Random, now_ms, wait_until};
use kafka_protocol::messages::TransactionalId;

use super::{LIMIT, busy_options};
use crate::producer::{Producer, Protocol, row_of_produce, until_free};
use crate::readers::{committed_records, end_of, last_stable_offset, open_transactions, try_fetch_committed, value_of};

const TOPIC: &str = "mixed";
const KEYS: usize = 30;
const STEPS_MAX: usize = 150;
/// As many readers, one after the other, do not all meet the cleaner.
const READERS_MAX: usize = 20;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

/// A producer with a transactional id.
struct Writer {
    producer: Producer,
    sequence: i32,
    /// The offsets of its open transaction.
    open: Vec<i64>,
}

/// One that is idempotent only.
struct Idempotent {
    id: i64,
    epoch: i16,
    sequence: i32,
    last: Option<(Batch, i64)>,
}

struct World {
    random: Random,
    broker: Broker,
    client: Client,
    writers: Vec<Writer>,
    idempotent: Vec<Idempotent>,
    /// What is or may yet be committed, by offset: key and value, empty for a tombstone.
    log: BTreeMap<i64, (String, String)>,
    log_start: i64,
    written: usize,
}

impl World {
    fn records(&mut self) -> Vec<(String, String)> {
        let count = 1 + self.random.below(4);
        (0..count)
            .map(|_| {
                self.written += 1;
                let key = format!("key-{}", self.random.below(KEYS));
                let value = match self.random.below(6) {
                    0 => String::new(),
                    _ => format!("{}-{}", self.written, "v".repeat(self.random.below(500))),
                };
                (key, value)
            })
            .collect()
    }

    fn batch(&mut self, rows: &[(String, String)]) -> Batch {
        let mut batch = Batch::of_values(Vec::<Bytes>::new()).with_codec(Codec::ALL[self.random.below(5)]);
        batch.records = rows
            .iter()
            .map(|(key, value)| Record {
                key: Some(key.clone().into()),
                value: Some(value.clone().into()).filter(|value: &Bytes| !value.is_empty()),
                timestamp: now_ms(),
                ..Record::default()
            })
            .collect();
        batch
    }

    fn know(&mut self, base: i64, rows: Vec<(String, String)>) -> Vec<i64> {
        let offsets: Vec<_> = (base..).take(rows.len()).collect();
        self.log.extend(offsets.iter().copied().zip(rows));
        offsets
    }

    fn plain(&mut self) {
        let rows = self.records();
        let batch = self.batch(&rows);
        let base = self.client.must_produce(TOPIC, 0, &batch);
        self.know(base, rows);
    }

    fn idempotent(&mut self) {
        let at = self.random.below(self.idempotent.len());
        // The last batch of a producer is known as long as the producer is, whatever became of its records.
        if self.random.below(3) == 0
            && let Some((batch, base)) = self.idempotent[at].last.clone()
        {
            let again = self.client.produce(TOPIC, 0, batch.build()).expect("answered");
            assert_eq!((again.error_code, again.base_offset), (code::NONE, base), "{batch:?} once more");
            return;
        }
        let rows = self.records();
        let batch = self.batch(&rows);
        let one = &mut self.idempotent[at];
        let batch = batch.from_producer(one.id, one.epoch, one.sequence);
        let base = self.client.must_produce(TOPIC, 0, &batch);
        one.sequence += rows.len() as i32;
        one.last = Some((batch, base));
        self.know(base, rows);
    }

    fn transactional(&mut self) {
        let at = self.random.below(self.writers.len());
        if !self.writers[at].open.is_empty() && self.random.below(3) == 0 {
            return self.end(at);
        }
        let rows = self.records();
        let batch = self.batch(&rows);
        let (client, writer) = (&mut self.client, &mut self.writers[at]);
        if writer.producer.protocol == Protocol::First && writer.open.is_empty() {
            writer.producer.must_add(client, TOPIC, &[0]);
        }
        let mut batch = batch.from_producer(writer.producer.id, writer.producer.epoch, writer.sequence);
        batch.attributes |= TRANSACTIONAL;
        let request = produce_request(TOPIC, 0, batch.build())
            .with_transactional_id(Some(TransactionalId(text(&writer.producer.name))));
        let version = writer.producer.protocol.produce_version();
        let answer = until_free(|| Ok(row_of_produce(client.call(version, &request)?)), |row| row.error_code);
        let answer = answer.expect("answered");
        assert_eq!(answer.error_code, code::NONE, "{batch:?}");
        writer.sequence += rows.len() as i32;
        let offsets = self.know(answer.base_offset, rows);
        self.writers[at].open.extend(offsets);
    }

    fn end(&mut self, at: usize) {
        let writer = &mut self.writers[at];
        let commit = self.random.below(3) > 0;
        let before = (writer.producer.id, writer.producer.epoch);
        writer.producer.must_end(&mut self.client, commit);
        if (writer.producer.id, writer.producer.epoch) != before {
            writer.sequence = 0;
        }
        let offsets = std::mem::take(&mut writer.open);
        if !commit {
            self.log.retain(|offset, _| !offsets.contains(offset));
        }
    }

    fn delete_records(&mut self) {
        let end = self.client.offset_at(TOPIC, 0, LATEST);
        // What is open stays: a transaction without its beginning is another matter.
        let open = self.writers.iter().flat_map(|writer| writer.open.first().copied()).min();
        let before =
            self.log_start + self.random.below((open.unwrap_or(end).min(end) - self.log_start).max(1) as usize) as i64;
        let (error, low) = self.client.delete_records(TOPIC, 0, before).expect("answered");
        assert_eq!((error, low), (code::NONE, before.max(self.log_start)));
        self.log_start = low;
        self.log = self.log.split_off(&low);
    }

    fn step(&mut self, deletes: bool) {
        match self.random.below(40) {
            0..12 => self.plain(),
            12..22 => self.idempotent(),
            22 if deletes => self.delete_records(),
            _ => self.transactional(),
        }
    }

    /// Since the last start.
    fn cleanings(&self) -> usize {
        self.broker.log().iter().filter(|line| line.contains("log cleaned")).count()
    }

    fn check(&mut self, when: &str) {
        let start = self.client.offset_at(TOPIC, 0, EARLIEST);
        assert_eq!(start, self.log_start, "{when}");
        let open: Vec<_> = self.writers.iter().filter(|writer| !writer.open.is_empty()).collect();
        let first = open.iter().map(|writer| writer.open[0]).min();
        // In a durable topic a transaction ends for readers when its marker is on the disk, which may be after the answer.
        let mut stable = 0;
        wait_until(&format!("{when}: readers may read all that has ended"), LIMIT, || {
            let end = self.client.offset_at(TOPIC, 0, LATEST);
            stable = last_stable_offset(&mut self.client, TOPIC, 0);
            assert!(first.is_none_or(|first| stable <= first), "{when}: {stable} is stable, beyond {first:?}");
            stable == first.unwrap_or(end)
        });
        let mut known = open_transactions(&mut self.client, TOPIC, 0);
        known.retain(|_, first| *first >= 0);
        let expected = open.iter().map(|writer| (writer.producer.id, writer.open[0])).collect();
        assert_eq!(known, expected, "{when}: open transactions");
        let mut wanted: BTreeMap<_, _> = self.log.range(..stable).map(|(_, row)| row.clone()).collect();
        wanted.retain(|_, value| !value.is_empty());
        let mut table = self.read_table(when, start);
        // A tombstone that may go at once can go between two of the reader's fetches, its value already read: then the
        // next reader must find it right.
        for _ in 0..READERS_MAX {
            if table == wanted {
                return;
            }
            table = self.read_table(when, start);
        }
        let differs: Vec<_> = wanted.iter().filter(|(key, value)| table.get(*key) != Some(value)).collect();
        let extra: Vec<_> = table.iter().filter(|(key, _)| !wanted.contains_key(*key)).collect();
        panic!("{when}: wanted {differs:?}, and not {extra:?}");
    }

    /// What a reader of committed records makes of the whole log; each record must be one that was written there.
    fn read_table(&mut self, when: &str, start: i64) -> BTreeMap<String, String> {
        let (mut table, mut next) = (BTreeMap::new(), start);
        loop {
            let data = try_fetch_committed(&mut self.client, TOPIC, 0, next).expect("answered");
            assert_eq!(data.error_code, code::NONE);
            for record in committed_records(&data, next) {
                let key = String::from_utf8_lossy(record.key.as_deref().expect("a key")).into_owned();
                if let Some((wanted, value)) = self.log.get(&record.offset) {
                    assert_eq!((&key, &value_of(&record)), (wanted, value), "{when}: offset {}", record.offset);
                } else {
                    panic!("{when}: a record at {} that was aborted or never written", record.offset);
                }
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
}

fn run(seed: u64, policy: &str, extra: &[(&str, &str)]) {
    let seed = from_environment("OTTLA_LIFE_SEED", 0) * 1000 + seed;
    let configs = [("cleanup.policy", policy), ("internal.segment.bytes", "12000"), ("retention.ms", "-1")];
    let configs: Vec<_> = configs.iter().chain(extra).copied().collect();
    let broker = busy_options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic(TOPIC, 1, &configs).expect("answered"), code::NONE);
    let writers = (0..3).map(|n| Writer {
        producer: Producer::new(&format!("writer-{n}"), Protocol::BOTH[n % 2]).started(&mut client),
        sequence: 0,
        open: Vec::new(),
    });
    let writers = writers.collect();
    let idempotent = (0..2).map(|_| {
        let (id, epoch) = client.init_producer_id().expect("answered");
        Idempotent { id, epoch, sequence: 0, last: None }
    });
    let idempotent = idempotent.collect();
    let mut world = World {
        random: Random::new(seed),
        broker,
        client,
        writers,
        idempotent,
        log: BTreeMap::new(),
        log_start: 0,
        written: 0,
    };
    let mut cleanings = 0;
    for kill in 0..from_environment("OTTLA_LIFE_KILLS", 8) {
        for _ in 0..1 + world.random.below(STEPS_MAX) {
            world.step(policy.contains("delete"));
        }
        world.check(&format!("seed {seed}, before stop {kill}"));
        for _ in 0..world.random.below(40) {
            world.step(policy.contains("delete"));
        }
        // On a busy machine, where the cleaner comes last, it would never see the end of a pass.
        let waits = Instant::now() + LIMIT;
        while kill % 3 == 0 && world.cleanings() == 0 && Instant::now() < waits {
            world.step(policy.contains("delete"));
        }
        cleanings += world.cleanings();
        if world.random.below(5) == 0 {
            world.broker.terminate();
        } else {
            world.broker.kill();
        }
        world.broker.restart();
        world.client = world.broker.client();
        crate::producer::find_coordinator(&mut world.client, "writer-0");
        world.check(&format!("seed {seed}, after stop {kill}"));
    }
    assert!(cleanings > 0, "the cleaner was at work");
}

#[test] // S33
fn compacted() {
    run(1, "compact", &[("delete.retention.ms", "0")]);
}

#[test]
fn compacted_with_tombstones_that_stay_a_while() {
    run(2, "compact", &[("delete.retention.ms", "300")]);
}

#[test]
fn compacted_and_deleted_from() {
    run(3, "compact,delete", &[("delete.retention.ms", "0")]);
}

#[test]
fn compacted_and_durable() {
    run(4, "compact", &[("delete.retention.ms", "0"), ("flush.messages", "1")]);
}
