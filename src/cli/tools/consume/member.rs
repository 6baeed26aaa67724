//! A member of a consumer group, by the protocol of KIP-848: the broker assigns, we say what we own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;

use super::Reader;
use crate::base::Clock;
use crate::cli::tools::groups;
use crate::cli::tools::partitions::{self, Partition, name_of};
use crate::cli::tools::{ToolError, failed};
use crate::client::{ClientError, To, topic_name};

/// Kafka's default of `max.poll.interval.ms`.
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
/// Topics go by name up to here.
const COMMIT_VERSION_MAX: i16 = 9;
const LEAVES: i32 = -1;

pub struct Member {
    group: String,
    id: String,
    epoch: i32,
    subscribed: Vec<String>,
    /// What the broker knows of `subscribed`.
    told: Vec<String>,
    owned: BTreeSet<Partition>,
    /// What the broker is to be told of `owned`.
    untold: bool,
    due: Option<Instant>,
    processed: BTreeMap<Partition, i64>,
}

impl Member {
    pub fn join(group: &str) -> Result<Member, ToolError> {
        if group.is_empty() {
            return failed("The group id must not be empty");
        }
        Ok(Member {
            group: group.to_owned(),
            id: uuid::Uuid::new_v4().to_string(),
            epoch: 0,
            subscribed: Vec::new(),
            told: Vec::new(),
            owned: BTreeSet::new(),
            untold: true,
            due: None,
            processed: BTreeMap::new(),
        })
    }

    /// Looks for topics that are to be read, and for who leads what we own.
    pub fn look_up(&mut self, reader: &mut Reader) -> Result<(), ToolError> {
        self.subscribed = reader.wanted.topics(&mut reader.client)?;
        let topics: BTreeSet<&str> = self.owned.iter().map(|(topic, _)| topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        if !topics.is_empty() {
            reader.leaders.extend(partitions::leaders(&mut reader.client, &topics)?);
        }
        Ok(())
    }

    /// A heartbeat, if one is due, and what follows from its answer.
    pub fn beat(&mut self, reader: &mut Reader, clock: &Clock) -> Result<(), ToolError> {
        if self.subscribed.is_empty() {
            self.look_up(reader)?;
            // Nothing matches yet: there is nothing to join for.
            if self.subscribed.is_empty() {
                return Ok(());
            }
        }
        let news = self.untold || self.told != self.subscribed;
        if !news && self.due.is_some_and(|due| clock.instant() < due) {
            return Ok(());
        }
        let mut request = self.request();
        if self.epoch == 0 || self.told != self.subscribed {
            let names = self.subscribed.iter().map(|name| topic_name(name)).collect();
            request = request.with_subscribed_topic_names(Some(names));
        }
        if self.epoch == 0 {
            request = request.with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS).with_topic_partitions(Some(Vec::new()));
        } else if self.untold {
            request = request.with_topic_partitions(Some(self.owned_by_id(reader)?));
        }
        let answer = reader.client.call(To::CoordinatorOf(&self.group), i16::MAX, &request)?;
        match ClientError::check(answer.error_code, answer.error_message.as_ref()) {
            Err(error) if error.is(ResponseError::FencedMemberEpoch) || error.is(ResponseError::UnknownMemberId) => {
                // The group went on without us: what we had is gone, and we begin anew.
                self.epoch = 0;
                self.owned.clear();
                self.processed.clear();
                reader.positions.clear();
                self.untold = true;
                return Ok(());
            }
            other => other?,
        }
        self.epoch = answer.member_epoch;
        self.told = self.subscribed.clone();
        self.untold = false;
        self.due = Some(clock.instant() + Duration::from_millis(answer.heartbeat_interval_ms.max(1) as u64));
        if let Some(assignment) = answer.assignment {
            let names = names_by_id(reader)?;
            let target: BTreeSet<Partition> = assignment
                .topic_partitions
                .iter()
                .filter_map(|topic| Some((names.get(&topic.topic_id)?.clone(), &topic.partitions)))
                .flat_map(|(name, list)| list.iter().map(move |partition| (name.clone(), *partition)))
                .collect();
            self.take(target, reader)?;
        }
        Ok(())
    }

    /// Gives up what is no longer ours, committed, and begins what is new where the group has got to.
    fn take(&mut self, target: BTreeSet<Partition>, reader: &mut Reader) -> Result<(), ToolError> {
        if target == self.owned {
            return Ok(());
        }
        self.commit(reader)?;
        reader.positions.retain(|partition, _| target.contains(partition));
        let new: Vec<Partition> = target.difference(&self.owned).cloned().collect();
        let topics: BTreeSet<&str> = new.iter().map(|(topic, _)| topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        if !new.is_empty() {
            reader.leaders.extend(partitions::leaders(&mut reader.client, &topics)?);
            let committed = groups::committed(&mut reader.client, &self.group)?;
            let (known, unknown): (Vec<_>, Vec<_>) = new.into_iter().partition(|p| committed.contains_key(p));
            reader.positions.extend(known.into_iter().map(|partition| {
                let offset = committed[&partition];
                (partition, offset)
            }));
            if !unknown.is_empty() {
                reader.place(&unknown, reader.reset)?;
            }
        }
        self.owned = target;
        self.untold = true;
        Ok(())
    }

    /// The next offsets of what was printed.
    pub fn processed(&mut self, printed: Vec<(Partition, i64)>) {
        self.processed.extend(printed);
    }

    /// Commits what was processed since the last time.
    pub fn commit(&mut self, reader: &mut Reader) -> Result<(), ToolError> {
        if self.processed.is_empty() {
            return Ok(());
        }
        let mut topics: BTreeMap<String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in self.processed.clone() {
            let one = OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::default()));
            topics.entry(topic).or_default().push(one);
        }
        let topics = topics.into_iter().map(|(topic, list)| {
            OffsetCommitRequestTopic::default().with_name(topic_name(&topic)).with_partitions(list)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(StrBytes::from_string(self.id.clone()))
            .with_generation_id_or_member_epoch(self.epoch)
            .with_topics(topics.collect());
        let answer = reader.client.call(To::CoordinatorOf(&self.group), COMMIT_VERSION_MAX, &request)?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            match ClientError::check(partition.error_code, None) {
                // The next heartbeat says what has become of us; whoever has the partition now reads this again.
                Err(error) if error.is(ResponseError::StaleMemberEpoch) || error.is(ResponseError::UnknownMemberId) => {
                }
                other => other?,
            }
        }
        self.processed.clear();
        Ok(())
    }

    pub fn leave(mut self, reader: &mut Reader) -> Result<(), ToolError> {
        self.commit(reader)?;
        self.epoch = LEAVES;
        reader.client.call(To::CoordinatorOf(&self.group), i16::MAX, &self.request())?;
        Ok(())
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(StrBytes::from_string(self.id.clone()))
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None)
    }

    fn group_id(&self) -> GroupId {
        GroupId(StrBytes::from_string(self.group.clone()))
    }

    fn owned_by_id(&self, reader: &mut Reader) -> Result<Vec<TopicPartitions>, ToolError> {
        let names = names_by_id(reader)?;
        let owned_of =
            |name: &str| self.owned.iter().filter(|(topic, _)| topic == name).map(|(_, p)| *p).collect::<Vec<_>>();
        Ok(names
            .iter()
            .map(|(id, name)| TopicPartitions::default().with_topic_id(*id).with_partitions(owned_of(name)))
            .filter(|topic| !topic.partitions.is_empty())
            .collect())
    }
}

fn names_by_id(reader: &mut Reader) -> Result<BTreeMap<uuid::Uuid, String>, ToolError> {
    let metadata = reader.client.metadata(None)?;
    Ok(metadata.topics.iter().map(|topic| (topic.topic_id, name_of(topic).to_owned())).collect())
}
