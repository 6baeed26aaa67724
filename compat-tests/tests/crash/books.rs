//! What the broker has acknowledged, to be held against what it has after a crash.

use std::collections::{BTreeMap, BTreeSet};

use compat_tests::batch::Record;
use compat_tests::calls::{EARLIEST, LATEST, Resource, code};
use compat_tests::wire::Client;

/// One partition with one producer, whose records carry 0, 1, 2, ...
#[derive(Debug)]
pub struct PartitionBook {
    pub topic: String,
    pub partition: i32,
    /// First offset and number of every acknowledged batch's first record, and its count of records.
    acknowledged: Vec<(i64, u64, u64)>,
    /// The next record's number.
    pub next_number: u64,
    /// Below this offset everything was compared already.
    compared_to: i64,
    last_number: Option<u64>,
    /// An idempotent producer sends again what was not answered: then nothing at all may be missing.
    pub complete: bool,
}

impl PartitionBook {
    pub fn new(topic: &str, partition: i32, complete: bool) -> PartitionBook {
        PartitionBook {
            topic: topic.to_owned(),
            partition,
            acknowledged: Vec::new(),
            next_number: 0,
            compared_to: 0,
            last_number: None,
            complete,
        }
    }

    pub fn acknowledge(&mut self, base_offset: i64, first_number: u64, count: u64) {
        self.acknowledged.push((base_offset, first_number, count));
    }

    pub fn acknowledged_records(&self) -> u64 {
        self.acknowledged.iter().map(|(_, _, count)| count).sum()
    }

    /// Reads what is new since the last comparison.
    pub fn compare(&mut self, client: &mut Client) {
        let records = client.read_from(&self.topic, self.partition, self.compared_to);
        let (from, place) = (self.compared_to, format!("{}-{}", self.topic, self.partition));
        let numbers: Vec<u64> = records.iter().map(number_of).collect();
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.offset, from + index as i64, "offsets of {place} are dense");
        }
        for number in &numbers {
            assert!(
                self.last_number < Some(*number),
                "{place}: {number} after {:?}, twice or out of order",
                self.last_number
            );
            assert!(
                !self.complete || *number == self.last_number.map_or(0, |last| last + 1),
                "{place}: gap at {number}"
            );
            self.last_number = Some(*number);
        }
        for (offset, first, count) in self.acknowledged.iter().filter(|(offset, _, _)| *offset >= from) {
            let index = (offset - from) as usize;
            let found = numbers.get(index..index + *count as usize);
            let expected: Vec<_> = (*first..first + count).collect();
            assert_eq!(
                found,
                Some(&expected[..]),
                "{place}: acknowledged at {offset}, log ends at {}",
                from + numbers.len() as i64
            );
        }
        self.compared_to += records.len() as i64;
    }

    /// Compares from the first offset again.
    pub fn compare_all(&mut self, client: &mut Client) {
        (self.compared_to, self.last_number) = (0, None);
        self.compare(client);
    }
}

pub fn value_of(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = format!("{number:020}").into_bytes();
    // Not the same byte over and over: a page of another record must not pass for this one.
    value.extend((value.len()..bytes).map(|at| (at as u64 ^ number) as u8));
    value
}

fn number_of(record: &Record) -> u64 {
    let value = record.value.as_deref().expect("a value");
    let number = std::str::from_utf8(&value[..20]).expect("digits").parse().expect("a number");
    assert!(value == value_of(number, value.len()), "the value of record {number} is damaged");
    number
}

/// What the administrator was told.
#[derive(Debug, Default)]
pub struct AdminBook {
    pub topics: BTreeSet<String>,
    pub deleted: BTreeSet<String>,
    /// `retention.ms` of the topic `configured`.
    pub retention_ms: Option<u64>,
    pub partitions: i32,
    /// Log start of `trimmed-0`.
    pub log_start: i64,
    pub pending: Option<Change>,
    pub steps: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Create(String),
    Delete(String),
    Configure(u64),
    Grow(i32),
    Trim(i64),
}

impl AdminBook {
    /// Sends one change and notes it; an `Err` leaves it pending: the crash decides.
    pub fn apply(&mut self, client: &mut Client, change: Change) -> std::io::Result<()> {
        self.pending = Some(change.clone());
        let error = match &change {
            Change::Create(name) => client.create_topic(name, 2, &[("retention.ms", "7654321")])?,
            Change::Delete(name) => client.delete_topic(name)?,
            Change::Configure(value) => {
                client.alter_config(Resource::Topic, "configured", "retention.ms", Some(&value.to_string()))?
            }
            Change::Grow(total) => client.create_partitions("grown", *total)?,
            Change::Trim(before) => client.delete_records("trimmed", 0, *before)?.0,
        };
        assert_eq!(error, code::NONE, "{change:?}");
        self.settle(change);
        Ok(())
    }

    fn settle(&mut self, change: Change) {
        match change {
            Change::Create(name) => drop(self.topics.insert(name)),
            Change::Delete(name) => {
                self.topics.remove(&name);
                self.deleted.insert(name);
            }
            Change::Configure(value) => self.retention_ms = Some(value),
            Change::Grow(total) => self.partitions = total,
            Change::Trim(before) => self.log_start = before,
        }
        self.pending = None;
    }

    /// A change without an answer is there whole or not at all; everything answered is there.
    pub fn compare(&mut self, client: &mut Client) {
        let found = client.all_topics().expect("Metadata is answered");
        let mut counts: BTreeMap<_, _> =
            found.iter().map(|t| (t.name.as_ref().expect("a name").to_string(), t.partitions.len() as i32)).collect();
        for topic in &found {
            for partition in &topic.partitions {
                assert_eq!(partition.error_code, 0, "{:?}-{}", topic.name, partition.partition_index);
            }
        }
        let retention = client.config(Resource::Topic, "configured", "retention.ms").expect("has a value");
        let retention: u64 = retention.parse().expect("a number");
        let log_start = client.offset_at("trimmed", 0, EARLIEST);
        let happened = match &self.pending {
            Some(Change::Create(name)) => counts.contains_key(name),
            Some(Change::Delete(name)) => !counts.contains_key(name),
            Some(Change::Configure(value)) => retention == *value,
            Some(Change::Grow(total)) => counts["grown"] == *total,
            Some(Change::Trim(before)) => log_start == *before,
            None => false,
        };
        match self.pending.take() {
            Some(change) if happened => self.settle(change),
            _ => {}
        }
        assert_eq!(counts.remove("grown"), Some(self.partitions), "partitions of `grown`"); // S18
        assert!(self.retention_ms.is_none_or(|acknowledged| acknowledged == retention), "{retention} {self:?}");
        assert_eq!(log_start, self.log_start, "log start of `trimmed`");
        assert!(client.offset_at("trimmed", 0, LATEST) >= self.log_start);
        for name in &self.topics {
            assert_eq!(counts.remove(name), Some(2), "topic {name} was acknowledged"); // S13
            assert_eq!(client.config(Resource::Topic, name, "retention.ms").as_deref(), Some("7654321"));
        }
        for name in &self.deleted {
            assert!(!counts.contains_key(name), "topic {name} was deleted and is back"); // S17
        }
    }
}
