//! Messages of transactional producers, in the last versions of both protocols.

use bytes::{Buf, BufMut};

use super::groups::{
    get_bytes, get_count, put_bytes, put_count, put_no_tags, put_null, put_text, request, skip_header,
};
use super::skip;
use crate::Result;

const PRODUCE: i16 = 0;
const FIND_COORDINATOR: i16 = 10;
const INIT_PRODUCER_ID: i16 = 22;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const END_TXN: i16 = 26;

const TRANSACTION_TIMEOUT_MS: i32 = 60_000;

/// A transactional producer as it believes to be.
#[derive(Clone)]
pub struct Producer {
    pub transactional_id: String,
    pub id: i64,
    pub epoch: i16,
}

pub fn find_coordinator(transactional_id: &str) -> Vec<u8> {
    request(FIND_COORDINATOR, 4, |body| {
        body.put_u8(1); // of a transaction
        put_count(body, 1);
        put_text(body, transactional_id);
    })
}

pub fn init(transactional_id: &str) -> Vec<u8> {
    request(INIT_PRODUCER_ID, 4, |body| {
        put_text(body, transactional_id);
        body.put_i32(TRANSACTION_TIMEOUT_MS);
        body.put_i64(-1);
        body.put_i16(-1);
    })
}

/// Error, producer id and epoch.
pub fn init_answer(mut answer: &[u8]) -> Result<(i16, i64, i16)> {
    skip_header(&mut answer)?;
    Ok((answer.try_get_i16()?, answer.try_get_i64()?, answer.try_get_i16()?))
}

/// Partition 0 of a topic, by the first protocol.
pub fn add_partition(producer: &Producer, topic: &str) -> Vec<u8> {
    request(ADD_PARTITIONS_TO_TXN, 3, |body| {
        put_producer(body, producer);
        put_count(body, 1);
        put_text(body, topic);
        put_count(body, 1);
        body.put_i32(0);
        put_no_tags(body);
    })
}

pub fn add_partition_answer(mut answer: &[u8]) -> Result<i16> {
    skip_header(&mut answer)?;
    get_count(&mut answer)?;
    get_bytes(&mut answer)?; // topic
    get_count(&mut answer)?;
    skip(&mut answer, 4)?;
    Ok(answer.try_get_i16()?)
}

/// One batch to partition 0, of a transaction or of none; version 12 adds the partition to the transaction by itself.
pub fn produce(producer: Option<&Producer>, version: i16, topic: &str, batch: &[u8]) -> Vec<u8> {
    request(PRODUCE, version, |body| {
        match producer {
            Some(producer) => put_text(body, &producer.transactional_id),
            None => put_null(body),
        }
        body.put_i16(-1); // all replicas
        body.put_i32(30_000);
        put_count(body, 1);
        put_text(body, topic);
        put_count(body, 1);
        body.put_i32(0);
        put_bytes(body, batch);
        put_no_tags(body);
        put_no_tags(body);
    })
}

pub fn produce_answer(mut answer: &[u8]) -> Result<i16> {
    // Correlation id and tagged fields; the throttle time comes last here.
    skip(&mut answer, 5)?;
    get_count(&mut answer)?;
    get_bytes(&mut answer)?; // topic
    get_count(&mut answer)?;
    skip(&mut answer, 4)?;
    Ok(answer.try_get_i16()?)
}

pub fn end(producer: &Producer, version: i16, commit: bool) -> Vec<u8> {
    request(END_TXN, version, |body| {
        put_producer(body, producer);
        body.put_u8(u8::from(commit));
    })
}

/// The error, and id and epoch afterwards where the version has them.
pub fn end_answer(mut answer: &[u8], version: i16) -> Result<(i16, Option<(i64, i16)>)> {
    skip_header(&mut answer)?;
    let error = answer.try_get_i16()?;
    let after = if version >= 5 { Some((answer.try_get_i64()?, answer.try_get_i16()?)) } else { None };
    Ok((error, after))
}

fn put_producer(out: &mut Vec<u8>, producer: &Producer) {
    put_text(out, &producer.transactional_id);
    out.put_i64(producer.id);
    out.put_i16(producer.epoch);
}
