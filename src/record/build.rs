//! Building batches: for internal topics, markers, and tests.

use bytes::Bytes;

use super::batch::{self, HEADER_BYTES};
use super::compress::{self, Codec};
use super::iter::put_varlong;

/// One record to be written.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since 1970, or -1 for none.
    pub timestamp: i64,
}

/// Header fields that are not derived from the records.
#[derive(Clone, Debug)]
pub struct BatchFields {
    pub codec: Codec,
    pub transactional: bool,
    pub control: bool,
    /// The timestamps are the broker's.
    pub log_append_time: bool,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

impl Default for BatchFields {
    fn default() -> Self {
        BatchFields {
            codec: Codec::None,
            transactional: false,
            control: false,
            log_append_time: false,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
        }
    }
}

/// A whole batch with base offset 0, sealed with its CRC.
pub fn build(fields: &BatchFields, records: &[NewRecord]) -> std::io::Result<Vec<u8>> {
    let base_timestamp = records.first().map_or(-1, |r| r.timestamp);
    let max_timestamp = records.iter().map(|r| r.timestamp).max().unwrap_or(-1);
    let mut body = Vec::new();
    for (delta, record) in records.iter().enumerate() {
        put_record(&mut body, delta as i64, record.timestamp - base_timestamp, record);
    }
    let bit = |on: bool, bit: i16| if on { bit } else { 0 };
    let attributes = fields.codec.bits()
        | bit(fields.log_append_time, 0x08)
        | bit(fields.transactional, 0x10)
        | bit(fields.control, 0x20);
    let mut out = vec![0u8; HEADER_BYTES];
    out[16] = 2;
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[23..27].copy_from_slice(&(records.len() as i32 - 1).to_be_bytes());
    out[27..35].copy_from_slice(&base_timestamp.to_be_bytes());
    out[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    out[43..51].copy_from_slice(&fields.producer_id.to_be_bytes());
    out[51..53].copy_from_slice(&fields.producer_epoch.to_be_bytes());
    out[53..57].copy_from_slice(&fields.base_sequence.to_be_bytes());
    out[57..61].copy_from_slice(&(records.len() as i32).to_be_bytes());
    out.extend_from_slice(&compress::compress(fields.codec, 3, &body)?);
    batch::seal(&mut out);
    Ok(out)
}

fn put_record(out: &mut Vec<u8>, offset_delta: i64, timestamp_delta: i64, record: &NewRecord) {
    let mut body = vec![0u8];
    put_varlong(&mut body, timestamp_delta);
    put_varlong(&mut body, offset_delta);
    put_nullable(&mut body, record.key.as_deref());
    put_nullable(&mut body, record.value.as_deref());
    put_varlong(&mut body, record.headers.len() as i64);
    for (name, value) in &record.headers {
        put_nullable(&mut body, Some(name.as_bytes()));
        put_nullable(&mut body, value.as_deref());
    }
    put_varlong(out, body.len() as i64);
    out.extend_from_slice(&body);
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varlong(out, bytes.map_or(-1, |b| b.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}
