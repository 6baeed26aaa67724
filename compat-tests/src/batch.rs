//! RecordBatch v2 by hand: every field can be set, right or wrong, and every fetched batch is checked.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::Codec;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Base offset and length: not counted in the length itself.
pub const OVERHEAD_BYTES: usize = 12;
const CRC_FROM: usize = 21;

pub const LOG_APPEND_TIME: i16 = 1 << 3;
pub const TRANSACTIONAL: i16 = 1 << 4;
pub const CONTROL: i16 = 1 << 5;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Set by `read_batches`; ignored when building.
    pub offset: i64,
}

/// A batch to build. What is not set follows from the records.
#[derive(Clone, Debug)]
pub struct Batch {
    pub records: Vec<Record>,
    pub codec: Codec,
    pub base_offset: i64,
    pub magic: i8,
    /// Beside the codec's bits.
    pub attributes: i16,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub last_offset_delta: Option<i32>,
    pub record_count: Option<i32>,
    pub max_timestamp: Option<i64>,
    /// Bytes in place of the (compressed) records.
    pub body: Option<Vec<u8>>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            records: Vec::new(),
            codec: Codec::None,
            base_offset: 0,
            magic: 2,
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_offset_delta: None,
            record_count: None,
            max_timestamp: None,
            body: None,
        }
    }
}

impl Batch {
    /// One record for each value, without keys, all of the present millisecond.
    pub fn of_values<V: Into<Bytes>>(values: impl IntoIterator<Item = V>) -> Batch {
        let timestamp = crate::now_ms();
        let record = |value: V| Record { value: Some(value.into()), timestamp, ..Record::default() };
        Batch { records: values.into_iter().map(record).collect(), ..Batch::default() }
    }

    pub fn keyed(mut self, key: impl Into<Bytes>) -> Batch {
        let key = key.into();
        for record in &mut self.records {
            record.key = Some(key.clone());
        }
        self
    }

    pub fn at(mut self, timestamp: i64) -> Batch {
        for record in &mut self.records {
            record.timestamp = timestamp;
        }
        self
    }

    pub fn with_codec(mut self, codec: Codec) -> Batch {
        self.codec = codec;
        self
    }

    pub fn from_producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Batch {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    pub fn build(&self) -> Bytes {
        let base_timestamp = self.records.first().map_or(-1, |record| record.timestamp);
        let max_timestamp = self.records.iter().map(|record| record.timestamp).max().unwrap_or(-1);
        let count = self.records.len() as i32;
        let mut batch = BytesMut::new();
        batch.put_i64(self.base_offset);
        batch.put_i32(0);
        batch.put_i32(-1);
        batch.put_i8(self.magic);
        batch.put_u32(0);
        batch.put_i16(self.attributes | self.codec as i16);
        batch.put_i32(self.last_offset_delta.unwrap_or(count - 1));
        batch.put_i64(base_timestamp);
        batch.put_i64(self.max_timestamp.unwrap_or(max_timestamp));
        batch.put_i64(self.producer_id);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(self.base_sequence);
        batch.put_i32(self.record_count.unwrap_or(count));
        match &self.body {
            Some(body) => batch.put_slice(body),
            None => batch.put_slice(&self.codec.compress(&encode_records(&self.records, base_timestamp))),
        }
        seal(&mut batch);
        batch.freeze()
    }
}

/// Writes the true length and checksum of a batch whose bytes were changed.
pub fn seal(batch: &mut [u8]) {
    let length = (batch.len() - OVERHEAD_BYTES) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

pub fn encode_records(records: &[Record], base_timestamp: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (delta, record) in records.iter().enumerate() {
        let mut body = vec![0];
        put_varint(&mut body, record.timestamp - base_timestamp);
        put_varint(&mut body, delta as i64);
        put_bytes(&mut body, record.key.as_deref());
        put_bytes(&mut body, record.value.as_deref());
        put_varint(&mut body, record.headers.len() as i64);
        for (key, value) in &record.headers {
            put_bytes(&mut body, Some(key.as_bytes()));
            put_bytes(&mut body, value.as_deref());
        }
        put_varint(&mut out, body.len() as i64);
        out.extend(body);
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// Zig-zag varint, of 32 and of 64 bits alike.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A batch as fetched, its checksum verified.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub attributes: i16,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records: Vec<Record>,
    /// All bytes, as they came.
    pub raw: Bytes,
}

/// Every whole batch in what a Fetch returned; a cut one at the end is left out, as every client does.
pub fn read_batches(mut bytes: Bytes) -> Result<Vec<ReadBatch>, String> {
    let mut batches = Vec::new();
    while bytes.len() >= HEADER_BYTES {
        let length = i32::from_be_bytes(bytes[8..12].try_into().expect("four bytes"));
        let total = usize::try_from(length).map_err(|_| format!("batch length {length}"))? + OVERHEAD_BYTES;
        if total < HEADER_BYTES {
            return Err(format!("batch length {length}"));
        }
        if total > bytes.len() {
            break;
        }
        batches.push(read_batch(bytes.split_to(total))?);
    }
    Ok(batches)
}

fn read_batch(raw: Bytes) -> Result<ReadBatch, String> {
    let base_offset = i64_at(&raw, 0);
    if raw[16] != 2 {
        return Err(format!("magic {} at offset {base_offset}", raw[16]));
    }
    let (stored, actual) = (i32_at(&raw, 17) as u32, crc32c::crc32c(&raw[CRC_FROM..]));
    if stored != actual {
        return Err(format!("checksum {stored:08x}, computed {actual:08x}, at offset {base_offset}"));
    }
    let attributes = i16_at(&raw, 21);
    let (base_timestamp, max_timestamp) = (i64_at(&raw, 27), i64_at(&raw, 35));
    let body = Codec::from_attributes(attributes).decompress(&raw[HEADER_BYTES..])?;
    let mut reader = Reader { rest: Bytes::from(body) };
    let records = (0..i32_at(&raw, 57))
        .map(|_| {
            let mut record = reader.record(base_offset, base_timestamp)?;
            if attributes & LOG_APPEND_TIME != 0 {
                record.timestamp = max_timestamp;
            }
            Ok(record)
        })
        .collect::<Result<Vec<_>, String>>()?;
    if !reader.rest.is_empty() {
        return Err(format!("{} bytes after the last record at offset {base_offset}", reader.rest.len()));
    }
    Ok(ReadBatch {
        base_offset,
        last_offset: base_offset + i64::from(i32_at(&raw, 23)),
        attributes,
        max_timestamp,
        producer_id: i64_at(&raw, 43),
        producer_epoch: i16_at(&raw, 51),
        base_sequence: i32_at(&raw, 53),
        records,
        raw,
    })
}

struct Reader {
    rest: Bytes,
}

impl Reader {
    fn record(&mut self, base_offset: i64, base_timestamp: i64) -> Result<Record, String> {
        let length = self.varint()?;
        let mut body = Reader { rest: self.take(length)? };
        body.take(1)?;
        let timestamp = base_timestamp + body.varint()?;
        let offset = base_offset + body.varint()?;
        let (key, value) = (body.nullable()?, body.nullable()?);
        let headers = (0..body.varint()?)
            .map(|_| {
                let key = body.nullable()?.ok_or("null header key")?;
                Ok((String::from_utf8_lossy(&key).into_owned(), body.nullable()?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Record { key, value, headers, timestamp, offset })
    }

    fn nullable(&mut self) -> Result<Option<Bytes>, String> {
        match self.varint()? {
            -1 => Ok(None),
            length => self.take(length).map(Some),
        }
    }

    fn take(&mut self, length: i64) -> Result<Bytes, String> {
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(self.rest.split_to(length)),
            _ => Err(format!("{length} bytes wanted, {} there", self.rest.len())),
        }
    }

    fn varint(&mut self) -> Result<i64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("a varint of more than ten bytes".to_owned())
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_built() {
        let mut batch = Batch::of_values(["one", "two"]).keyed("k").with_codec(Codec::Lz4).from_producer(7, 1, 3);
        batch.records[1].headers.push(("h".to_owned(), None));
        batch.records[1].timestamp += 40;
        let read = &read_batches(batch.build()).expect("is whole")[0];
        assert_eq!((read.last_offset, read.producer_id, read.producer_epoch, read.base_sequence), (1, 7, 1, 3));
        assert_eq!(read.records[1].timestamp, batch.records[1].timestamp);
        assert_eq!(read.records[1].headers, batch.records[1].headers);
        assert_eq!(read.records[0].value.as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut bytes = Batch::of_values(["value"]).build().to_vec();
        *bytes.last_mut().expect("not empty") ^= 1;
        assert!(read_batches(Bytes::from(bytes)).is_err());
    }
}
