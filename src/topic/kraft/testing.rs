//! Kafka's metadata, written by hand for tests.

use std::path::{Path, PathBuf};

use super::METADATA_DIR;
use crate::base::TopicId;
use crate::record::build::{BatchFields, NewRecord, build};
use crate::record::{Codec, HEADER_BYTES, batch};

fn unsigned(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn string(out: &mut Vec<u8>, text: &str) {
    unsigned(out, text.len() + 1);
    out.extend(text.as_bytes());
}

fn nodes(out: &mut Vec<u8>, nodes: &[i32]) {
    unsigned(out, nodes.len() + 1);
    nodes.iter().for_each(|node| out.extend(node.to_be_bytes()));
}

pub fn frame(key: usize, version: usize, body: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    unsigned(&mut out, key);
    unsigned(&mut out, version);
    out.extend(body);
    out
}

fn untagged(key: usize, mut body: Vec<u8>) -> Vec<u8> {
    body.push(0);
    frame(key, 0, &body)
}

pub fn id(number: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(number << 64))
}

pub fn topic(name: &str, id: TopicId) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, name);
    body.extend(id.0.as_bytes());
    untagged(2, body)
}

/// In version 2, with a tagged field.
pub fn partition(topic: TopicId, index: i32, epoch: i32, replicas: &[i32]) -> Vec<u8> {
    let mut body = index.to_be_bytes().to_vec();
    body.extend(topic.0.as_bytes());
    for list in [replicas, replicas, &[], &[]] {
        nodes(&mut body, list);
    }
    body.extend(1i32.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    unsigned(&mut body, 2);
    body.extend(uuid::Uuid::nil().as_bytes());
    body.extend([1, 1, 2, 1, 9]);
    frame(3, 2, &body)
}

/// With `leader` as tag 1, and a tag that nobody knows behind it.
pub fn partition_change(topic: TopicId, index: i32, leader: Option<i32>) -> Vec<u8> {
    let mut body = index.to_be_bytes().to_vec();
    body.extend(topic.0.as_bytes());
    match leader {
        Some(leader) => {
            body.extend([2, 1, 4]);
            body.extend(leader.to_be_bytes());
        }
        None => body.push(1),
    }
    body.extend([40, 2, 0xff, 0xff]);
    frame(5, 1, &body)
}

pub fn remove_topic(id: TopicId) -> Vec<u8> {
    untagged(9, id.0.as_bytes().to_vec())
}

pub fn config(resource_type: i8, resource: &str, key: &str, value: Option<&str>) -> Vec<u8> {
    let mut body = vec![resource_type as u8];
    string(&mut body, resource);
    string(&mut body, key);
    match value {
        Some(value) => string(&mut body, value),
        None => body.push(0),
    }
    untagged(4, body)
}

pub fn producer_ids(next: i64) -> Vec<u8> {
    let mut body = 1i32.to_be_bytes().to_vec();
    body.extend(7i64.to_be_bytes());
    body.extend(next.to_be_bytes());
    untagged(15, body)
}

pub fn broker_registered(node: i32, epoch: i64) -> Vec<u8> {
    let mut body = node.to_be_bytes().to_vec();
    body.push(0);
    body.extend([7; 16]);
    body.extend(epoch.to_be_bytes());
    // Endpoints and what else there is: nobody looks.
    body.extend([1, 1, 0, 0]);
    frame(0, 3, &body)
}

pub fn begin() -> Vec<u8> {
    frame(23, 0, &[1, 0, 5, b'n', b'a', b'm', b'e'])
}

pub fn end() -> Vec<u8> {
    untagged(24, Vec::new())
}

pub fn abort() -> Vec<u8> {
    untagged(25, Vec::new())
}

/// A batch at `base_offset`.
pub fn batch_of(codec: Codec, control: bool, base_offset: i64, values: &[Vec<u8>]) -> Vec<u8> {
    let record = |value: &Vec<u8>| NewRecord {
        key: control.then(|| vec![0, 0, 0, 3].into()),
        value: Some(value.clone().into()),
        timestamp: 1,
        ..NewRecord::default()
    };
    let records: Vec<NewRecord> = values.iter().map(record).collect();
    let mut bytes = build(&BatchFields { codec, control, ..BatchFields::default() }, &records).expect("built");
    let head: &mut [u8; HEADER_BYTES] = (&mut bytes[..HEADER_BYTES]).try_into().expect("a header");
    batch::assign(head, base_offset, 1);
    bytes
}

/// A metadata directory that grows.
pub struct Writer {
    pub dir: PathBuf,
    next: i64,
    segment: PathBuf,
}

impl Writer {
    pub fn new(data_dir: &Path) -> Writer {
        let dir = data_dir.join(METADATA_DIR);
        std::fs::create_dir_all(&dir).expect("created");
        let segment = dir.join(format!("{:020}.log", 0));
        std::fs::write(&segment, b"").expect("written");
        let mut writer = Writer { dir, next: 0, segment };
        // The leader's first word, as in every log.
        writer.append_batch(|at| batch_of(Codec::None, true, at, &[vec![0, 0]]), 1);
        writer
    }

    pub fn append(&mut self, codec: Codec, values: &[Vec<u8>]) {
        self.append_batch(|at| batch_of(codec, false, at, values), values.len() as i64);
    }

    fn append_batch(&mut self, batch: impl Fn(i64) -> Vec<u8>, records: i64) {
        let mut bytes = std::fs::read(&self.segment).expect("read");
        bytes.extend(batch(self.next));
        std::fs::write(&self.segment, bytes).expect("written");
        self.next += records;
    }

    pub fn roll(&mut self) {
        self.segment = self.dir.join(format!("{:020}.log", self.next));
        std::fs::write(&self.segment, b"").expect("written");
    }

    pub fn segment(&self) -> &Path {
        &self.segment
    }

    /// A snapshot of everything so far.
    pub fn snapshot(&self, values: &[Vec<u8>]) -> PathBuf {
        let mut bytes = batch_of(Codec::None, true, 0, &[vec![0]]);
        bytes.extend(batch_of(Codec::None, false, 1, values));
        bytes.extend(batch_of(Codec::None, true, 1 + values.len() as i64, &[vec![0]]));
        let path = self.dir.join(format!("{:020}-{:010}.checkpoint", self.next, 1));
        std::fs::write(&path, bytes).expect("written");
        path
    }
}
