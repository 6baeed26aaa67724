//! The records of `__transaction_state`, byte for byte as Kafka 4.2 writes them: the state of one transactional id.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::state::{State, Transaction};
use crate::coordinator::codec::{Malformed, Reader, Writer};
use crate::record::TransactionVersion;
use crate::record::build::NewRecord;

const KEY_TRANSACTION: i16 = 0;
const VALUE_VERSION: i16 = 1;

const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_VERSION: u32 = 2;
/// What [`TransactionVersion::V2`] is called in a record.
const LEVEL_V2: i16 = 2;

/// `None` is a tombstone: the id has expired.
pub fn encode(id: &str, transaction: Option<&Transaction>, timestamp: i64) -> NewRecord {
    let mut key = Writer::default();
    key.i16(KEY_TRANSACTION).string(id);
    let value = transaction.map(|t| Bytes::from(encode_value(t)));
    NewRecord { key: Some(key.0.into()), value, headers: Vec::new(), timestamp }
}

/// The id, and its state unless the record is a tombstone; `None` for records of a type that is not known here.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<(String, Option<Transaction>)>, Malformed> {
    let mut reader = Reader(key);
    if reader.i16()? != KEY_TRANSACTION {
        return Ok(None);
    }
    Ok(Some((reader.string()?, value.map(decode_value).transpose()?)))
}

fn encode_value(t: &Transaction) -> Vec<u8> {
    let mut out = Writer::default();
    out.i16(VALUE_VERSION).i64(t.producer_id).i16(t.producer_epoch).i32(t.timeout_ms).i8(t.state as i8);
    if t.state == State::Empty {
        // A null array.
        out.varint(0);
    } else {
        let topics: Vec<(&str, Vec<i32>)> = by_topic(&t.partitions);
        out.compact_count(topics.len());
        for (topic, partitions) in topics {
            out.compact_string(topic).compact_count(partitions.len());
            for partition in partitions {
                out.i32(partition);
            }
            out.no_tags();
        }
    }
    out.i64(t.updated_ms).i64(t.started_ms);
    // Kafka leaves both out. Ours are there while they say something: a retry after a restart needs them.
    let previous = t.previous_producer_id.filter(|previous| *previous != t.producer_id);
    let v2 = t.version == TransactionVersion::V2;
    out.varint(u32::from(previous.is_some()) + u32::from(t.next_producer_id.is_some()) + u32::from(v2));
    for (tag, id) in [(TAG_PREVIOUS_PRODUCER_ID, previous), (TAG_NEXT_PRODUCER_ID, t.next_producer_id)] {
        if let Some(id) = id {
            out.varint(tag).varint(8).i64(id);
        }
    }
    if v2 {
        out.varint(TAG_CLIENT_VERSION).varint(2).i16(LEVEL_V2);
    }
    out.0
}

/// Partitions of each topic, in order.
pub fn by_topic(partitions: &BTreeSet<(String, i32)>) -> Vec<(&str, Vec<i32>)> {
    let mut topics: Vec<(&str, Vec<i32>)> = Vec::new();
    for (topic, partition) in partitions {
        match topics.last_mut() {
            Some((last, list)) if last == topic => list.push(*partition),
            _ => topics.push((topic, vec![*partition])),
        }
    }
    topics
}

fn decode_value(bytes: &[u8]) -> Result<Transaction, Malformed> {
    let mut reader = Reader(bytes);
    let version = reader.i16()?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(crate::coordinator::records::LATER_RELEASE);
    }
    let producer_id = reader.i64()?;
    let producer_epoch = reader.i16()?;
    let timeout_ms = reader.i32()?;
    let state = State::from_id(reader.i8()?).ok_or(Malformed("an unknown state of a transaction"))?;
    let topics = if version >= 1 {
        reader.compact_array(|r| {
            let topic = (r.compact_string()?, r.compact_array(Reader::i32)?);
            r.skip_tags()?;
            Ok(topic)
        })?
    } else {
        reader.array_of(|r| Ok((r.string()?, r.array_of(Reader::i32)?)))?
    };
    let partitions =
        topics.into_iter().flat_map(|(topic, list)| list.into_iter().map(move |p| (topic.clone(), p))).collect();
    let updated_ms = reader.i64()?;
    let started_ms = reader.i64()?;
    let (mut previous_producer_id, mut next_producer_id, mut level) = (None, None, 0);
    if version >= 1 {
        reader.tags(|tag, content| {
            match tag {
                TAG_PREVIOUS_PRODUCER_ID => previous_producer_id = Some(content.i64()?),
                TAG_NEXT_PRODUCER_ID => next_producer_id = Some(content.i64()?),
                TAG_CLIENT_VERSION => level = content.i16()?,
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(Transaction {
        producer_id,
        previous_producer_id,
        next_producer_id,
        producer_epoch,
        // Not on record: a retry of InitProducerId over a restart is fenced, as in Kafka.
        last_producer_epoch: -1,
        timeout_ms,
        state,
        partitions,
        started_ms,
        updated_ms,
        version: if level >= LEVEL_V2 { TransactionVersion::V2 } else { TransactionVersion::V1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let mut transaction = Transaction {
            producer_id: 7,
            previous_producer_id: Some(6),
            next_producer_id: Some(8),
            producer_epoch: 3,
            last_producer_epoch: -1,
            timeout_ms: 60_000,
            state: State::PrepareCommit,
            partitions: BTreeSet::from([("a".into(), 0), ("a".into(), 2), ("b".into(), 1)]),
            started_ms: 5,
            updated_ms: 9,
            version: TransactionVersion::V2,
        };
        for state in [State::PrepareCommit, State::Empty] {
            transaction.state = state;
            if state == State::Empty {
                transaction.partitions.clear();
                transaction.version = TransactionVersion::V1;
            }
            let record = encode("id", Some(&transaction), 0);
            let (key, value) = (record.key.expect("a key"), record.value.expect("a value"));
            assert_eq!(decode(&key, Some(&value)), Ok(Some(("id".into(), Some(transaction.clone())))));
        }
        let tombstone = encode("id", None, 0);
        assert_eq!(decode(&tombstone.key.expect("a key"), None), Ok(Some(("id".into(), None))));
        assert!(decode(&[0, 0, 0, 1, b'x'], Some(&[0, 1, 0])).is_err());
    }

    #[test]
    fn the_bytes_are_those_of_the_schema() {
        // By the schema of TransactionLogValue, version 1: an id in state Ongoing with topic "t", partition 1.
        let transaction = Transaction {
            producer_id: 1,
            previous_producer_id: Some(1),
            next_producer_id: None,
            producer_epoch: 0,
            last_producer_epoch: -1,
            timeout_ms: 60_000,
            state: State::Ongoing,
            partitions: BTreeSet::from([("t".into(), 1)]),
            started_ms: 2,
            updated_ms: 3,
            version: TransactionVersion::V2,
        };
        let value = encode("id", Some(&transaction), 0).value.expect("a value");
        let expected: &[u8] = &[
            0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xea, 0x60, 1, 2, 2, b't', 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
            3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 2, 0, 2,
        ];
        assert_eq!(&value[..], expected);
    }
}
