//! The answers of the floor, each in the one version that it serves.

use std::io;

use bytes::{Buf, BufMut};

use super::SERVED;
use super::log::{Log, Region};
use crate::Result;
use crate::wire::{get_string, put_string, skip};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const CORRUPT_MESSAGE: i16 = 2;
const UNSUPPORTED_VERSION: i16 = 35;

/// Produce v3. `body` is the request from its transactional id on; batches get their offsets in place.
pub fn produce(log: &mut Log, body: &mut [u8], out: &mut Vec<u8>) -> Result<()> {
    let size = body.len();
    let mut rest: &[u8] = body;
    get_string(&mut rest)?;
    skip(&mut rest, 6)?; // acks (never 0 here), timeout
    let topics = rest.try_get_i32()?;
    out.put_i32(topics);
    let mut at = size - rest.len();
    for _ in 0..topics {
        let mut rest = &body[at..];
        let name = get_string(&mut rest)?.to_vec();
        let partitions = rest.try_get_i32()?;
        at = size - rest.len();
        put_string(out, &name);
        out.put_i32(partitions);
        for _ in 0..partitions {
            let mut rest = &body[at..];
            let index = rest.try_get_i32()?;
            let length = rest.try_get_i32()?.max(0) as usize;
            at = size - rest.len() + length;
            let (error, base) = match log.append(&name, index as usize, &mut body[at - length..at]) {
                Ok(base) => (0, base),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => (CORRUPT_MESSAGE, -1),
                Err(error) => return Err(error.into()),
            };
            out.put_i32(index);
            out.put_i16(error);
            out.put_i64(base);
            out.put_i64(-1); // log append time
        }
    }
    out.put_i32(0); // throttle time
    Ok(())
}

pub struct Fetch {
    pub topic: Vec<u8>,
    pub partition: usize,
    pub offset: i64,
    pub bytes_max: u64,
    pub wait_ms: u64,
}

/// Fetch v4 of one partition, from its replica id on.
pub fn parse_fetch(mut body: &[u8]) -> Result<Fetch> {
    skip(&mut body, 4)?;
    let wait_ms = body.try_get_i32()?.max(0) as u64;
    skip(&mut body, 4 + 4 + 1 + 4)?; // least and most bytes, isolation level, number of topics
    let topic = get_string(&mut body)?.to_vec();
    skip(&mut body, 4)?;
    let partition = body.try_get_i32()? as usize;
    let offset = body.try_get_i64()?;
    Ok(Fetch { topic, partition, offset, bytes_max: body.try_get_i32()? as u64, wait_ms })
}

/// Everything of a Fetch answer but its records, which the caller sends from the file.
pub fn fetch(log: &mut Log, fetch: &Fetch, region: Option<&Region>, out: &mut Vec<u8>) {
    let end = log.topic(&fetch.topic).get(fetch.partition).map(|partition| partition.end_offset);
    out.put_i32(0); // throttle time
    out.put_i32(1);
    put_string(out, &fetch.topic);
    out.put_i32(1);
    out.put_i32(fetch.partition as i32);
    out.put_i16(if end.is_some() { 0 } else { UNKNOWN_TOPIC_OR_PARTITION });
    out.put_i64(end.unwrap_or(-1));
    out.put_i64(end.unwrap_or(-1));
    out.put_i32(0); // aborted transactions
    out.put_i32(region.map_or(0, |region| region.left as i32));
}

/// ListOffsets v1: the end, or 0 for the earliest.
pub fn list_offsets(log: &mut Log, mut body: &[u8], out: &mut Vec<u8>) -> Result<()> {
    skip(&mut body, 4)?;
    let topics = body.try_get_i32()?;
    out.put_i32(topics);
    for _ in 0..topics {
        let name = get_string(&mut body)?;
        let partitions = body.try_get_i32()?;
        put_string(out, name);
        out.put_i32(partitions);
        for _ in 0..partitions {
            let index = body.try_get_i32()?;
            let earliest = body.try_get_i64()? == -2;
            let end = log.topic(name).get(index as usize).map_or(0, |partition| partition.end_offset);
            out.put_i32(index);
            out.put_i16(0);
            out.put_i64(-1);
            out.put_i64(if earliest { 0 } else { end });
        }
    }
    Ok(())
}

/// Metadata v1: this server leads everything.
pub fn metadata(log: &mut Log, mut body: &[u8], port: u16, out: &mut Vec<u8>) -> Result<()> {
    let count = body.try_get_i32()?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(get_string(&mut body)?.to_vec());
    }
    if count < 0 {
        names.extend(log.topics().map(<[u8]>::to_vec));
    }
    out.put_i32(1);
    out.put_i32(0);
    put_string(out, b"127.0.0.1");
    out.put_i32(i32::from(port));
    out.put_i16(-1); // rack
    out.put_i32(0); // controller
    out.put_i32(names.len() as i32);
    for name in names {
        out.put_i16(0);
        put_string(out, &name);
        out.put_u8(0);
        let partitions = log.topic(&name).len() as i32;
        out.put_i32(partitions);
        for index in 0..partitions {
            out.put_i16(0);
            out.put_i32(index);
            out.put_i32(0);
            for _replicas_then_isr in 0..2 {
                out.put_i32(1);
                out.put_i32(0);
            }
        }
    }
    Ok(())
}

/// ApiVersions v0; a newer question gets the same with error 35, and the client asks again.
pub fn api_versions(version: i16, out: &mut Vec<u8>) {
    out.put_i16(if version == 0 { 0 } else { UNSUPPORTED_VERSION });
    out.put_i32(SERVED.len() as i32);
    for (key, version) in SERVED {
        out.put_i16(key);
        out.put_i16(version);
        out.put_i16(version);
    }
}
