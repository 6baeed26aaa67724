//! Classic consumer groups by raw frames: a member that does one step of the protocol at a time, and the group requests
//! that need no member.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponsePartitions;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use crate::calls::code::UNKNOWN_TOPIC_OR_PARTITION;
use crate::calls::{text, topic_name};
use crate::wire::Client;

/// Error codes of groups.
pub mod code {
    pub const NONE: i16 = 0;
    pub const OFFSET_METADATA_TOO_LARGE: i16 = 12;
    pub const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    pub const COORDINATOR_NOT_AVAILABLE: i16 = 15;
    pub const NOT_COORDINATOR: i16 = 16;
    pub const ILLEGAL_GENERATION: i16 = 22;
    pub const INVALID_GROUP_ID: i16 = 24;
    pub const UNKNOWN_MEMBER_ID: i16 = 25;
    pub const INVALID_SESSION_TIMEOUT: i16 = 26;
    pub const REBALANCE_IN_PROGRESS: i16 = 27;
    pub const NON_EMPTY_GROUP: i16 = 68;
    pub const GROUP_ID_NOT_FOUND: i16 = 69;
    pub const MEMBER_ID_REQUIRED: i16 = 79;
    pub const GROUP_MAX_SIZE_REACHED: i16 = 81;
    pub const FENCED_INSTANCE_ID: i16 = 82;
    pub const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;
    pub const UNSUPPORTED_ASSIGNOR: i16 = 112;
}

/// How long the coordinator may load after a restart, or be created on first need.
const COORDINATOR_LIMIT: Duration = Duration::from_secs(20);
const RETRY_EVERY: Duration = Duration::from_millis(20);

const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const COMMIT_VERSION: i16 = 9;

/// Errors with which a coordinator says that it is not there yet: every client tries again.
pub fn is_not_yet(error: i16) -> bool {
    [code::COORDINATOR_LOAD_IN_PROGRESS, code::COORDINATOR_NOT_AVAILABLE, code::NOT_COORDINATOR].contains(&error)
}

/// Repeats a call while the coordinator is not there yet.
pub fn when_loaded<T>(mut call: impl FnMut() -> io::Result<T>, error: impl Fn(&T) -> i16) -> io::Result<T> {
    let start = Instant::now();
    loop {
        let answer = call()?;
        if !is_not_yet(error(&answer)) || start.elapsed() > COORDINATOR_LIMIT {
            return Ok(answer);
        }
        std::thread::sleep(RETRY_EVERY);
    }
}

/// What a member is, apart from its connection: the same identity may speak over any.
#[derive(Clone, Debug)]
pub struct Member {
    pub group: String,
    pub id: String,
    pub instance: Option<String>,
    pub generation: i32,
    pub protocol: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub metadata: Bytes,
}

impl Member {
    /// Subscribed to `topics` by the protocol `range`.
    pub fn new(group: &str, topics: &[&str]) -> Member {
        Member {
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
            protocol: "range".to_owned(),
            session_timeout: Duration::from_secs(30),
            rebalance_timeout: Duration::from_secs(30),
            metadata: subscription(topics),
        }
    }

    pub fn instance(mut self, instance: &str) -> Member {
        self.instance = Some(instance.to_owned());
        self
    }

    pub fn timeouts(mut self, session: Duration, rebalance: Duration) -> Member {
        (self.session_timeout, self.rebalance_timeout) = (session, rebalance);
        self
    }

    pub fn join_request(&self) -> JoinGroupRequest {
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text(&self.protocol)).with_metadata(self.metadata.clone());
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_session_timeout_ms(self.session_timeout.as_millis() as i32)
            .with_rebalance_timeout_ms(self.rebalance_timeout.as_millis() as i32)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    /// Sends a JoinGroup without waiting. The id must be known already, or be a static member's.
    pub fn send_join(&self, client: &mut Client) -> io::Result<i32> {
        client.send(JOIN_VERSION, &self.join_request())
    }

    /// Takes the answer: id and generation are the member's own from here on.
    pub fn receive_join(&mut self, client: &mut Client, correlation_id: i32) -> io::Result<JoinGroupResponse> {
        let answer = client.receive::<JoinGroupRequest>(JOIN_VERSION, correlation_id)?;
        if answer.error_code == code::NONE || answer.error_code == code::MEMBER_ID_REQUIRED {
            self.id = answer.member_id.to_string();
        }
        if answer.error_code == code::NONE {
            self.generation = answer.generation_id;
        }
        Ok(answer)
    }

    /// Gets the id that a dynamic member needs before it may join.
    pub fn ask_for_id(&mut self, client: &mut Client) -> io::Result<()> {
        if !self.id.is_empty() || self.instance.is_some() {
            return Ok(());
        }
        let request = self.join_request();
        let answer = when_loaded(|| client.call(JOIN_VERSION, &request), |answer| answer.error_code)?;
        match answer.error_code {
            code::MEMBER_ID_REQUIRED => self.id = answer.member_id.to_string(),
            error => return Err(unexpected("JoinGroup without a member id", error)),
        }
        Ok(())
    }

    /// The whole way into the group, up to the answer to JoinGroup.
    pub fn join(&mut self, client: &mut Client) -> io::Result<JoinGroupResponse> {
        self.ask_for_id(client)?;
        let start = Instant::now();
        loop {
            let id = self.send_join(client)?;
            let answer = self.receive_join(client, id)?;
            if !is_not_yet(answer.error_code) || start.elapsed() > COORDINATOR_LIMIT {
                return Ok(answer);
            }
            std::thread::sleep(RETRY_EVERY);
        }
    }

    pub fn sync_request(&self, assignments: &[(String, Bytes)]) -> SyncGroupRequest {
        let assignment = |(member, assignment): &(String, Bytes)| {
            SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(assignment.clone())
        };
        SyncGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text(&self.protocol)))
            .with_assignments(assignments.iter().map(assignment).collect())
    }

    pub fn send_sync(&self, client: &mut Client, assignments: &[(String, Bytes)]) -> io::Result<i32> {
        client.send(SYNC_VERSION, &self.sync_request(assignments))
    }

    pub fn receive_sync(&self, client: &mut Client, correlation_id: i32) -> io::Result<SyncGroupResponse> {
        client.receive::<SyncGroupRequest>(SYNC_VERSION, correlation_id)
    }

    pub fn sync(&self, client: &mut Client, assignments: &[(String, Bytes)]) -> io::Result<SyncGroupResponse> {
        client.call(SYNC_VERSION, &self.sync_request(assignments))
    }

    /// Joins a group in which nobody else is, and gives itself everything.
    #[track_caller]
    pub fn join_alone(&mut self, client: &mut Client, topic: &str, partitions: i32) {
        let joined = self.join(client).expect("JoinGroup is answered");
        assert_eq!(joined.error_code, 0, "{} joins {}", self.id, self.group);
        assert_eq!(joined.leader, joined.member_id, "the only member leads");
        let all: Vec<_> = (0..partitions).collect();
        let answer = self.sync(client, &[(self.id.clone(), assignment(topic, &all))]).expect("SyncGroup is answered");
        assert_eq!(answer.error_code, 0);
        assert_eq!(read_assignment(&answer.assignment), vec![(topic.to_owned(), all)]);
    }

    pub fn heartbeat(&self, client: &mut Client) -> io::Result<i16> {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text));
        Ok(client.call(4, &request)?.error_code)
    }

    /// The member's own error.
    pub fn leave(&self, client: &mut Client) -> io::Result<i16> {
        let member = MemberIdentity::default()
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text));
        let request = LeaveGroupRequest::default().with_group_id(GroupId(text(&self.group))).with_members(vec![member]);
        let answer = client.call(5, &request)?;
        match answer.error_code {
            0 => Ok(answer.members.first().map_or(0, |member| member.error_code)),
            error => Ok(error),
        }
    }

    pub fn commit(&self, client: &mut Client, topic: &str, partition: i32, offset: i64) -> io::Result<i16> {
        self.commit_with(client, topic, partition, offset, "")
    }

    pub fn commit_with(
        &self,
        client: &mut Client,
        topic: &str,
        partition: i32,
        offset: i64,
        metadata: &str,
    ) -> io::Result<i16> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text(metadata)));
        let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_topics(vec![topic]);
        loop {
            let answer = client.call(COMMIT_VERSION, &request)?;
            let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
            let error = partition.map(|partition| partition.error_code);
            // Apache Kafka answers CreateTopics before its coordinator knows of it; Ottla may not.
            if error != Some(UNKNOWN_TOPIC_OR_PARTITION) || !crate::broker::is_stand_in() {
                return error.ok_or_else(|| unexpected("OffsetCommit without a partition", 0));
            }
        }
    }
}

/// A group's state, and its members with the partitions that each was given, in order.
#[derive(Debug)]
pub struct GroupView {
    pub state: String,
    pub members: Vec<(String, Vec<i32>)>,
}

impl GroupView {
    pub fn all_owned(&self) -> Vec<i32> {
        let mut all: Vec<i32> = self.members.iter().flat_map(|(_, partitions)| partitions.iter().copied()).collect();
        all.sort_unstable();
        all
    }
}

/// Group requests of somebody who is no member.
impl Client {
    /// Waits for the coordinator of a group, which the first call brings into being.
    pub fn find_coordinator(&mut self, group: &str) -> io::Result<i16> {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
        let answer = when_loaded(
            || self.call(4, &request),
            |answer| answer.coordinators.first().map_or(answer.error_code, |found| found.error_code),
        )?;
        Ok(answer.coordinators.first().map_or(answer.error_code, |found| found.error_code))
    }

    /// A commit without a member, as administrators and plain readers make it.
    pub fn commit(&mut self, group: &str, topic: &str, partition: i32, offset: i64) -> io::Result<i16> {
        let nobody = Member::new(group, &[]);
        when_loaded(|| nobody.commit(self, topic, partition, offset), |error| *error)
    }

    /// Offset -1 where nothing was committed.
    pub fn committed(&mut self, group: &str, topic: &str, partition: i32) -> io::Result<OffsetFetchResponsePartitions> {
        let partitions = self.committed_all(group, topic, &[partition])?;
        partitions.into_iter().next().ok_or_else(|| unexpected("OffsetFetch without a partition", 0))
    }

    pub fn committed_all(
        &mut self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> io::Result<Vec<OffsetFetchResponsePartitions>> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(partitions.to_vec());
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_member_epoch(-1)
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(true);
        let error = |answer: &OffsetFetchResponse| answer.groups.first().map_or(answer.error_code, |g| g.error_code);
        let answer = when_loaded(|| self.call(9, &request), error)?;
        match (error(&answer), answer.groups.into_iter().next()) {
            (0, Some(group)) => Ok(group.topics.into_iter().flat_map(|topic| topic.partitions).collect()),
            (error, _) => Err(unexpected("OffsetFetch", error)),
        }
    }

    #[track_caller]
    pub fn committed_offset(&mut self, group: &str, topic: &str, partition: i32) -> i64 {
        let found = self.committed(group, topic, partition).expect("OffsetFetch is answered");
        assert_eq!(found.error_code, 0, "OffsetFetch of {group} {topic}-{partition}");
        found.committed_offset
    }

    pub fn describe_group(&mut self, group: &str) -> io::Result<DescribedGroup> {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let error = |answer: &DescribeGroupsResponse| answer.groups.first().map_or(0, |group| group.error_code);
        let answer = when_loaded(|| self.call(6, &request), error)?;
        answer.groups.into_iter().next().ok_or_else(|| unexpected("DescribeGroups without a group", 0))
    }

    /// A group of either protocol, as administrators see it.
    pub fn view_group(&mut self, group: &str) -> io::Result<GroupView> {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
        let answer = when_loaded(
            || self.call(1, &request),
            |answer| answer.groups.first().map_or(code::COORDINATOR_NOT_AVAILABLE, |group| group.error_code),
        )?;
        if let Some(found) = answer.groups.into_iter().find(|group| group.error_code == 0) {
            let member = |member: consumer_group_describe_response::Member| {
                let topics = member.assignment.topic_partitions;
                let mut partitions: Vec<i32> = topics.into_iter().flat_map(|topic| topic.partitions).collect();
                partitions.sort_unstable();
                (member.member_id.to_string(), partitions)
            };
            let members = found.members.into_iter().map(member).collect();
            return Ok(GroupView { state: found.group_state.to_string(), members });
        }
        let found = self.describe_group(group)?;
        let member = |member: &describe_groups_response::DescribedGroupMember| {
            let topics = read_assignment(&member.member_assignment);
            (member.member_id.to_string(), topics.into_iter().flat_map(|(_, partitions)| partitions).collect())
        };
        let members = found.members.iter().map(member).collect();
        Ok(GroupView { state: found.group_state.to_string(), members })
    }

    pub fn list_groups(&mut self) -> io::Result<Vec<ListedGroup>> {
        let request = ListGroupsRequest::default();
        Ok(when_loaded(|| self.call(5, &request), |answer| answer.error_code)?.groups)
    }

    pub fn delete_group(&mut self, group: &str) -> io::Result<i16> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        let error = |answer: &DeleteGroupsResponse| answer.results.first().map_or(0, |result| result.error_code);
        Ok(error(&when_loaded(|| self.call(2, &request), error)?))
    }

    /// The request's error, or the partition's.
    pub fn delete_offset(&mut self, group: &str, topic: &str, partition: i32) -> io::Result<i16> {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
        let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(vec![topic]);
        let answer = when_loaded(|| self.call(0, &request), |answer| answer.error_code)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        Ok(partition.map_or(answer.error_code, |partition| partition.error_code))
    }
}

/// A consumer's subscription as JoinGroup carries it: version 0 of Kafka's ConsumerProtocol.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len() as i32);
    topics.iter().for_each(|topic| put_string(&mut bytes, topic));
    bytes.put_i32(-1);
    bytes.freeze()
}

/// What a leader gives a member: version 0 of ConsumerProtocol.
pub fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    put_string(&mut bytes, topic);
    bytes.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Topics and partitions of an assignment of any version; nothing for a member that was given nothing.
pub fn read_assignment(bytes: &Bytes) -> Vec<(String, Vec<i32>)> {
    let mut bytes = bytes.clone();
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.get_i16();
    let topics = bytes.get_i32();
    let topic = |_| {
        let length = usize::from(bytes.get_u16());
        let name = String::from_utf8(bytes.split_to(length).to_vec()).expect("a topic's name");
        let count = bytes.get_i32();
        (name, (0..count).map(|_| bytes.get_i32()).collect())
    };
    (0..topics).map(topic).collect()
}

fn put_string(bytes: &mut BytesMut, string: &str) {
    bytes.put_u16(string.len() as u16);
    bytes.put_slice(string.as_bytes());
}

pub(crate) fn unexpected(what: &str, error: i16) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: error {error}"))
}
