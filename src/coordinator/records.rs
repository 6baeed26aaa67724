//! The records of `__consumer_offsets`, byte for byte as Kafka 4.2 writes them: a key of type and fields, a value of
//! version and fields, no value for a tombstone.

use bytes::Bytes;

use super::codec::{Malformed, Reader, Writer};
use super::consumer::Change;
use crate::base::TopicId;
use crate::record::build::NewRecord;

const KEY_OFFSET_COMMIT_OLD: i16 = 0;
const KEY_OFFSET_COMMIT: i16 = 1;
const KEY_CLASSIC_GROUP: i16 = 2;

const OFFSET_COMMIT_VERSION: i16 = 4;
/// The one version that carries a time to expire at.
const OFFSET_COMMIT_EXPIRING_VERSION: i16 = 1;
const CLASSIC_GROUP_VERSION: i16 = 3;

pub(super) const LATER_RELEASE: Malformed = Malformed("a version of a later release");

#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    Offset {
        group: String,
        topic: String,
        partition: i32,
        value: Option<OffsetValue>,
    },
    ClassicGroup {
        group: String,
        value: Option<ClassicGroupValue>,
    },
    /// One change of a group of KIP-848.
    Consumer {
        group: String,
        change: Change,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct OffsetValue {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_timestamp: i64,
    /// -1: by `offsets.retention.minutes`.
    pub expire_timestamp: i64,
    pub topic_id: TopicId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClassicGroupValue {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    pub state_timestamp: i64,
    pub members: Vec<ClassicMemberValue>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClassicMemberValue {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl GroupRecord {
    pub fn encode(&self, timestamp: i64) -> NewRecord {
        let mut key = Writer::default();
        let value = match self {
            GroupRecord::Offset { group, topic, partition, value } => {
                key.i16(KEY_OFFSET_COMMIT).string(group).string(topic).i32(*partition);
                value.as_ref().map(encode_offset)
            }
            GroupRecord::ClassicGroup { group, value } => {
                key.i16(KEY_CLASSIC_GROUP).string(group);
                value.as_ref().map(encode_classic_group)
            }
            GroupRecord::Consumer { group, change } => {
                let (bytes, value) = change.encode(group);
                key.0 = bytes;
                value
            }
        };
        NewRecord { key: Some(key.0.into()), value: value.map(Bytes::from), headers: Vec::new(), timestamp }
    }

    /// `None` for records of a type that is not known here: they are left alone.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, Malformed> {
        let mut reader = Reader(key);
        Ok(Some(match reader.i16()? {
            KEY_OFFSET_COMMIT_OLD | KEY_OFFSET_COMMIT => GroupRecord::Offset {
                group: reader.string()?,
                topic: reader.string()?,
                partition: reader.i32()?,
                value: value.map(decode_offset).transpose()?,
            },
            KEY_CLASSIC_GROUP => GroupRecord::ClassicGroup {
                group: reader.string()?,
                value: value.map(decode_classic_group).transpose()?,
            },
            _ => match Change::decode(key, value)? {
                Some((group, change)) => GroupRecord::Consumer { group, change },
                None => return Ok(None),
            },
        }))
    }
}

fn encode_offset(value: &OffsetValue) -> Vec<u8> {
    let mut out = Writer::default();
    if value.expire_timestamp != super::offsets::NO_EXPIRY {
        out.i16(OFFSET_COMMIT_EXPIRING_VERSION).i64(value.offset).string(&value.metadata);
        out.i64(value.commit_timestamp).i64(value.expire_timestamp);
        return out.0;
    }
    out.i16(OFFSET_COMMIT_VERSION).i64(value.offset).i32(value.leader_epoch).compact_string(&value.metadata);
    out.i64(value.commit_timestamp);
    match value.topic_id.is_zero() {
        true => out.no_tags(),
        false => out.one_tag(value.topic_id.0.as_bytes()),
    };
    out.0
}

fn decode_offset(bytes: &[u8]) -> Result<OffsetValue, Malformed> {
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    if !(0..=OFFSET_COMMIT_VERSION).contains(&version) {
        return Err(LATER_RELEASE);
    }
    let offset = reader.i64()?;
    let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
    let metadata = if version >= 4 { reader.compact_string()? } else { reader.string()? };
    let commit_timestamp = reader.i64()?;
    let expire_timestamp = if version == OFFSET_COMMIT_EXPIRING_VERSION { reader.i64()? } else { -1 };
    let mut topic_id = TopicId::ZERO;
    if version >= 4 {
        reader.tags(|tag, content| {
            if tag == 0 {
                topic_id = content.topic_id()?;
            }
            Ok(())
        })?;
    }
    Ok(OffsetValue { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
}

fn encode_classic_group(value: &ClassicGroupValue) -> Vec<u8> {
    let mut out = Writer::default();
    out.i16(CLASSIC_GROUP_VERSION).string(&value.protocol_type).i32(value.generation);
    out.nullable_string(value.protocol.as_deref()).nullable_string(value.leader.as_deref());
    out.i64(value.state_timestamp).i32(value.members.len() as i32);
    for member in &value.members {
        out.string(&member.member_id).nullable_string(member.instance_id.as_deref());
        out.string(&member.client_id).string(&member.client_host);
        out.i32(member.rebalance_timeout_ms).i32(member.session_timeout_ms);
        out.bytes(&member.subscription).bytes(&member.assignment);
    }
    out.0
}

fn decode_classic_group(bytes: &[u8]) -> Result<ClassicGroupValue, Malformed> {
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    if !(0..=CLASSIC_GROUP_VERSION).contains(&version) {
        return Err(LATER_RELEASE);
    }
    let protocol_type = reader.string()?;
    let generation = reader.i32()?;
    let protocol = reader.nullable_string()?;
    let leader = reader.nullable_string()?;
    let state_timestamp = if version >= 2 { reader.i64()? } else { -1 };
    let count = reader.i32()?;
    let mut members = Vec::new();
    for _ in 0..count {
        let member_id = reader.string()?;
        let instance_id = if version >= 3 { reader.nullable_string()? } else { None };
        let client_id = reader.string()?;
        let client_host = reader.string()?;
        let rebalance = if version >= 1 { Some(reader.i32()?) } else { None };
        let session_timeout_ms = reader.i32()?;
        members.push(ClassicMemberValue {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: Bytes::copy_from_slice(reader.bytes()?),
            assignment: Bytes::copy_from_slice(reader.bytes()?),
        });
    }
    Ok(ClassicGroupValue { protocol_type, generation, protocol, leader, state_timestamp, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let offset = |expire_timestamp, topic_id| GroupRecord::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: 3,
            value: Some(OffsetValue {
                offset: 42,
                leader_epoch: if expire_timestamp < 0 { 5 } else { -1 },
                metadata: "m".into(),
                commit_timestamp: 1000,
                expire_timestamp,
                topic_id,
            }),
        };
        let member = ClassicMemberValue {
            member_id: "m-1".into(),
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 1,
            session_timeout_ms: 2,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::new(),
        };
        let group = ClassicGroupValue {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol: Some("range".into()),
            leader: None,
            state_timestamp: 9,
            members: vec![member],
        };
        for record in [
            offset(-1, TopicId::ZERO),
            offset(-1, TopicId::random()),
            offset(5000, TopicId::ZERO),
            GroupRecord::Offset { group: "g".into(), topic: "t".into(), partition: 0, value: None },
            GroupRecord::ClassicGroup { group: "g".into(), value: Some(group) },
            GroupRecord::ClassicGroup { group: "g".into(), value: None },
        ] {
            let encoded = record.encode(0);
            let key = encoded.key.expect("a key");
            assert_eq!(GroupRecord::decode(&key, encoded.value.as_deref()), Ok(Some(record)));
        }
    }
}
