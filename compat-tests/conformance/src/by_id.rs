//! OffsetCommit and OffsetFetch in version 10, where topics go by id: the codec ends at version 9. The name of a topic in
//! these messages is the text of its id.

use bytes::{Buf, BufMut};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange};
use uuid::Uuid;

type Result<T = (), E = anyhow::Error> = std::result::Result<T, E>;

pub const VERSION: i16 = 10;

#[derive(Clone, Debug, PartialEq)]
pub struct CommitById(pub OffsetCommitRequest);

#[derive(Clone, PartialEq)]
pub struct CommittedById(pub OffsetCommitResponse);

#[derive(Clone, Debug, PartialEq)]
pub struct FetchById(pub OffsetFetchRequest);

#[derive(Clone, PartialEq)]
pub struct FetchedById(pub OffsetFetchResponse);

macro_rules! messages {
    ($($request:ident, $response:ident, $key:expr;)*) => { $(
        impl Message for $request {
            const VERSIONS: VersionRange = VersionRange { min: VERSION, max: VERSION };
            const DEPRECATED_VERSIONS: Option<VersionRange> = None;
        }
        impl Message for $response {
            const VERSIONS: VersionRange = VersionRange { min: VERSION, max: VERSION };
            const DEPRECATED_VERSIONS: Option<VersionRange> = None;
        }
        impl HeaderVersion for $request {
            fn header_version(_: i16) -> i16 {
                2
            }
        }
        impl HeaderVersion for $response {
            fn header_version(_: i16) -> i16 {
                1
            }
        }
        impl Request for $request {
            const KEY: i16 = $key as i16;
            type Response = $response;
        }
        impl Decodable for $request {
            fn decode<B: ByteBuf>(_: &mut B, _: i16) -> Result<Self> {
                Err(anyhow::anyhow!("requests are not read here"))
            }
        }
        impl std::fmt::Debug for $response {
            /// As the message of the older versions.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )* };
}

messages! {
    CommitById, CommittedById, ApiKey::OffsetCommit;
    FetchById, FetchedById, ApiKey::OffsetFetch;
}

/// Both ways of encoding: the size is that of what is written.
macro_rules! encodable {
    ($($name:ident)*) => { $(
        impl Encodable for $name {
            fn encode<B: ByteBufMut>(&self, buf: &mut B, _: i16) -> Result {
                let mut out = Vec::new();
                self.write(&mut out)?;
                buf.put_slice(&out);
                Ok(())
            }
            fn compute_size(&self, _: i16) -> Result<usize> {
                let mut out = Vec::new();
                self.write(&mut out)?;
                Ok(out.len())
            }
        }
    )* };
}

encodable!(CommitById CommittedById FetchById FetchedById);

impl CommitById {
    fn write(&self, out: &mut Vec<u8>) -> Result {
        let asked = &self.0;
        put_text(out, Some(&asked.group_id));
        out.put_i32(asked.generation_id_or_member_epoch);
        put_text(out, Some(&asked.member_id));
        put_text(out, asked.group_instance_id.as_deref());
        put_list(out, Some(&asked.topics), |out, topic| {
            put_id(out, &topic.name)?;
            put_list(out, Some(&topic.partitions), |out, p: &OffsetCommitRequestPartition| {
                out.put_i32(p.partition_index);
                out.put_i64(p.committed_offset);
                out.put_i32(p.committed_leader_epoch);
                put_text(out, p.committed_metadata.as_deref());
                Ok(())
            })
        })?;
        out.put_u8(0);
        Ok(())
    }
}

impl FetchById {
    fn write(&self, out: &mut Vec<u8>) -> Result {
        put_list(out, Some(&self.0.groups), |out, group| {
            put_text(out, Some(&group.group_id));
            put_text(out, group.member_id.as_deref());
            out.put_i32(group.member_epoch);
            put_list(out, group.topics.as_deref(), |out, topic| {
                put_id(out, &topic.name)?;
                put_length(out, topic.partition_indexes.len() + 1);
                topic.partition_indexes.iter().for_each(|p| out.put_i32(*p));
                Ok(())
            })
        })?;
        out.put_u8(self.0.require_stable.into());
        out.put_u8(0);
        Ok(())
    }
}

impl CommittedById {
    fn write(&self, out: &mut Vec<u8>) -> Result {
        out.put_i32(self.0.throttle_time_ms);
        put_list(out, Some(&self.0.topics), |out, topic| {
            put_id(out, &topic.name)?;
            put_list(out, Some(&topic.partitions), |out, p: &OffsetCommitResponsePartition| {
                out.put_i32(p.partition_index);
                out.put_i16(p.error_code);
                Ok(())
            })
        })?;
        out.put_u8(0);
        Ok(())
    }
}

impl Decodable for CommittedById {
    fn decode<B: ByteBuf>(buf: &mut B, _: i16) -> Result<Self> {
        let mut answer = OffsetCommitResponse::default();
        answer.throttle_time_ms = buf.try_get_i32()?;
        answer.topics = get_list(buf, |buf| {
            let mut topic = OffsetCommitResponseTopic::default();
            topic.name = get_id(buf)?;
            topic.partitions = get_list(buf, |buf| {
                let mut p = OffsetCommitResponsePartition::default();
                p.partition_index = buf.try_get_i32()?;
                p.error_code = buf.try_get_i16()?;
                Ok(p)
            })?;
            Ok(topic)
        })?;
        no_tags(buf)?;
        Ok(CommittedById(answer))
    }
}

impl FetchedById {
    fn write(&self, out: &mut Vec<u8>) -> Result {
        out.put_i32(self.0.throttle_time_ms);
        put_list(out, Some(&self.0.groups), |out, group| {
            put_text(out, Some(&group.group_id));
            put_list(out, Some(&group.topics), |out, topic| {
                put_id(out, &topic.name)?;
                put_list(out, Some(&topic.partitions), |out, p: &OffsetFetchResponsePartitions| {
                    out.put_i32(p.partition_index);
                    out.put_i64(p.committed_offset);
                    out.put_i32(p.committed_leader_epoch);
                    put_text(out, p.metadata.as_deref());
                    out.put_i16(p.error_code);
                    Ok(())
                })
            })?;
            out.put_i16(group.error_code);
            Ok(())
        })?;
        out.put_u8(0);
        Ok(())
    }
}

impl Decodable for FetchedById {
    fn decode<B: ByteBuf>(buf: &mut B, _: i16) -> Result<Self> {
        let mut answer = OffsetFetchResponse::default();
        answer.throttle_time_ms = buf.try_get_i32()?;
        answer.groups = get_list(buf, |buf| {
            let mut group = OffsetFetchResponseGroup::default();
            group.group_id = GroupId(get_text(buf)?.unwrap_or_default());
            group.topics = get_list(buf, |buf| {
                let mut topic = OffsetFetchResponseTopics::default();
                topic.name = get_id(buf)?;
                topic.partitions = get_list(buf, |buf| {
                    let mut p = OffsetFetchResponsePartitions::default();
                    p.partition_index = buf.try_get_i32()?;
                    p.committed_offset = buf.try_get_i64()?;
                    p.committed_leader_epoch = buf.try_get_i32()?;
                    p.metadata = get_text(buf)?;
                    p.error_code = buf.try_get_i16()?;
                    Ok(p)
                })?;
                Ok(topic)
            })?;
            group.error_code = buf.try_get_i16()?;
            Ok(group)
        })?;
        no_tags(buf)?;
        Ok(FetchedById(answer))
    }
}

fn put_length(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    put_length(out, text.map_or(0, |text| text.len() + 1));
    out.put_slice(text.unwrap_or_default().as_bytes());
}

fn put_id(out: &mut Vec<u8>, name: &TopicName) -> Result {
    out.put_slice(Uuid::parse_str(name)?.as_bytes());
    Ok(())
}

/// A list of structures, each of which ends with its (absent) tagged fields.
fn put_list<T>(out: &mut Vec<u8>, list: Option<&[T]>, mut put: impl FnMut(&mut Vec<u8>, &T) -> Result) -> Result {
    put_length(out, list.map_or(0, |list| list.len() + 1));
    for element in list.unwrap_or_default() {
        put(out, element)?;
        out.put_u8(0);
    }
    Ok(())
}

fn get_length(buf: &mut impl Buf) -> Result<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = buf.try_get_u8()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(anyhow::anyhow!("a length of more than five bytes"))
}

fn get_text(buf: &mut impl ByteBuf) -> Result<Option<StrBytes>> {
    let Some(length) = get_length(buf)?.checked_sub(1) else { return Ok(None) };
    anyhow::ensure!(buf.remaining() >= length, "a text that is cut short");
    Ok(Some(StrBytes::from_utf8(buf.get_bytes(length))?))
}

fn get_id(buf: &mut impl Buf) -> Result<TopicName> {
    let id = Uuid::from_u128(buf.try_get_u128()?);
    Ok(TopicName(StrBytes::from_string(id.to_string())))
}

fn get_list<B: ByteBuf, T>(buf: &mut B, mut get: impl FnMut(&mut B) -> Result<T>) -> Result<Vec<T>> {
    let count = get_length(buf)?.saturating_sub(1);
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(get(buf)?);
        no_tags(buf)?;
    }
    Ok(list)
}

fn no_tags(buf: &mut impl Buf) -> Result {
    match buf.try_get_u8()? {
        0 => Ok(()),
        tags => Err(anyhow::anyhow!("{tags} tagged fields where there are none")),
    }
}
