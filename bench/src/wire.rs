//! The handful of Kafka messages a benchmark needs, written by hand: the load must not share a codec with the server
//! that it measures.

pub mod groups;
pub mod transactions;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut};

use crate::Result;

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
pub const LIST_OFFSETS: i16 = 2;
pub const METADATA: i16 = 3;
pub const API_VERSIONS: i16 = 18;
pub const CREATE_TOPICS: i16 = 19;
pub const DELETE_TOPICS: i16 = 20;

const CLIENT: &str = "bench";
/// Bytes of a record batch before its first record, and of its base offset and length.
pub const BATCH_HEADER_BYTES: usize = 61;
pub const BATCH_OVERHEAD_BYTES: usize = 12;

/// A frame with request header v1; every request here has correlation id 0, since answers come in order.
pub fn request(key: i16, version: i16, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(0);
    put_string(&mut frame, CLIENT.as_bytes());
    body(&mut frame);
    finish(frame)
}

/// Writes the length into the four bytes kept for it.
fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len() - 4;
    frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
    frame
}

/// A Produce v3 request of one batch, and where in it the partition index stands, to be overwritten.
pub fn produce(topic: &str, partition: i32, acks: i16, batch: &[u8]) -> (Vec<u8>, usize) {
    let mut index_at = 0;
    let frame = request(PRODUCE, 3, |body| {
        body.put_i16(-1); // no transactional id
        body.put_i16(acks);
        body.put_i32(30_000);
        body.put_i32(1);
        put_string(body, topic.as_bytes());
        body.put_i32(1);
        index_at = body.len();
        body.put_i32(partition);
        body.put_i32(batch.len() as i32);
        body.put_slice(batch);
    });
    (frame, index_at)
}

/// The error code and base offset of an answer to [`produce`], given without its length.
pub fn produce_answer(mut answer: &[u8]) -> Result<(i16, i64)> {
    skip(&mut answer, 8)?; // correlation id, number of topics
    get_string(&mut answer)?;
    skip(&mut answer, 8)?; // number of partitions, index
    Ok((answer.try_get_i16()?, answer.try_get_i64()?))
}

/// A Fetch v4 request of one partition that waits up to `wait_ms` for the first byte.
pub fn fetch(topic: &str, partition: i32, offset: i64, bytes_max: i32, wait_ms: i32) -> Vec<u8> {
    fetch_at(topic, partition, offset, bytes_max, wait_ms, 0)
}

/// The same at an isolation level: 1 reads committed records only.
pub fn fetch_at(topic: &str, partition: i32, offset: i64, bytes_max: i32, wait_ms: i32, isolation: u8) -> Vec<u8> {
    request(FETCH, 4, |body| {
        body.put_i32(-1); // not a replica
        body.put_i32(wait_ms);
        body.put_i32(1);
        body.put_i32(bytes_max);
        body.put_u8(isolation);
        body.put_i32(1);
        put_string(body, topic.as_bytes());
        body.put_i32(1);
        body.put_i32(partition);
        body.put_i64(offset);
        body.put_i32(bytes_max);
    })
}

pub struct Fetched<'a> {
    pub error: i16,
    pub high_watermark: i64,
    pub records: &'a [u8],
}

/// The answer to [`fetch`], given without its length.
pub fn fetch_answer(mut answer: &[u8]) -> Result<Fetched<'_>> {
    skip(&mut answer, 12)?; // correlation id, throttle time, number of topics
    get_string(&mut answer)?;
    skip(&mut answer, 8)?;
    let error = answer.try_get_i16()?;
    let high_watermark = answer.try_get_i64()?;
    skip(&mut answer, 8)?; // last stable offset
    let aborted = answer.try_get_i32()?.max(0) as usize;
    skip(&mut answer, aborted * 16)?;
    let length = answer.try_get_i32()?.max(0) as usize;
    let records = answer.get(..length).ok_or("a fetch answer is shorter than it says")?;
    Ok(Fetched { error, high_watermark, records })
}

/// A ListOffsets v1 request of partition 0's first offset.
pub fn first_offset(topic: &str) -> Vec<u8> {
    request(LIST_OFFSETS, 1, |body| {
        body.put_i32(-1); // not a replica
        body.put_i32(1);
        put_string(body, topic.as_bytes());
        body.put_i32(1);
        body.put_i32(0);
        body.put_i64(-2); // earliest
    })
}

/// The error and the offset of an answer to [`first_offset`], given without its length.
pub fn first_offset_answer(mut answer: &[u8]) -> Result<(i16, i64)> {
    skip(&mut answer, 8)?; // correlation id, number of topics
    get_string(&mut answer)?;
    skip(&mut answer, 8)?; // number of partitions, index
    let error = answer.try_get_i16()?;
    skip(&mut answer, 8)?; // timestamp
    Ok((error, answer.try_get_i64()?))
}

/// The offset after the last whole batch in `records`, `None` when there is no whole one.
pub fn next_offset(mut records: &[u8]) -> Option<i64> {
    let mut next = None;
    while records.len() >= BATCH_HEADER_BYTES {
        let length = (&records[8..]).get_i32() as usize + BATCH_OVERHEAD_BYTES;
        if length > records.len() {
            break;
        }
        next = Some((&records[..]).get_i64() + i64::from((&records[23..]).get_i32()) + 1);
        records = &records[length..];
    }
    next
}

/// Makes a batch one of a producer's transaction.
pub fn in_transaction(batch: &mut [u8], producer_id: i64, producer_epoch: i16, sequence: i32) {
    batch[21..23].copy_from_slice(&0x10_i16.to_be_bytes());
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// An uncompressed batch of `count` records with values of `bytes` bytes, half of them random.
pub fn batch(count: usize, bytes: usize) -> Vec<u8> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
    let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + count * (bytes + 16));
    batch.put_i64(0);
    batch.put_i32(0); // length, below
    batch.put_i32(-1);
    batch.put_u8(2);
    batch.put_u32(0); // CRC, below
    batch.put_i16(0);
    batch.put_i32(count as i32 - 1);
    batch.put_i64(now_ms);
    batch.put_i64(now_ms);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(count as i32);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for index in 0..count {
        put_record(&mut batch, index as i64, bytes, &mut random);
    }
    let length = (batch.len() - BATCH_OVERHEAD_BYTES) as u32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn put_record(batch: &mut Vec<u8>, index: i64, bytes: usize, random: &mut u64) {
    let mut record = vec![0]; // attributes
    put_varint(&mut record, 0);
    put_varint(&mut record, index);
    put_varint(&mut record, -1);
    put_varint(&mut record, bytes as i64);
    let start = record.len();
    while record.len() < start + bytes {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        record.put_u64(*random);
        record.put_slice(b"ordinary");
    }
    record.truncate(start + bytes);
    put_varint(&mut record, 0);
    put_varint(batch, record.len() as i64);
    batch.put_slice(&record);
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.put_u8(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
}

pub fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.put_i16(text.len() as i16);
    out.put_slice(text);
}

/// A string; a null one is empty.
pub fn get_string<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = bytes.try_get_i16()?.max(0) as usize;
    let (text, rest) = bytes.split_at_checked(length).ok_or("a string runs past the end of its frame")?;
    *bytes = rest;
    Ok(text)
}

pub fn skip(bytes: &mut &[u8], count: usize) -> Result<()> {
    *bytes = bytes.get(count..).ok_or("a frame is shorter than its fields")?;
    Ok(())
}
