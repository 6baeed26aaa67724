//! A member of a KIP-848 group by raw frames, one heartbeat at a time.

use std::collections::BTreeSet;
use std::io;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::*;
use uuid::Uuid;

use crate::calls::{text, topic_name};
use crate::groups::{Member, unexpected, when_loaded};
use crate::wire::Client;

const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const HEARTBEAT_VERSION: i16 = 1;

/// Subscribed to one topic. Heartbeats do not park: any connection serves many members.
#[derive(Clone, Debug)]
pub struct ConsumerMember {
    pub group: String,
    pub id: String,
    pub epoch: i32,
    pub owned: BTreeSet<i32>,
    topic: String,
    topic_id: Uuid,
    /// Whether the broker has not heard yet of what is owned.
    unsaid: bool,
}

impl ConsumerMember {
    pub fn new(group: &str, topic: &str, id: &str) -> ConsumerMember {
        ConsumerMember {
            group: group.to_owned(),
            id: id.to_owned(),
            epoch: 0,
            owned: BTreeSet::new(),
            topic: topic.to_owned(),
            topic_id: Uuid::nil(),
            unsaid: false,
        }
    }

    /// The first heartbeat joins; each says what is owned, if that has changed. An assignment that comes back is owned from
    /// here on: what it lacks is given up, as the next heartbeat tells. Whether one came.
    pub fn heartbeat(&mut self, client: &mut Client) -> io::Result<bool> {
        let mut request = self.request(self.epoch);
        if self.epoch == 0 {
            request = request
                .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
                .with_subscribed_topic_names(Some(vec![topic_name(&self.topic)]))
                .with_topic_partitions(Some(Vec::new()));
        } else if self.unsaid {
            let owned = TopicPartitions::default()
                .with_topic_id(self.topic_id)
                .with_partitions(self.owned.iter().copied().collect());
            request = request.with_topic_partitions(Some(if self.owned.is_empty() { vec![] } else { vec![owned] }));
        }
        let answer = when_loaded(|| client.call(HEARTBEAT_VERSION, &request), |answer| answer.error_code)?;
        if answer.error_code != 0 {
            return Err(unexpected("ConsumerGroupHeartbeat", answer.error_code));
        }
        self.epoch = answer.member_epoch;
        self.unsaid = answer.assignment.is_some();
        if let Some(assignment) = answer.assignment {
            let topics = assignment.topic_partitions;
            self.topic_id = topics.first().map_or(self.topic_id, |topic| topic.topic_id);
            self.owned = topics.into_iter().flat_map(|topic| topic.partitions).collect();
        }
        Ok(self.unsaid)
    }

    pub fn leave(&self, client: &mut Client) -> io::Result<i16> {
        Ok(client.call(HEARTBEAT_VERSION, &self.request(-1))?.error_code)
    }

    pub fn commit(&self, client: &mut Client, partition: i32, offset: i64) -> io::Result<i16> {
        let mut member = Member::new(&self.group, &[]);
        (member.id, member.generation) = (self.id.clone(), self.epoch);
        member.commit(client, &self.topic, partition, offset)
    }

    fn request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_member_id(text(&self.id))
            .with_member_epoch(epoch)
    }
}
