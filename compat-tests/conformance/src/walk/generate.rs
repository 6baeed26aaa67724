//! Walks from a seed. A small model of what should be there keeps most steps meaningful; nothing relies on it being right.

use std::collections::BTreeMap;

use super::Plan;
use super::op::{At, ConsumerOp, FAULTS, GROUPS, GroupOp, MEMBERS, Op, PRODUCERS, TOPICS, TransactionOp};
use crate::batch::Codec;
use crate::scenarios::requests::{APPEND, DELETE, SET, SUBTRACT};

/// xorshift64*: the same numbers on every machine and in every release.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() >> 11) as i64 % (high - low + 1)
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.between(1, n) == 1
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() as i64 - 1) as usize]
    }
}

const CONFIGS: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("cleanup.policy", "compact,delete"),
    ("message.timestamp.type", "LogAppendTime"),
    ("compression.type", "gzip"),
    ("compression.type", "uncompressed"),
    ("max.message.bytes", "150"),
    ("retention.ms", "100000000"),
    ("segment.bytes", "1048576"),
    ("message.timestamp.after.max.ms", "1000"),
    ("retention.ms", "x"),
    ("no.such", "1"),
];

const KEYS: &[&str] =
    &["cleanup.policy", "message.timestamp.type", "compression.type", "max.message.bytes", "retention.ms"];

/// What the walk believes: partitions by topic, and the records in each.
#[derive(Default)]
struct Model {
    topics: BTreeMap<u8, Vec<i64>>,
    sequences: BTreeMap<(i64, u8, i32), (i16, i32)>,
}

/// One walk of a plan.
pub fn walk(plan: Plan, walk: u64) -> Vec<Op> {
    let Plan { seed, steps, restarts, .. } = plan;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ walk.wrapping_mul(0xd1b5_4a32_d192_ed03) | 1);
    for _ in 0..8 {
        random.next();
    }
    let mut model = Model::default();
    let mut ops = vec![create(&mut random, &mut model, 0)];
    while ops.len() < steps {
        let topic = random.between(0, i64::from(TOPICS) - 1) as u8;
        if restarts && random.one_in(60) {
            ops.push(Op::Restart);
        } else if random.one_in(5) {
            ops.push(Op::Consumer(consumer_step(&mut random)));
        } else if random.one_in(3) {
            let producer = random.between(0, i64::from(PRODUCERS) - 1) as u8;
            ops.push(Op::Transaction { producer, op: transaction_step(&mut random) });
        } else if random.one_in(3) {
            let group = random.between(0, i64::from(GROUPS) - 1) as u8;
            ops.push(Op::Group { group, op: group_step(&mut random) });
        } else if !model.topics.contains_key(&topic) && !random.one_in(6) {
            ops.push(create(&mut random, &mut model, topic));
        } else {
            ops.push(step(&mut random, &mut model, topic));
        }
    }
    ops
}

fn create(random: &mut Random, model: &mut Model, topic: u8) -> Op {
    let partitions = if random.one_in(15) { random.of(&[0, -1, -2]) } else { random.between(1, 3) as i32 };
    let config = random.one_in(2).then(|| random.of(CONFIGS));
    let validate_only = random.one_in(10);
    let valid =
        partitions != 0 && partitions != -2 && !validate_only && config.is_none_or(|(k, v)| k != "no.such" && v != "x");
    if valid {
        model.topics.entry(topic).or_insert_with(|| vec![0; partitions.max(1) as usize]);
    }
    Op::Create { topic, partitions, config, version: random.between(2, 7) as i16, validate_only }
}

fn step(random: &mut Random, model: &mut Model, topic: u8) -> Op {
    let partitions = model.topics.get(&topic).map_or(0, Vec::len) as i64;
    // Now and then a partition that is not there.
    let partition = if random.one_in(25) {
        random.of(&[-1, partitions as i32])
    } else {
        random.between(0, partitions.max(1) - 1) as i32
    };
    let end = model.topics.get(&topic).and_then(|p| p.get(partition as usize)).copied().unwrap_or(0);
    match random.between(0, 99) {
        0..=2 => {
            model.topics.remove(&topic);
            Op::Delete { topic, version: random.between(1, 6) as i16 }
        }
        3..=5 => {
            let count = random.between(partitions - 1, partitions + 1) as i32;
            if let Some(known) = model.topics.get_mut(&topic)
                && count as usize > known.len()
            {
                known.resize(count as usize, 0);
            }
            Op::Grow { topic, count, version: random.between(0, 3) as i16 }
        }
        6..=10 => {
            let (key, value) = random.of(CONFIGS);
            Op::Alter { topic, key, operation: random.of(&[SET, SET, SET, DELETE, DELETE, APPEND, SUBTRACT]), value }
        }
        11..=13 => create(random, model, topic),
        14..=29 => {
            let records = random.between(1, 4) as usize;
            appended(model, topic, partition, records);
            let codec = random.of(&[Codec::None, Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]);
            Op::Produce {
                topic,
                partition,
                records,
                codec,
                acks: random.of(&[-1, -1, 1]),
                version: random.between(3, 13) as i16,
            }
        }
        30..=43 => idempotent(random, model, topic, partition),
        44..=48 => Op::Bad { topic, partition, fault: random.of(&FAULTS) },
        49..=60 => Op::Fetch {
            topic,
            partition,
            offset: random.between(-1, end + 1),
            max_bytes: random.of(&[1 << 20, 1 << 20, 1, 150, 400]),
            isolation: random.of(&[0, 0, 1]),
            version: random.between(4, 18) as i16,
        },
        61..=63 => Op::OpenSession { topic, offset: random.between(0, end), by_id: random.one_in(2) },
        64..=71 => Op::NextInSession {
            skip: if random.one_in(15) { random.of(&[-1, 1, 5]) } else { 0 },
            ask: random.one_in(2).then(|| (topic, partition, random.between(0, end))),
            forget: random.one_in(5).then_some((topic, partition)),
            max_bytes: random.of(&[1 << 20, 1 << 20, 1]),
        },
        72 => Op::CloseSession,
        73..=80 => {
            let at = if random.one_in(2) {
                At::Special(random.of(&[-1, -2, -3, -4, -5]))
            } else {
                At::Time(random.between(-2, 12))
            };
            Op::ListOffsets { topic, partition, at, version: random.between(1, 10) as i16 }
        }
        81..=84 => Op::DeleteRecords { topic, partition, offset: random.between(-1, end + 1) },
        85..=88 => Op::Metadata { topic, version: random.between(4, 13) as i16 },
        89..=90 => Op::DescribePartitions { limit: random.between(1, 6) as i32 },
        91..=93 => Op::DescribeConfigs { topic, key: random.of(KEYS), version: random.between(1, 4) as i16 },
        94..=96 => Op::DescribeProducers { topic, partition },
        97 => Op::DescribeLogDirs,
        _ => Op::EpochEnd { topic, partition, epoch: random.between(-1, 2) as i32 },
    }
}

/// No two orders of the same protocols: of a draw Kafka makes what its hash tables say.
const PROTOCOLS: [&[(&str, &str)]; 5] = [
    &[("range", "a")],
    &[("range", "b")],
    &[("range", "a"), ("sticky", "b")],
    &[("range", "a"), ("sticky", "b")],
    &[("sticky", "c")],
];

fn group_step(random: &mut Random) -> GroupOp {
    let member = random.between(0, i64::from(MEMBERS) - 1) as u8;
    let skip = if random.one_in(12) { random.of(&[-1, 1, -100]) } else { 0 };
    let (topic, partition) = (random.between(0, i64::from(TOPICS) - 1) as u8, random.between(0, 2) as i32);
    match random.between(0, 99) {
        0..=34 => GroupOp::Join {
            member,
            fresh: random.one_in(10),
            protocols: random.of(&PROTOCOLS),
            version: random.between(if member == MEMBERS - 1 { 5 } else { 0 }, 9) as i16,
        },
        35..=54 => GroupOp::Sync { member, skip, version: random.between(0, 5) as i16 },
        55..=64 => GroupOp::Heartbeat { member, skip, version: random.between(0, 4) as i16 },
        65..=71 => GroupOp::Leave { member, version: random.between(0, 5) as i16 },
        72..=80 => GroupOp::Commit {
            member: (!random.one_in(4)).then_some(member),
            skip,
            topic,
            partition,
            offset: random.between(0, 100),
            version: random.between(2, 9) as i16,
        },
        81..=87 => GroupOp::FetchOffsets {
            topic: random.one_in(2).then_some((topic, partition)),
            version: random.between(2, 9) as i16,
        },
        88 => GroupOp::DeleteOffset { topic, partition },
        89..=94 => GroupOp::Describe { version: random.between(0, 6) as i16 },
        95..=96 => GroupOp::List { version: random.between(0, 5) as i16 },
        _ => GroupOp::Delete { version: random.between(0, 2) as i16 },
    }
}

fn consumer_step(random: &mut Random) -> ConsumerOp {
    let skip = if random.one_in(12) { random.of(&[-1, 1, -100]) } else { 0 };
    let (topic, partition) = (random.between(0, i64::from(TOPICS) - 1) as u8, random.between(0, 2) as i32);
    match random.between(0, 99) {
        0..=54 => ConsumerOp::Beat {
            skip,
            owns: !random.one_in(3),
            subscribed: random.one_in(4).then(|| random.between(0, (1 << TOPICS) - 1) as u8),
            version: random.between(0, 1) as i16,
        },
        55..=61 => ConsumerOp::Leave { version: random.between(0, 1) as i16 },
        62..=72 => ConsumerOp::Commit { skip, topic, partition, offset: random.between(0, 100) },
        73..=81 => ConsumerOp::FetchOffsets { skip },
        82..=84 => ConsumerOp::DeleteOffset { topic, partition },
        85..=96 => ConsumerOp::Describe { version: random.between(0, 1) as i16 },
        _ => ConsumerOp::Delete,
    }
}

fn transaction_step(random: &mut Random) -> TransactionOp {
    let skip = if random.one_in(15) { random.of(&[-1, 1, 5]) } else { 0 };
    let (topic, partition) = (random.between(0, i64::from(TOPICS) - 1) as u8, random.between(0, 2) as i32);
    match random.between(0, 99) {
        0..=7 => TransactionOp::Init { again: random.one_in(2), version: random.between(3, 5) as i16 },
        8..=19 => TransactionOp::Add { topic, partition, skip, version: random.between(0, 3) as i16 },
        20..=24 => TransactionOp::AddOffsets { skip, version: random.between(0, 4) as i16 },
        25..=54 => TransactionOp::Produce {
            topic,
            partition,
            behind: if random.one_in(10) { random.of(&[-1, 1, 3]) } else { 0 },
            skip,
            version: random.between(11, 13) as i16,
        },
        55..=64 => TransactionOp::CommitOffsets {
            topic,
            partition,
            offset: random.between(0, 100),
            skip,
            version: random.between(4, 5) as i16,
        },
        65..=84 => TransactionOp::End { commit: !random.one_in(3), skip, version: random.of(&[2, 3, 4, 5, 5, 5]) },
        85..=91 => TransactionOp::Describe,
        _ => TransactionOp::FetchOffsets { stable: random.one_in(2) },
    }
}

/// Mostly the sequence that is due; now and then a duplicate, a gap, another epoch.
fn idempotent(random: &mut Random, model: &mut Model, topic: u8, partition: i32) -> Op {
    let producer = random.between(0, 1);
    let records = random.between(1, 3) as usize;
    let known = model.sequences.entry((producer, topic, partition)).or_insert((0, 0));
    let (epoch, sequence) = match random.between(0, 9) {
        0 => (known.0, (known.1 - records as i32).max(0)),
        1 => (known.0, (known.1 - random.between(1, 9) as i32).max(0)),
        2 => (known.0, known.1 + random.between(1, 3) as i32),
        3 => (known.0 - 1, known.1),
        4 => (known.0 + 1, random.of(&[0, 0, 0, 1])),
        _ => *known,
    };
    if (epoch, sequence) == *known || (epoch == known.0 + 1 && sequence == 0) {
        *known = (epoch, sequence + records as i32);
        appended(model, topic, partition, records);
    }
    Op::Idempotent { topic, partition, producer, epoch, sequence, records }
}

fn appended(model: &mut Model, topic: u8, partition: i32, records: usize) {
    if let Some(end) = model.topics.get_mut(&topic).and_then(|p| p.get_mut(partition as usize)) {
        *end += records as i64;
    }
}
