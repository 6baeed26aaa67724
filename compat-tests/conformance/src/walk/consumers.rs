//! A consumer group (KIP-848) in a walk, of one member: which partitions go to which of several is chance, since Kafka's
//! assignors go through hash maps.

use kafka_protocol::messages::{ConsumerGroupHeartbeatResponse, OffsetFetchRequest};

use super::op::ConsumerOp;
use crate::group_log;
use crate::play::{Done, Play, Topic, text};
use crate::scenarios::consumer::requests::{self as consumer, Owned, beat, describe, first};
use crate::scenarios::groups::requests as groups;
use crate::scenarios::offsets::requests as offsets;
use crate::scenarios::requests::metadata;

const MEMBER: &str = "m";
/// Longer than any walk.
const REBALANCE_MS: i32 = 1_700_000;
/// Partitions of `__consumer_offsets`.
const SHARDS: i32 = 50;

#[derive(Default)]
pub struct Consumers {
    name: String,
    epoch: i32,
    /// What the member has been told last, by index of the walk's topics.
    assigned: Vec<(Topic, Vec<i32>)>,
    /// Topics came, grew or went since the last step here.
    pub topics_changed: bool,
    pub stopped: bool,
}

impl Consumers {
    pub fn perform(&mut self, play: &mut Play, op: &ConsumerOp, topics: &[Topic]) -> Done {
        if self.name.is_empty() {
            self.name = play.group("k")?;
        }
        if std::mem::take(&mut self.stopped) {
            play.coordinated(&self.name)?;
            self.topics_changed = true;
        }
        if std::mem::take(&mut self.topics_changed) {
            self.coordinator_knows(play, topics)?;
        }
        let group = self.name.clone();
        match *op {
            ConsumerOp::Beat { skip, owns, subscribed, version } => {
                let names: Option<Vec<&str>> = subscribed.map(|mask| chosen(topics, mask));
                let mut request = if self.epoch == 0 {
                    first(&group, MEMBER, names.as_deref().unwrap_or(&[&topics[0]]))
                } else {
                    let mut request = beat(&group, MEMBER, self.epoch + skip);
                    if let Some(names) = &names {
                        request.subscribed_topic_names = first(&group, MEMBER, names).subscribed_topic_names;
                    }
                    if owns {
                        let owned: Vec<Owned> = self.assigned.iter().map(|(t, p)| (t, p.as_slice())).collect();
                        request.topic_partitions = Some(consumer::partitions(&owned));
                    }
                    request
                };
                if request.rebalance_timeout_ms > 0 {
                    request.rebalance_timeout_ms = REBALANCE_MS;
                }
                let answer = play.ask("consumer heartbeat", version, request)?;
                self.told(&answer, topics);
            }
            ConsumerOp::Leave { version } => {
                let answer = play.ask("consumer leaves", version, beat(&group, MEMBER, -1))?;
                if answer.error_code == 0 {
                    self.gone();
                }
            }
            ConsumerOp::Commit { skip, topic, partition, offset } => {
                let at = vec![offsets::offsets(&topics[usize::from(topic)], &[(partition, offset)])];
                let who = (self.epoch + skip, MEMBER);
                play.ask("consumer commits", 9, offsets::commit_by(&group, who, at))?;
            }
            ConsumerOp::FetchOffsets { skip } => {
                let mut request: OffsetFetchRequest = offsets::fetch(9, &group, None);
                request.groups[0].member_id = Some(text(MEMBER));
                request.groups[0].member_epoch = self.epoch + skip;
                play.ask("consumer fetches offsets", 9, request)?;
            }
            ConsumerOp::DeleteOffset { topic, partition } => {
                let topic: &str = &topics[usize::from(topic)];
                play.ask("delete an offset of consumers", 0, offsets::delete(&group, &[(topic, &[partition])]))?;
            }
            ConsumerOp::Describe { version } => {
                play.ask("describe consumers", version, describe(&[&group]))?;
            }
            ConsumerOp::Delete => {
                play.ask("delete consumers", 2, groups::delete(&[&group]))?;
            }
        }
        Ok(())
    }

    fn told(&mut self, answer: &ConsumerGroupHeartbeatResponse, topics: &[Topic]) {
        match answer.error_code {
            0 => self.epoch = answer.member_epoch,
            // UNKNOWN_MEMBER_ID, GROUP_ID_NOT_FOUND, FENCED_MEMBER_EPOCH: it joins anew.
            25 | 69 | 110 => self.gone(),
            _ => {}
        }
        if let Some(assignment) = &answer.assignment {
            let topic = |id| topics.iter().find(|topic| topic.id == id).map(|t| Topic { name: t.name.clone(), id });
            let told = assignment.topic_partitions.iter();
            self.assigned = told.filter_map(|t| Some((topic(t.topic_id)?, t.partitions.clone()))).collect();
        }
    }

    fn gone(&mut self) {
        self.epoch = 0;
        self.assigned.clear();
    }

    /// Waits until the coordinator of the group has heard of all topics: a member of another group with the same
    /// coordinator is given every partition there is.
    fn coordinator_knows(&self, play: &mut Play, topics: &[Topic]) -> Done {
        let shard = group_log::partition(&self.name, SHARDS);
        let same = |i: &u32| group_log::partition(&format!("probe {i} of {}", self.name), SHARDS) == shard;
        let probe = format!("probe {} of {}", (0..).find(same).expect("some name of the same partition"), self.name);
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let described = play.quiet(12, metadata(12, Some(&names)))?;
        let there = described.topics.iter().filter(|topic| topic.error_code == 0);
        let mut wanted: Vec<_> = there.map(|topic| (topic.topic_id, topic.partitions.len())).collect();
        wanted.sort();
        play.wait("the coordinator knows all topics", |play| {
            let answer = play.quiet(1, first(&probe, MEMBER, &names))?;
            play.quiet(1, beat(&probe, MEMBER, -1))?;
            let assignment = answer.assignment.unwrap_or_default().topic_partitions;
            let mut given: Vec<_> = assignment.iter().map(|t| (t.topic_id, t.partitions.len())).collect();
            given.sort();
            Ok(given == wanted)
        })?;
        play.quiet(2, groups::delete(&[&probe])).map(drop)
    }

    /// Waits until no offset of a topic that was deleted is left.
    pub fn forget(&self, play: &mut Play, topic: &str) -> Done {
        if self.name.is_empty() {
            return Ok(());
        }
        play.wait(&format!("{} forgets {topic}", self.name), |play| {
            let answer = play.quiet(5, offsets::fetch(5, &self.name, None))?;
            Ok(answer.topics.iter().all(|t| t.name.as_str() != topic))
        })
    }

    pub fn clean_up(&self, play: &mut Play) {
        if !self.name.is_empty() {
            let _ = play.quiet(1, beat(&self.name, MEMBER, -1));
            let _ = play.quiet(2, groups::delete(&[&self.name]));
        }
    }
}

/// The topics whose bits are set.
fn chosen(topics: &[Topic], mask: u8) -> Vec<&str> {
    topics.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, topic)| topic.name.as_str()).collect()
}
