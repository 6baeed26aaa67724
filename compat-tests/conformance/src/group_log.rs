//! Records of `__consumer_offsets` and `__transaction_state` as trees: keys and values in Kafka's own formats, read by their schemas.

use uuid::Uuid;

use crate::tree::Tree;

/// A field's type, and from which version on the field is there.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    kind: Kind,
    since: i16,
}

#[derive(Clone, Copy)]
enum Kind {
    I8,
    I16,
    I32,
    I64,
    /// A number that says nothing twice: hashes, versions of the broker's metadata.
    Chance,
    Text,
    Bytes,
    Id,
    Texts,
    Numbers,
    Structs(&'static Struct),
    /// One struct, or null.
    Maybe(&'static Struct),
}

struct Struct {
    fields: &'static [Field],
    tagged: &'static [(u32, Field)],
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, since: 0 }
}

const fn since(name: &'static str, kind: Kind, since: i16) -> Field {
    Field { name, kind, since }
}

const fn plain(fields: &'static [Field]) -> Struct {
    Struct { fields, tagged: &[] }
}

/// One kind of record.
struct Type {
    key: i16,
    name: &'static str,
    /// What follows the group in the key.
    key_fields: &'static [Field],
    value: Struct,
    /// The value's first flexible version.
    flexible: i16,
}

static MEMBER: Struct = plain(&[
    field("member_id", Kind::Text),
    since("group_instance_id", Kind::Text, 3),
    field("client_id", Kind::Text),
    field("client_host", Kind::Text),
    since("rebalance_timeout", Kind::I32, 1),
    field("session_timeout", Kind::I32),
    field("subscription", Kind::Bytes),
    field("assignment", Kind::Bytes),
]);
static PARTITIONS: Struct = plain(&[field("topic_id", Kind::Id), field("partitions", Kind::Numbers)]);
static PROTOCOL: Struct = plain(&[field("name", Kind::Text), field("metadata", Kind::Bytes)]);
static CLASSIC_MEMBER: Struct =
    plain(&[field("session_timeout_ms", Kind::I32), field("supported_protocols", Kind::Structs(&PROTOCOL))]);

static TRANSACTION_PARTITIONS: Struct = plain(&[field("topic", Kind::Text), field("partition_ids", Kind::Numbers)]);

static TYPES: [Type; 10] = [
    // Of the other topic: the key is the transactional id. Kafka no longer writes offsets with this key.
    Type {
        key: 0,
        name: "TransactionLog",
        key_fields: &[],
        value: Struct {
            fields: &[
                field("producer_id", Kind::I64),
                field("producer_epoch", Kind::I16),
                field("transaction_timeout_ms", Kind::I32),
                field("transaction_status", Kind::I8),
                field("transaction_partitions", Kind::Structs(&TRANSACTION_PARTITIONS)),
                field("transaction_last_update_timestamp_ms", Kind::I64),
                field("transaction_start_timestamp_ms", Kind::I64),
            ],
            tagged: &[
                (0, field("previous_producer_id", Kind::I64)),
                (1, field("next_producer_id", Kind::I64)),
                (2, field("client_transaction_version", Kind::I16)),
                (3, field("next_producer_epoch", Kind::I16)),
            ],
        },
        flexible: 1,
    },
    Type {
        key: 1,
        name: "OffsetCommit",
        key_fields: &[field("topic", Kind::Text), field("partition", Kind::I32)],
        value: Struct {
            fields: &[
                field("offset", Kind::I64),
                since("leader_epoch", Kind::I32, 3),
                field("metadata", Kind::Text),
                field("commit_timestamp", Kind::I64),
                // In version 1 alone, which is the last that Kafka writes for commits with a retention of their own.
                since("expire_timestamp", Kind::I64, -1),
            ],
            tagged: &[(0, field("topic_id", Kind::Id))],
        },
        flexible: 4,
    },
    Type {
        key: 2,
        name: "GroupMetadata",
        key_fields: &[],
        value: plain(&[
            field("protocol_type", Kind::Text),
            field("generation", Kind::I32),
            field("protocol", Kind::Text),
            field("leader", Kind::Text),
            since("current_state_timestamp", Kind::I64, 2),
            field("members", Kind::Structs(&MEMBER)),
        ]),
        flexible: 4,
    },
    Type {
        key: 3,
        name: "ConsumerGroupMetadata",
        key_fields: &[],
        value: Struct { fields: &[field("epoch", Kind::I32)], tagged: &[(0, field("metadata_hash", Kind::Chance))] },
        flexible: 0,
    },
    // Deprecated: 4.2 writes tombstones of it only.
    Type { key: 4, name: "ConsumerGroupPartitionMetadata", key_fields: &[], value: plain(&[]), flexible: 0 },
    Type {
        key: 5,
        name: "ConsumerGroupMemberMetadata",
        key_fields: &[field("member_id", Kind::Text)],
        value: Struct {
            fields: &[
                field("instance_id", Kind::Text),
                field("rack_id", Kind::Text),
                field("client_id", Kind::Text),
                field("client_host", Kind::Text),
                field("subscribed_topic_names", Kind::Texts),
                field("subscribed_topic_regex", Kind::Text),
                field("rebalance_timeout_ms", Kind::I32),
                field("server_assignor", Kind::Text),
            ],
            tagged: &[(0, field("classic_member_metadata", Kind::Maybe(&CLASSIC_MEMBER)))],
        },
        flexible: 0,
    },
    Type {
        key: 6,
        name: "ConsumerGroupTargetAssignmentMetadata",
        key_fields: &[],
        value: plain(&[field("assignment_epoch", Kind::I32)]),
        flexible: 0,
    },
    Type {
        key: 7,
        name: "ConsumerGroupTargetAssignmentMember",
        key_fields: &[field("member_id", Kind::Text)],
        value: plain(&[field("topic_partitions", Kind::Structs(&PARTITIONS))]),
        flexible: 0,
    },
    Type {
        key: 8,
        name: "ConsumerGroupCurrentMemberAssignment",
        key_fields: &[field("member_id", Kind::Text)],
        value: plain(&[
            field("member_epoch", Kind::I32),
            field("previous_member_epoch", Kind::I32),
            field("state", Kind::I8),
            field("assigned_partitions", Kind::Structs(&PARTITIONS)),
            field("partitions_pending_revocation", Kind::Structs(&PARTITIONS)),
        ]),
        flexible: 0,
    },
    Type {
        key: 16,
        name: "ConsumerGroupRegularExpression",
        key_fields: &[field("regex", Kind::Text)],
        value: plain(&[
            field("topics", Kind::Texts),
            field("image_version", Kind::Chance),
            field("timestamp", Kind::I64),
        ]),
        flexible: 0,
    },
];

/// The record as fields, if it is of that group.
pub fn record(group: &str, key: &[u8], value: Option<&[u8]>) -> Option<Tree> {
    let mut reader = Reader { bytes: key, flexible: false, version: 0 };
    let key_type = reader.i16()?;
    let Some(known) = TYPES.iter().find(|t| t.key == key_type) else {
        // Every key begins with its group.
        let of_group = matches!(reader.value(Kind::Text)?, Tree::Text(name) if name == group);
        let value = value.map_or(Tree::Null, |bytes| Tree::Text(hex(bytes)));
        return of_group
            .then(|| Tree::Fields(vec![("type".into(), Tree::Int(key_type.into())), ("value".into(), value)]));
    };
    if !matches!(reader.value(Kind::Text)?, Tree::Text(name) if name == group) {
        return None;
    }
    let mut fields = vec![("type".to_string(), Tree::text(format!("{key_type} {}", known.name)))];
    for field in known.key_fields {
        fields.push((field.name.to_string(), reader.value(field.kind)?));
    }
    let value = match value {
        None => Tree::Null,
        Some(bytes) => in_words(known, bytes).unwrap_or_else(|| Tree::text(format!("unreadable: {}", hex(bytes)))),
    };
    fields.push(("value".to_string(), value));
    Some(Tree::Fields(fields))
}

fn in_words(known: &Type, bytes: &[u8]) -> Option<Tree> {
    let mut reader = Reader { bytes, flexible: false, version: 0 };
    reader.version = reader.i16()?;
    reader.flexible = reader.version >= known.flexible;
    let mut fields = vec![("version".to_string(), Tree::Int(reader.version.into()))];
    reader.fields(&known.value, &mut fields)?;
    reader.bytes.is_empty().then_some(Tree::Fields(fields))
}

struct Reader<'a> {
    bytes: &'a [u8],
    version: i16,
    flexible: bool,
}

impl Reader<'_> {
    fn fields(&mut self, known: &Struct, out: &mut Vec<(String, Tree)>) -> Option<()> {
        for field in known.fields {
            let there = if field.since < 0 { self.version == -field.since } else { self.version >= field.since };
            if there {
                out.push((field.name.to_string(), self.value(field.kind)?));
            }
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                let (tag, size) = (self.varint()?, self.varint()?);
                let before = self.bytes.len();
                match known.tagged.iter().find(|(known, _)| *known == tag) {
                    Some((_, field)) => out.push((field.name.to_string(), self.value(field.kind)?)),
                    None => out.push((format!("tag {tag}"), Tree::Text(hex(self.take(size as usize)?)))),
                }
                if before - self.bytes.len() != size as usize {
                    return None;
                }
            }
        }
        Some(())
    }

    fn value(&mut self, kind: Kind) -> Option<Tree> {
        Some(match kind {
            Kind::I8 => Tree::Int(i64::from(self.take(1)?[0] as i8)),
            Kind::I16 => Tree::Int(self.i16()?.into()),
            Kind::I32 => Tree::Int(self.i32()?.into()),
            Kind::I64 => Tree::Int(self.i64()?),
            Kind::Chance => match self.i64()? {
                0 => Tree::Int(0),
                _ => Tree::text("<any>"),
            },
            Kind::Text => match self.length(false)? {
                None => Tree::Null,
                Some(length) => Tree::text(String::from_utf8_lossy(self.take(length)?)),
            },
            Kind::Bytes => match self.length(true)? {
                None => Tree::Null,
                Some(length) => Tree::Bytes(self.take(length)?.to_vec()),
            },
            Kind::Id => Tree::text(Uuid::from_slice(self.take(16)?).ok()?.to_string()),
            Kind::Texts => self.list(|reader| reader.value(Kind::Text))?,
            Kind::Numbers => self.list(|reader| reader.value(Kind::I32))?,
            Kind::Structs(of) => self.list(|reader| reader.structure(of))?,
            Kind::Maybe(of) => match self.varint()? {
                0 => Tree::Null,
                _ => self.structure(of)?,
            },
        })
    }

    fn structure(&mut self, of: &Struct) -> Option<Tree> {
        let mut fields = Vec::new();
        self.fields(of, &mut fields)?;
        Some(Tree::Fields(fields))
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<Tree>) -> Option<Tree> {
        let Some(length) = self.length(true)? else { return Some(Tree::Null) };
        (0..length).map(|_| item(self)).collect::<Option<Vec<Tree>>>().map(Tree::List)
    }

    /// The length of what follows; inner `None` for null.
    fn length(&mut self, long: bool) -> Option<Option<usize>> {
        let length = match (self.flexible, long) {
            (true, _) => i64::from(self.varint()?) - 1,
            (false, true) => self.i32()?.into(),
            (false, false) => self.i16()?.into(),
        };
        Some(usize::try_from(length).ok())
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..32).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Puts records of one kind that follow each other in the order of their members: Kafka goes through members in an order of its own.
pub fn sort_runs(records: &mut [Tree]) {
    let of = |record: &Tree, name: &str| match record.field(name) {
        Some(Tree::Text(text)) => text.clone(),
        _ => String::new(),
    };
    records.iter_mut().for_each(sort_partitions);
    records.chunk_by_mut(|a, b| of(a, "type") == of(b, "type")).for_each(|run| run.sort_by_key(|r| of(r, "member_id")));
}

/// Partitions of a transaction, in Kafka a set.
fn sort_partitions(record: &mut Tree) {
    let Tree::Fields(fields) = record else { return };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("value", value) => sort_partitions(value),
            ("transaction_partitions", Tree::List(topics)) => {
                topics.iter_mut().for_each(sort_partitions);
                topics.sort_by_key(|topic| format!("{:?}", topic.field("topic")));
            }
            ("partition_ids", Tree::List(ids)) => ids.sort_by_key(|id| format!("{id:?}")),
            _ => {}
        }
    }
}

/// The partition of `__consumer_offsets` that has a group's records: Java's hash of the name.
pub fn partition(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_becomes_words() {
        let key = b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x02";
        let value =
            b"\x00\x03\x00\x00\x00\x00\x00\x00\x00\x05\xff\xff\xff\xff\x00\x01m\x00\x00\x00\x00\x00\x00\x00\x07";
        let tree = record("g", key, Some(value)).expect("a record of the group");
        assert_eq!(tree.field("type"), Some(&Tree::text("1 OffsetCommit")));
        assert_eq!(tree.field("partition"), Some(&Tree::Int(2)));
        let value = tree.field("value").expect("a value");
        assert_eq!((value.field("offset"), value.field("metadata")), (Some(&Tree::Int(5)), Some(&Tree::text("m"))));
        assert_eq!(record("other", key, None), None);
        assert_eq!((partition("a", 50), partition("polygenelubricants", 50)), (47, 0));
    }
}
