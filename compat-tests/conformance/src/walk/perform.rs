//! Plays one step of a walk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::messages::describe_producers_request::TopicRequest as ProducersOf;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::{
    DescribeLogDirsRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest, FetchRequest,
};
use uuid::Uuid;

use super::consumers::Consumers;
use super::groups::Groups;
use super::op::{At, Fault, Op, TOPICS};
use super::transactions::Transactions;
use crate::batch::{Batch, batch, keyed, sized, value};
use crate::play::{Done, Play, Topic, topic_name};
use crate::scenarios::requests::*;

const LARGEST_TIMESTAMP: i64 = -3;
const COMPRESSING: (&str, &str) = ("compression.type", "gzip");
/// Producer ids of a walk: its own, so that walks do not meet.
const PRODUCERS_FROM: i64 = 9_000_000;

/// What a walk knows from the answers so far.
#[derive(Default)]
pub struct Walker {
    ids: BTreeMap<u8, Uuid>,
    session: Option<Session>,
    created: i64,
    /// Topics of which a partition was deleted up to its end. Kafka keeps the file that holds those records for a while.
    emptied: BTreeSet<u8>,
    /// A topic may have had batches compressed by the broker: no two compressors make the same of them.
    compressed: bool,
    /// Kafka begins a new leader epoch with each start.
    restarted: bool,
    groups: Groups,
    consumers: Consumers,
    transactions: Transactions,
}

/// End the label of a step that may show what is left in such a file, or its size.
const AFTER_EMPTIED: &str = ", records were deleted up to the end";
const AFTER_COMPRESSED: &str = ", batches were compressed by the broker";

struct Session {
    id: i32,
    epoch: i32,
    by_id: bool,
}

impl Walker {
    pub fn new() -> Walker {
        Walker::default()
    }

    fn topic(&self, play: &mut Play, topic: u8) -> Topic {
        let id = self.ids.get(&topic).copied().unwrap_or_else(|| play.unknown_id());
        Topic { name: play.name(&format!("t{topic}")), id }
    }

    /// The broker is stopped: requests that wait there are lost.
    pub fn disconnected(&mut self) {
        self.groups.disconnected();
        self.consumers.stopped = true;
        self.restarted = true;
    }

    /// It runs again: waits until every partition has its leader, which Kafka sees to only then.
    pub fn connected(&mut self, play: &mut Play) -> Done {
        for index in self.ids.keys().copied().collect::<Vec<_>>() {
            let topic = self.topic(play, index);
            let found = play.quiet(12, metadata(12, Some(&[&topic])))?.topics.remove(0);
            if found.error_code == 0 {
                play.settled(&topic, found.partitions.len() as i32)?;
            }
        }
        self.transactions.connected(play)
    }

    pub fn perform(&mut self, play: &mut Play, op: &Op) -> Done {
        match *op {
            Op::Create { topic, partitions, config, version, validate_only } => {
                self.create(play, topic, partitions, config, version, validate_only)?;
            }
            Op::Delete { topic, version } => {
                let topic = self.topic(play, topic);
                if play.ask("delete", version, delete(version, &[&topic]))?.responses[0].error_code == 0 {
                    play.gone(&topic)?;
                    files_gone(play, &topic)?;
                    self.groups.forget(play, &topic)?;
                    self.consumers.forget(play, &topic)?;
                    self.consumers.topics_changed = true;
                }
            }
            Op::Group { group, ref op } => {
                let topics: Vec<Topic> = (0..TOPICS).map(|t| self.topic(play, t)).collect();
                self.groups.perform(play, group, op, &topics)?;
            }
            Op::Grow { topic, count, version } => {
                let topic = self.topic(play, topic);
                if play.ask("grow", version, grow(&topic, count, None))?.results[0].error_code == 0 {
                    play.settled(&topic, count)?;
                    self.consumers.topics_changed = true;
                }
            }
            Op::Consumer(ref op) => {
                let topics: Vec<Topic> = (0..TOPICS).map(|t| self.topic(play, t)).collect();
                self.consumers.perform(play, op, &topics)?;
            }
            Op::Transaction { producer, ref op } => {
                let topics: Vec<Topic> = (0..TOPICS).map(|t| self.topic(play, t)).collect();
                self.transactions.perform(play, producer, op, &topics)?;
            }
            Op::Alter { topic, key, operation, value } => self.alter(play, topic, key, operation, value)?,
            Op::Produce { .. } | Op::Idempotent { .. } | Op::Bad { .. } => self.produce(play, op)?,
            Op::Fetch { topic, partition, offset, max_bytes, isolation, version } => {
                let part = from(partition, offset).with_partition_max_bytes(max_bytes);
                let topic = self.topic(play, topic);
                let cut = if self.compressed && max_bytes < 1 << 20 { AFTER_COMPRESSED } else { "" };
                play.ask(
                    &format!("fetch{cut}"),
                    version,
                    fetch(version, &topic, vec![part]).with_isolation_level(isolation),
                )?;
            }
            Op::OpenSession { .. } | Op::NextInSession { .. } | Op::CloseSession => self.session(play, op)?,
            Op::ListOffsets { topic, partition, at, version } => {
                let at = match at {
                    At::Special(at) => at,
                    At::Time(after) => play.t() + after,
                };
                let label = if at == LARGEST_TIMESTAMP && self.emptied.contains(&topic) { AFTER_EMPTIED } else { "" };
                let topic = self.topic(play, topic);
                play.ask(&format!("list offsets{label}"), version, list_offsets(&topic, &[(partition, at)]))?;
            }
            Op::DeleteRecords { topic, partition, offset } => {
                let index = topic;
                let topic = self.topic(play, topic);
                let answer = play.ask("delete records", 2, delete_records(&topic, &[(partition, offset)]))?;
                let start = answer.topics[0].partitions[0].low_watermark;
                let end = play.quiet(7, list_offsets(&topic, &[(partition, -1)]))?.topics[0].partitions[0].offset;
                if start > 0 && start == end {
                    self.emptied.insert(index);
                }
            }
            Op::Restart => {}
            _ => self.look(play, op)?,
        }
        Ok(())
    }

    fn create(
        &mut self,
        play: &mut Play,
        index: u8,
        partitions: i32,
        config: Option<(&'static str, &'static str)>,
        version: i16,
        validate_only: bool,
    ) -> Done {
        let topic = self.topic(play, index);
        let configs: Vec<_> = config.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let request = create(vec![creatable(&topic, partitions, 1, &configs)]).with_validate_only(validate_only);
        let mut answer = play.ask("create", version, request)?;
        if answer.topics.remove(0).error_code != 0 || validate_only {
            return Ok(());
        }
        play.settled(&topic, partitions.max(1))?;
        let id = play.quiet(12, metadata(12, Some(&[&topic])))?.topics[0].topic_id;
        self.created += 1;
        self.consumers.topics_changed = true;
        play.names.uuid(id, format!("<id {}>", self.created));
        self.ids.insert(index, id);
        self.emptied.remove(&index);
        self.compressed |= config == Some(COMPRESSING);
        Ok(())
    }

    /// Kafka shows a change a moment after it has answered: the walk goes on when the value is another, or stays after a while.
    fn alter(&mut self, play: &mut Play, index: u8, key: &'static str, operation: i8, value: &'static str) -> Done {
        let topic = self.topic(play, index);
        let look = describe(TOPIC, &topic, &[key]);
        let value = (operation != DELETE).then_some(value);
        let answer = play.ask("alter", 1, change(TOPIC, &topic, &[(key, operation, value)]))?;
        if answer.responses[0].error_code == 0 {
            self.compressed |= value.is_some_and(|value| (key, value) == COMPRESSING);
            let end = std::time::Instant::now() + std::time::Duration::from_millis(1500);
            let expected = if operation == SET { value } else { None };
            while std::time::Instant::now() < end && play.target().settles_late {
                let seen = play.quiet(4, look.clone())?;
                let config = seen.results[0].configs.first();
                let settled = match expected {
                    Some(value) => config.is_some_and(|c| c.value.as_deref() == Some(value)),
                    None => operation == DELETE && config.is_some_and(|c| c.config_source != 1),
                };
                if settled {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            play.settle();
        }
        Ok(())
    }

    fn produce(&mut self, play: &mut Play, op: &Op) -> Done {
        let (topic, partition, version, acks, bytes) = match *op {
            Op::Produce { topic, partition, records, codec, acks, version } => {
                (topic, partition, version, acks, many(play, records).codec(codec).bytes())
            }
            Op::Idempotent { topic, partition, producer, epoch, sequence, records } => {
                let id = PRODUCERS_FROM + producer;
                (topic, partition, 9, -1, many(play, records).producer(id, epoch, sequence).bytes())
            }
            Op::Bad { topic, partition, fault } => (topic, partition, 9, -1, bad(play, fault)),
            _ => return Ok(()),
        };
        let topic = self.topic(play, topic);
        // With LogAppendTime no two batches share a millisecond, however fast a broker is.
        std::thread::sleep(std::time::Duration::from_millis(2));
        play.attempt(
            "main",
            "produce",
            version,
            produce_to(version, &topic, vec![(partition, bytes)]).with_acks(acks),
        )?;
        Ok(())
    }

    fn session(&mut self, play: &mut Play, op: &Op) -> Done {
        match *op {
            Op::OpenSession { topic, offset, by_id } => {
                let version = if by_id { 13 } else { 12 };
                let topic = self.topic(play, topic);
                let parts = (0..3).map(|p| from(p, offset)).collect();
                let answer =
                    play.ask("open a session", version, fetch(version, &topic, parts).with_session_epoch(0))?;
                self.session = (answer.session_id != 0).then_some(Session { id: answer.session_id, epoch: 1, by_id });
            }
            Op::NextInSession { skip, ask, forget, max_bytes } => {
                let Some(Session { id, epoch, by_id }) = self.session else { return Ok(()) };
                let version = if by_id { 13 } else { 12 };
                let asked = ask.map(|(topic, partition, offset)| {
                    fetch_topic(version, &self.topic(play, topic), vec![from(partition, offset)])
                });
                let mut request: FetchRequest = fetch_topics(asked.into_iter().collect()).with_max_bytes(max_bytes);
                if let Some((topic, partition)) = forget {
                    request.forgotten_topics_data = vec![forgotten(version, &self.topic(play, topic), &[partition])];
                }
                let answer = play.ask(
                    "go on in the session",
                    version,
                    request.with_session_id(id).with_session_epoch(epoch + skip),
                )?;
                if answer.error_code == 0 {
                    self.session = (answer.session_id == id).then_some(Session { id, epoch: epoch + skip + 1, by_id });
                }
            }
            _ => {
                let Some(Session { id, by_id, .. }) = self.session.take() else { return Ok(()) };
                let request = fetch_topics(vec![]).with_session_id(id).with_session_epoch(-1);
                play.ask("close the session", if by_id { 13 } else { 12 }, request)?;
            }
        }
        Ok(())
    }

    /// Steps that only look.
    fn look(&mut self, play: &mut Play, op: &Op) -> Done {
        match *op {
            Op::Metadata { topic, version } => {
                let topic = self.topic(play, topic);
                play.ask("metadata", version, metadata(version, Some(&[&topic])))?;
            }
            Op::DescribePartitions { limit } => {
                let topics =
                    (0..TOPICS).map(|t| TopicRequest::default().with_name(topic_name(&self.topic(play, t)))).collect();
                let request =
                    DescribeTopicPartitionsRequest::default().with_topics(topics).with_response_partition_limit(limit);
                play.ask("describe partitions", 0, request)?;
            }
            Op::DescribeConfigs { topic, key, version } => {
                let topic = self.topic(play, topic);
                play.ask("describe a config", version, describe(TOPIC, &topic, &[key]).with_include_synonyms(true))?;
            }
            Op::DescribeProducers { topic, partition } => {
                let of = ProducersOf::default()
                    .with_name(topic_name(&self.topic(play, topic)))
                    .with_partition_indexes(vec![partition]);
                play.ask("describe producers", 0, DescribeProducersRequest::default().with_topics(vec![of]))?;
            }
            Op::DescribeLogDirs => {
                let label = match (self.compressed, self.emptied.is_empty()) {
                    (true, _) => AFTER_COMPRESSED,
                    (false, false) => AFTER_EMPTIED,
                    (false, true) => "",
                };
                play.ask(&format!("describe log dirs{label}"), 4, DescribeLogDirsRequest::default().with_topics(None))?;
            }
            Op::EpochEnd { epoch, .. } if self.restarted && epoch > 0 => {}
            Op::EpochEnd { topic, partition, epoch } => {
                let topic = self.topic(play, topic);
                play.ask("end of an epoch", 4, epoch_ends(4, &topic, &[(partition, -1, epoch)]))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Leaves nothing behind: walks share a broker.
    pub fn clean_up(&mut self, play: &mut Play) {
        let names: Vec<String> = (0..TOPICS).map(|t| self.topic(play, t).name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // A broker that is gone has nothing to clean.
        let _ = play.quiet(5, delete(5, &names));
        self.groups.clean_up(play);
        self.consumers.clean_up(play);
        self.transactions.clean_up(play);
    }
}

/// Kafka lists the directories of a deleted topic for a moment longer.
fn files_gone(play: &mut Play, topic: &str) -> Done {
    play.wait(&format!("the files of {topic} are gone"), |play| {
        let answer = play.quiet(4, DescribeLogDirsRequest::default().with_topics(None))?;
        Ok(answer.results.iter().all(|dir| dir.topics.iter().all(|t| t.name.as_str() != topic)))
    })
}

fn many(play: &Play, records: usize) -> Batch {
    batch(play.t(), (0..records as i64).map(|i| keyed("k", &format!("{i} of {records}")).after(i * 3 % 5)).collect())
}

fn bad(play: &mut Play, fault: Fault) -> Bytes {
    let good = many(play, 2);
    match fault {
        Fault::Checksum => good.with(|b| b.crc = Some(7)).bytes(),
        Fault::Count => good.with(|b| b.count = Some(3)).bytes(),
        Fault::Empty => Bytes::new(),
        Fault::Cut => good.bytes().slice(..70),
        Fault::Twice => Bytes::from([good.bytes(), good.bytes()].concat()),
        Fault::Magic => good.with(|b| b.magic = 1).bytes(),
        Fault::Control => good.attributes(32).bytes(),
        Fault::BaseOffset => good.with(|b| b.base_offset = 4).bytes(),
        Fault::NoKey => batch(play.t(), vec![keyed("k", "v"), value("x")]).bytes(),
        Fault::TooLarge => batch(play.t(), vec![sized(1_048_588)]).bytes(),
        Fault::Future => {
            let at_ms = play.t() + 24 * 3_600_000;
            play.names.stamp(at_ms, "<tomorrow>");
            batch(at_ms, vec![keyed("k", "v")]).bytes()
        }
    }
}
