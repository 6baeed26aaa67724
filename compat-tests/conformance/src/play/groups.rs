//! Groups of a play: names of their own, a coordinator that is ready, requests that wait while others are played.

use std::fmt::Debug;

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

use super::parked::WAKE_LIMIT;
use super::{Done, Parked, Play, Stop, Topic, text, topic_name};
use crate::batch::read;
use crate::group_log;
use crate::scenarios::requests::{fetch, from};
use crate::tree::Tree;
use crate::wire::{self, Heard};

impl Play {
    /// The name of a group of this scenario, whose coordinator is ready. FindCoordinator is what makes Kafka create `__consumer_offsets`.
    pub fn group(&mut self, group: &str) -> Done<String> {
        let name = self.name(group);
        self.coordinated(&name)?;
        Ok(name)
    }

    /// As [`Play::group`]; its coordinator knows all topics of the scenario too. Kafka's coordinators learn of topics a moment after the brokers,
    /// each partition of `__consumer_offsets` for itself, so another group of the same partition is asked.
    pub fn consumer_group(&mut self, group: &str) -> Done<String> {
        let name = self.group(group)?;
        let topics: Vec<TopicName> = self.topics.iter().map(|topic| topic_name(topic)).collect();
        if topics.is_empty() {
            return Ok(name);
        }
        let partition = group_log::partition(&name, OFFSETS_PARTITIONS);
        let other = |i: &u32| group_log::partition(&format!("probe {i} of {name}"), OFFSETS_PARTITIONS) == partition;
        let other = format!("probe {} of {name}", (0..).find(other).expect("some name of the same partition"));
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&other)))
            .with_member_id(text("probe"))
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(topics))
            .with_topic_partitions(Some(vec![]));
        self.wait(&format!("the coordinator of {name} knows its topics"), |play| {
            let answer = play.quiet(1, request.clone())?;
            Ok(answer.assignment.is_some_and(|assignment| assignment.topic_partitions.len() == play.topics.len()))
        })?;
        request.member_epoch = -1;
        self.quiet(1, request)?;
        self.quiet(2, DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(&other))]))?;
        Ok(name)
    }

    /// Waits until the broker answers for a group.
    pub fn coordinated(&mut self, group: &str) -> Done {
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
        self.wait(&format!("the coordinator of {group} is found"), |play| {
            Ok(play.quiet(4, find.clone())?.coordinators.iter().all(|c| c.error_code == 0))
        })?;
        self.wait(&format!("the coordinator of {group} is ready"), |play| {
            Ok(![14, 15, 16].contains(&play.look(group)?.error_code))
        })
    }

    /// Waits until a group is in a state, as DescribeGroups names it.
    pub fn group_is(&mut self, group: &str, state: &str) -> Done {
        self.wait(&format!("{group} is {state}"), |play| Ok(play.look(group)?.group_state.as_str() == state))
    }

    /// A group as it is now, without recording.
    pub fn look(&mut self, group: &str) -> Done<kafka_protocol::messages::describe_groups_response::DescribedGroup> {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        self.quiet(5, request)?.groups.pop().ok_or_else(|| Stop(format!("no description of {group}")))
    }

    /// Sends a request without recording it, and without seeing that it waits; [`Play::ended`] has its answer.
    pub fn start<R: Request>(&mut self, connection: &str, version: i16, request: R) -> Done<Parked<R>> {
        let correlation_id = self.send(connection, version, &request)?;
        Ok(Parked::sent(connection, version, correlation_id))
    }

    /// The answer to a request that was started, without recording it.
    pub fn ended<R: Request>(&mut self, parked: Parked<R>) -> Done<R::Response>
    where
        R::Response: Debug,
    {
        match self.hear(parked.connection(), WAKE_LIMIT) {
            Heard::Frame(frame) => Ok(wire::answer::<R::Response>(&frame, parked.version())?.body),
            heard => Err(Stop(format!("waiting for the answer to {}: {heard:?}", crate::apis::name_of(R::KEY)))),
        }
    }
}

const OFFSETS_TOPIC: &str = "__consumer_offsets";
const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// Of either topic.
const OFFSETS_PARTITIONS: i32 = 50;

impl Play {
    /// Records what the group's partition of `__consumer_offsets` holds of the group, tombstones among it.
    pub fn group_log(&mut self, label: &str, group: &str) -> Done {
        self.internal_log(label, OFFSETS_TOPIC, group)
    }

    /// Records what the partition of `__transaction_state` holds of a transactional id.
    pub fn transaction_log(&mut self, label: &str, transactional_id: &str) -> Done {
        self.internal_log(label, TRANSACTIONS_TOPIC, transactional_id)
    }

    fn internal_log(&mut self, label: &str, internal: &str, group: &str) -> Done {
        let version = 12;
        let partition = group_log::partition(group, OFFSETS_PARTITIONS);
        let topic = Topic { name: internal.into(), id: uuid::Uuid::nil() };
        let (mut offset, mut records) = (0, Vec::new());
        loop {
            let request = fetch(version, &topic, vec![from(partition, offset)]);
            let answer = self.quiet(version, request)?;
            let data = answer.responses.first().and_then(|topic| topic.partitions.first());
            let Some(data) = data.filter(|data| data.error_code == 0) else {
                return Err(Stop(format!("{internal}-{partition} cannot be read: {answer:?}")));
            };
            let bytes = data.records.clone().unwrap_or_default();
            for (key, value) in read::keys_and_values(&bytes) {
                records.extend(key.and_then(|key| group_log::record(group, &key, value.as_deref())));
            }
            match read::next_offset(&bytes) {
                Some(next) => offset = next,
                None => break,
            }
        }
        let mut tree =
            self.names.answer(FetchRequest::KEY, Tree::Fields(vec![("records".into(), Tree::List(records))]));
        if let Tree::Fields(fields) = &mut tree
            && let Some((_, Tree::List(records))) = fields.first_mut()
        {
            group_log::sort_runs(records);
        }
        self.push("main", label, Some((FetchRequest::KEY, version)), tree);
        Ok(())
    }
}
