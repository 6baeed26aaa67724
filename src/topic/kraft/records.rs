//! Those of KRaft's metadata records that say something to us, out of their framing: format 1, key and version as unsigned
//! varints, then the message in its flexible encoding (KIP-595, KIP-631; Kafka's `common/metadata/*.json`).

use std::fmt::Display;

use super::KraftPartition;
use crate::base::TopicId;

const FRAME_VERSION: u64 = 1;

const REGISTER_BROKER: u64 = 0;
const TOPIC: u64 = 2;
const PARTITION: u64 = 3;
const CONFIG: u64 = 4;
const PARTITION_CHANGE: u64 = 5;
const REMOVE_TOPIC: u64 = 9;
const PRODUCER_IDS: u64 = 15;
const BEGIN_TRANSACTION: u64 = 23;
const END_TRANSACTION: u64 = 24;
const ABORT_TRANSACTION: u64 = 25;

/// What one record changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Topic {
        name: String,
        id: TopicId,
    },
    Partition {
        topic: TopicId,
        index: u32,
        partition: KraftPartition,
    },
    /// `None` and `LEADER_UNCHANGED` leave what was.
    PartitionChanged {
        topic: TopicId,
        index: u32,
        leader: i32,
        replicas: Option<Vec<i32>>,
        directories: Option<Vec<TopicId>>,
    },
    RemoveTopic {
        id: TopicId,
    },
    /// Without a value the key goes back to its default.
    Config {
        resource_type: i8,
        resource: String,
        key: String,
        value: Option<String>,
    },
    ProducerIds {
        next: i64,
    },
    BrokerRegistered {
        node: i32,
        epoch: i64,
    },
    Begin,
    End,
    Abort,
}

/// Decodes the value of a record. `None` for those that say nothing to us.
pub fn decode(value: &[u8]) -> Result<Option<Change>, String> {
    let mut r = Reader(value);
    match r.unsigned("frame version")? {
        FRAME_VERSION => {}
        other => return Err(format!("a record in a frame of version {other}, which this release cannot read")),
    }
    let key = r.unsigned("key")?;
    let version = r.unsigned("version")?;
    let known_up_to = |latest: u64| match version <= latest {
        true => Ok(()),
        false => Err(format!("a record of key {key} in version {version}, which this release cannot read")),
    };
    let change = match key {
        TOPIC => {
            known_up_to(0)?;
            Change::Topic { name: r.string()?, id: r.id()? }
        }
        PARTITION => {
            known_up_to(2)?;
            partition(&mut r, version)?
        }
        PARTITION_CHANGE => {
            known_up_to(2)?;
            partition_change(&mut r)?
        }
        REMOVE_TOPIC => {
            known_up_to(0)?;
            Change::RemoveTopic { id: r.id()? }
        }
        CONFIG => {
            known_up_to(0)?;
            Change::Config {
                resource_type: r.i8()?,
                resource: r.string()?,
                key: r.string()?,
                value: r.nullable_string()?,
            }
        }
        PRODUCER_IDS => {
            known_up_to(0)?;
            let _broker = r.i32()?;
            let _broker_epoch = r.i64()?;
            Change::ProducerIds { next: r.i64()? }
        }
        REGISTER_BROKER => {
            known_up_to(3)?;
            let node = r.i32()?;
            if version >= 2 {
                let _is_migrating = r.i8()?;
            }
            let _incarnation = r.id()?;
            Change::BrokerRegistered { node, epoch: r.i64()? }
        }
        BEGIN_TRANSACTION => Change::Begin,
        END_TRANSACTION => Change::End,
        ABORT_TRANSACTION => Change::Abort,
        _ => return Ok(None),
    };
    Ok(Some(change))
}

fn partition(r: &mut Reader<'_>, version: u64) -> Result<Change, String> {
    let index = r.index()?;
    let topic = r.id()?;
    let replicas = r.array(Reader::i32)?.unwrap_or_default();
    for _in_sync_removing_adding in 0..3 {
        r.array(Reader::i32)?;
    }
    let _leader = r.i32()?;
    let leader_epoch = r.i32()?;
    let _partition_epoch = r.i32()?;
    let directories = if version >= 1 { r.array(Reader::id)?.unwrap_or_default() } else { Vec::new() };
    Ok(Change::Partition { topic, index, partition: KraftPartition { leader_epoch, replicas, directories } })
}

fn partition_change(r: &mut Reader<'_>) -> Result<Change, String> {
    let index = r.index()?;
    let topic = r.id()?;
    let (mut leader, mut replicas, mut directories) = (super::LEADER_UNCHANGED, None, None);
    for _ in 0..r.unsigned("count of tagged fields")? {
        let tag = r.unsigned("tag")?;
        let size = r.unsigned("size of a tagged field")?;
        let mut field = Reader(r.take(size, "tagged field")?);
        match tag {
            1 => leader = field.i32()?,
            2 => replicas = field.array(Reader::i32)?,
            8 => directories = field.array(Reader::id)?,
            _ => {}
        }
    }
    Ok(Change::PartitionChanged { topic, index, leader, replicas, directories })
}

/// What is left of a record.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: u64, what: impl Display) -> Result<&'a [u8], String> {
        let cut_short = || format!("a record that ends within its {what}");
        let bytes = usize::try_from(bytes).map_err(|_| cut_short())?;
        let (head, rest) = self.0.split_at_checked(bytes).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64, what)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    /// An unsigned varint of at most five bytes.
    fn unsigned(&mut self, what: &str) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("a record whose {what} does not end"))
    }

    fn i8(&mut self) -> Result<i8, String> {
        Ok(i8::from_be_bytes(self.fixed("int8")?))
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_be_bytes(self.fixed("int32")?))
    }

    fn i64(&mut self) -> Result<i64, String> {
        Ok(i64::from_be_bytes(self.fixed("int64")?))
    }

    fn id(&mut self) -> Result<TopicId, String> {
        Ok(TopicId(uuid::Uuid::from_bytes(self.fixed("uuid")?)))
    }

    fn index(&mut self) -> Result<u32, String> {
        let index = self.i32()?;
        u32::try_from(index).map_err(|_| format!("a record of partition {index}"))
    }

    fn string(&mut self) -> Result<String, String> {
        self.nullable_string()?.ok_or_else(|| "a record with null for a string".to_owned())
    }

    fn nullable_string(&mut self) -> Result<Option<String>, String> {
        let Some(length) = self.unsigned("length of a string")?.checked_sub(1) else { return Ok(None) };
        let bytes = self.take(length, "string")?;
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| "a record with a string that is no UTF-8".to_owned())
    }

    /// Grows with what is there: a count that lies reserves nothing.
    fn array<T>(&mut self, element: impl Fn(&mut Self) -> Result<T, String>) -> Result<Option<Vec<T>>, String> {
        let Some(count) = self.unsigned("length of an array")?.checked_sub(1) else { return Ok(None) };
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }
}
