//! Records of consumer groups in `__consumer_offsets`, byte for byte as Kafka 4.2 writes them.
//!
//! A key is its type as i16 and its fields in the classic encoding; a value is version 0 as i16 and its fields in the
//! compact encoding (KIP-482). A record without a value deletes. What Kafka keeps unordered is sorted here.

use super::member::{ClassicMember, ClassicProtocol, Member};
use crate::coordinator::assignor::Assignment;
use crate::coordinator::codec::{Malformed, Reader, Writer};
use crate::coordinator::records::LATER_RELEASE;

const KEY_GROUP: i16 = 3;
const KEY_PARTITION_METADATA: i16 = 4;
const KEY_MEMBER: i16 = 5;
const KEY_TARGET_EPOCH: i16 = 6;
const KEY_TARGET_MEMBER: i16 = 7;
const KEY_CURRENT_ASSIGNMENT: i16 = 8;
const KEY_REGEX: i16 = 16;

const VALUE_VERSION: i16 = 0;

/// One record, without the group's name.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Type 3.
    Group(Option<GroupMetadata>),
    /// Type 4, which only releases before 4.1 wrote: here it is only ever deleted.
    PartitionMetadata { exists: bool },
    /// Type 5.
    Member { member_id: String, value: Option<MemberMetadata> },
    /// Type 6.
    TargetEpoch(Option<i32>),
    /// Type 7.
    TargetMember { member_id: String, value: Option<Assignment> },
    /// Type 8.
    CurrentAssignment { member_id: String, value: Option<CurrentAssignment> },
    /// Type 16.
    Regex { regex: String, value: Option<ResolvedRegex> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    pub epoch: i32,
    /// Of the subscribed topics (KIP-1101); only ever compared with itself.
    pub metadata_hash: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
    pub subscribed_regex: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
    pub classic: Option<ClassicMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentAssignment {
    pub epoch: i32,
    pub previous_epoch: i32,
    /// A `MemberState`, or one of a later release.
    pub state: i8,
    pub assigned: Assignment,
    pub pending_revocation: Assignment,
}

/// The topics that an expression matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// Sorted.
    pub topics: Vec<String>,
    /// Version of the topics they were looked up in.
    pub version: i64,
    pub resolved_at_ms: i64,
}

impl MemberMetadata {
    pub fn of(member: &Member) -> MemberMetadata {
        MemberMetadata {
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topics: member.subscribed_topics.iter().cloned().collect(),
            subscribed_regex: member.subscribed_regex.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            server_assignor: member.server_assignor.clone(),
            classic: member.classic.clone(),
        }
    }

    pub fn apply_to(&self, member: &mut Member) {
        member.instance_id = self.instance_id.clone();
        member.rack_id = self.rack_id.clone();
        member.client_id = self.client_id.clone();
        member.client_host = self.client_host.clone();
        member.subscribed_topics = self.subscribed_topics.iter().cloned().collect();
        member.subscribed_regex = self.subscribed_regex.clone();
        member.rebalance_timeout_ms = self.rebalance_timeout_ms;
        member.server_assignor = self.server_assignor.clone();
        member.classic = self.classic.clone();
    }
}

impl Change {
    pub fn member(member: &Member) -> Change {
        Change::Member { member_id: member.id.to_string(), value: Some(MemberMetadata::of(member)) }
    }

    pub fn current(member: &Member) -> Change {
        let value = CurrentAssignment {
            epoch: member.epoch,
            previous_epoch: member.previous_epoch,
            state: member.state as i8,
            assigned: member.assigned.clone(),
            pending_revocation: member.pending_revocation.clone(),
        };
        Change::CurrentAssignment { member_id: member.id.to_string(), value: Some(value) }
    }

    pub fn group(epoch: i32, metadata_hash: i64) -> Change {
        Change::Group(Some(GroupMetadata { epoch, metadata_hash }))
    }

    /// Whether the group itself is gone with this record.
    pub fn deletes_group(&self) -> bool {
        matches!(self, Change::Group(None))
    }

    /// Key and value; no value deletes.
    pub fn encode(&self, group_id: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let (kind, second) = match self {
            Change::Group(_) => (KEY_GROUP, None),
            Change::PartitionMetadata { .. } => (KEY_PARTITION_METADATA, None),
            Change::Member { member_id, .. } => (KEY_MEMBER, Some(member_id)),
            Change::TargetEpoch(_) => (KEY_TARGET_EPOCH, None),
            Change::TargetMember { member_id, .. } => (KEY_TARGET_MEMBER, Some(member_id)),
            Change::CurrentAssignment { member_id, .. } => (KEY_CURRENT_ASSIGNMENT, Some(member_id)),
            Change::Regex { regex, .. } => (KEY_REGEX, Some(regex)),
        };
        let mut key = Writer::default();
        key.i16(kind).string(group_id);
        if let Some(second) = second {
            key.string(second);
        }
        (key.0, self.encode_value())
    }

    fn encode_value(&self) -> Option<Vec<u8>> {
        let mut w = Writer::default();
        w.i16(VALUE_VERSION);
        match self {
            Change::Group(value) => write_group(&mut w, value.as_ref()?),
            Change::PartitionMetadata { .. } => return None,
            Change::Member { value, .. } => write_member(&mut w, value.as_ref()?),
            Change::TargetEpoch(epoch) => w.i32((*epoch)?).no_tags(),
            Change::TargetMember { value, .. } => w.assignment(value.as_ref()?).no_tags(),
            Change::CurrentAssignment { value, .. } => write_current(&mut w, value.as_ref()?),
            Change::Regex { value, .. } => write_regex(&mut w, value.as_ref()?),
        };
        Some(w.0)
    }

    /// The group and what is recorded of it; `None` for a key that is not a consumer group's.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<(String, Change)>, Malformed> {
        let mut key = Reader(key);
        let kind = key.i16()?;
        if !matches!(kind, KEY_GROUP..=KEY_CURRENT_ASSIGNMENT | KEY_REGEX) {
            return Ok(None);
        }
        let group_id = key.string()?;
        let mut value = value.map(Reader);
        if let Some(value) = &mut value
            && value.i16()? != VALUE_VERSION
        {
            return Err(LATER_RELEASE);
        }
        let mut second = || key.string();
        let change = match kind {
            KEY_GROUP => Change::Group(value.map(read_group).transpose()?),
            KEY_PARTITION_METADATA => Change::PartitionMetadata { exists: value.is_some() },
            KEY_MEMBER => Change::Member { member_id: second()?, value: value.map(read_member).transpose()? },
            KEY_TARGET_EPOCH => Change::TargetEpoch(value.map(|mut v| v.i32()).transpose()?),
            KEY_TARGET_MEMBER => {
                Change::TargetMember { member_id: second()?, value: value.map(|mut v| v.assignment()).transpose()? }
            }
            KEY_CURRENT_ASSIGNMENT => {
                Change::CurrentAssignment { member_id: second()?, value: value.map(read_current).transpose()? }
            }
            _ => Change::Regex { regex: second()?, value: value.map(read_regex).transpose()? },
        };
        Ok(Some((group_id, change)))
    }
}

fn write_group<'w>(w: &'w mut Writer, value: &GroupMetadata) -> &'w mut Writer {
    w.i32(value.epoch);
    // The hash is a tagged field with the default 0.
    match value.metadata_hash {
        0 => w.no_tags(),
        hash => w.one_tag(&hash.to_be_bytes()),
    }
}

fn read_group(mut r: Reader) -> Result<GroupMetadata, Malformed> {
    let mut group = GroupMetadata { epoch: r.i32()?, metadata_hash: 0 };
    r.tags(|tag, content| {
        if tag == 0 {
            group.metadata_hash = content.i64()?;
        }
        Ok(())
    })?;
    Ok(group)
}

fn write_member<'w>(w: &'w mut Writer, value: &MemberMetadata) -> &'w mut Writer {
    w.compact_nullable_string(value.instance_id.as_deref()).compact_nullable_string(value.rack_id.as_deref());
    w.compact_string(&value.client_id).compact_string(&value.client_host);
    w.compact_strings(&value.subscribed_topics).compact_nullable_string(value.subscribed_regex.as_deref());
    w.i32(value.rebalance_timeout_ms).compact_nullable_string(value.server_assignor.as_deref());
    let mut content = Writer::default();
    let Some(classic) = &value.classic else {
        // Kafka writes this one field also where it is null: its default is another.
        return w.one_tag(&content.i8(0).0);
    };
    // A nullable structure starts with a byte that says whether it is there.
    content.i8(1).i32(classic.session_timeout_ms).compact_count(classic.protocols.len());
    for protocol in &classic.protocols {
        content.compact_string(&protocol.name).compact_bytes(&protocol.metadata).no_tags();
    }
    w.one_tag(&content.no_tags().0)
}

fn read_member(mut r: Reader) -> Result<MemberMetadata, Malformed> {
    let mut member = MemberMetadata {
        instance_id: r.compact_nullable_string()?,
        rack_id: r.compact_nullable_string()?,
        client_id: r.compact_string()?,
        client_host: r.compact_string()?,
        subscribed_topics: r.compact_array(Reader::compact_string)?,
        subscribed_regex: r.compact_nullable_string()?,
        rebalance_timeout_ms: r.i32()?,
        server_assignor: r.compact_nullable_string()?,
        classic: None,
    };
    r.tags(|tag, content| {
        if tag == 0 && content.i8()? > 0 {
            member.classic = Some(read_classic(content)?);
        }
        Ok(())
    })?;
    Ok(member)
}

fn read_classic(r: &mut Reader) -> Result<ClassicMember, Malformed> {
    let session_timeout_ms = r.i32()?;
    let protocols = r.compact_array(|r| {
        let name = r.compact_string()?;
        let metadata = r.compact_bytes()?.unwrap_or_default().to_vec();
        r.skip_tags()?;
        Ok(ClassicProtocol { name, metadata })
    })?;
    Ok(ClassicMember { session_timeout_ms, protocols })
}

fn write_current<'w>(w: &'w mut Writer, value: &CurrentAssignment) -> &'w mut Writer {
    w.i32(value.epoch).i32(value.previous_epoch).i8(value.state);
    w.assignment(&value.assigned).assignment(&value.pending_revocation).no_tags()
}

fn read_current(mut r: Reader) -> Result<CurrentAssignment, Malformed> {
    Ok(CurrentAssignment {
        epoch: r.i32()?,
        previous_epoch: r.i32()?,
        state: r.i8()?,
        assigned: r.assignment()?,
        pending_revocation: r.assignment()?,
    })
}

fn write_regex<'w>(w: &'w mut Writer, value: &ResolvedRegex) -> &'w mut Writer {
    w.compact_strings(&value.topics).i64(value.version).i64(value.resolved_at_ms).no_tags()
}

fn read_regex(mut r: Reader) -> Result<ResolvedRegex, Malformed> {
    Ok(ResolvedRegex { topics: r.compact_array(Reader::compact_string)?, version: r.i64()?, resolved_at_ms: r.i64()? })
}
