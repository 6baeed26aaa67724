//! Requests of classic groups in a line, each with only the fields that its version has.

use bytes::Bytes;
use kafka_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::play::text;

pub fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

/// A JoinGroup as a scenario has it in mind; [`Join::at`] makes the request of a version.
#[derive(Clone, Debug)]
pub struct Join {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub kind: &'static str,
    pub protocols: Vec<(&'static str, Bytes)>,
    pub session_ms: i32,
    pub rebalance_ms: i32,
    pub reason: Option<&'static str>,
}

/// A new member of type "consumer" that knows "range", with its own text as metadata: of at most five bytes, since Kafka reads more than that as a
/// subscription, and never answers one whose array lengths are impossible.
pub fn join(group: &str, metadata: &'static str) -> Join {
    Join {
        group: group.into(),
        member: String::new(),
        instance: None,
        kind: "consumer",
        protocols: vec![("range", Bytes::from_static(metadata.as_bytes()))],
        session_ms: 30_000,
        rebalance_ms: 30_000,
        reason: None,
    }
}

impl Join {
    pub fn member(mut self, id: &str) -> Join {
        self.member = id.into();
        self
    }

    pub fn instance(mut self, id: &str) -> Join {
        self.instance = Some(id.into());
        self
    }

    pub fn kind(mut self, kind: &'static str) -> Join {
        self.kind = kind;
        self
    }

    pub fn protocols(mut self, protocols: &[(&'static str, &'static str)]) -> Join {
        self.protocols = protocols.iter().map(|(name, data)| (*name, Bytes::from_static(data.as_bytes()))).collect();
        self
    }

    /// The one protocol "range" with a subscription as consumers write it.
    pub fn subscribed(mut self, topics: &[&str]) -> Join {
        self.protocols = vec![("range", subscription(topics))];
        self
    }

    pub fn session(mut self, ms: i32) -> Join {
        self.session_ms = ms;
        self
    }

    pub fn rebalance(mut self, ms: i32) -> Join {
        self.rebalance_ms = ms;
        self
    }

    pub fn reason(mut self, reason: &'static str) -> Join {
        self.reason = Some(reason);
        self
    }

    pub fn at(&self, version: i16) -> JoinGroupRequest {
        let protocols = self
            .protocols
            .iter()
            .map(|(name, metadata)| {
                JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone())
            })
            .collect();
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(self.session_ms)
            .with_rebalance_timeout_ms(if version >= 1 { self.rebalance_ms } else { -1 })
            .with_member_id(text(&self.member))
            .with_group_instance_id(self.instance.as_deref().filter(|_| version >= 5).map(text))
            .with_protocol_type(text(self.kind))
            .with_protocols(protocols)
            .with_reason(self.reason.filter(|_| version >= 8).map(text))
    }
}

/// A consumer's subscription at version 1, as its bytes.
pub fn subscription(topics: &[&str]) -> Bytes {
    let subscription = ConsumerProtocolSubscription::default().with_topics(topics.iter().map(|t| text(t)).collect());
    let mut out = bytes::BytesMut::from(&1i16.to_be_bytes()[..]);
    subscription.encode(&mut out, 1).expect("a subscription can be encoded");
    out.freeze()
}

/// SyncGroup with assignments of members; from version 5 on it names type and protocol as [`join`] does.
pub fn sync(version: i16, group: &str, generation: i32, member: &str, assigned: &[(&str, &str)]) -> SyncGroupRequest {
    let assignments = assigned
        .iter()
        .map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
        })
        .collect();
    let named = |name: &str| (version >= 5).then(|| text(name));
    SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_protocol_type(named("consumer"))
        .with_protocol_name(named("range"))
        .with_assignments(assignments)
}

pub fn heartbeat(group: &str, generation: i32, member: &str) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member))
}

/// LeaveGroup of one member, in the form of its version.
pub fn leave(version: i16, group: &str, member: &str) -> LeaveGroupRequest {
    if version >= 3 {
        return leave_all(group, &[(member, None)]);
    }
    LeaveGroupRequest::default().with_group_id(group_id(group)).with_member_id(text(member))
}

/// LeaveGroup of several: (member id, instance id).
pub fn leave_all(group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    let members = members
        .iter()
        .map(|(id, instance)| {
            MemberIdentity::default().with_member_id(text(id)).with_group_instance_id(instance.map(text))
        })
        .collect();
    LeaveGroupRequest::default().with_group_id(group_id(group)).with_members(members)
}

pub fn describe(groups: &[&str]) -> DescribeGroupsRequest {
    DescribeGroupsRequest::default().with_groups(groups.iter().map(|g| group_id(g)).collect())
}

pub fn list(states: &[&str], types: &[&str]) -> ListGroupsRequest {
    let texts = |words: &[&str]| -> Vec<StrBytes> { words.iter().map(|word| text(word)).collect() };
    ListGroupsRequest::default().with_states_filter(texts(states)).with_types_filter(texts(types))
}

pub fn delete(groups: &[&str]) -> DeleteGroupsRequest {
    DeleteGroupsRequest::default().with_groups_names(groups.iter().map(|g| group_id(g)).collect())
}
