//! Record batches (format v2) as scenarios send them, well formed or not.
//!
//! Whatever a scenario does not set is what a correct producer would send, so that a malformed batch is wrong in exactly one way.

pub mod codec;
pub mod read;

use bytes::{BufMut, Bytes, BytesMut};

pub use codec::Codec;

/// One record to send.
#[derive(Clone, Debug)]
pub struct Record {
    /// Milliseconds after the batch's base timestamp.
    pub after_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(&'static str, Option<Bytes>)>,
    /// The offset delta, where it is not the record's index.
    pub offset_delta: Option<i32>,
}

/// A record without key whose value is the text.
pub fn value(text: &str) -> Record {
    Record {
        after_ms: 0,
        key: None,
        value: Some(Bytes::copy_from_slice(text.as_bytes())),
        headers: Vec::new(),
        offset_delta: None,
    }
}

/// A record with key and value.
pub fn keyed(key: &str, text: &str) -> Record {
    Record { key: Some(Bytes::copy_from_slice(key.as_bytes())), ..value(text) }
}

/// A record without key of that many bytes of value.
pub fn sized(value_bytes: usize) -> Record {
    Record { value: Some(Bytes::from(vec![b'x'; value_bytes])), ..value("") }
}

impl Record {
    pub fn after(mut self, ms: i64) -> Record {
        self.after_ms = ms;
        self
    }

    pub fn header(mut self, name: &'static str, text: &'static str) -> Record {
        self.headers.push((name, Some(Bytes::from_static(text.as_bytes()))));
        self
    }

    fn encode(&self, index: usize) -> Vec<u8> {
        let mut body = vec![0u8];
        varint(&mut body, self.after_ms);
        varint(&mut body, self.offset_delta.map_or(index as i64, i64::from));
        optional(&mut body, self.key.as_deref());
        optional(&mut body, self.value.as_deref());
        varint(&mut body, self.headers.len() as i64);
        for (name, value) in &self.headers {
            optional(&mut body, Some(name.as_bytes()));
            optional(&mut body, value.as_deref());
        }
        let mut out = Vec::new();
        varint(&mut out, body.len() as i64);
        out.extend_from_slice(&body);
        out
    }
}

/// A batch to send. `None` means: what the records imply.
#[derive(Clone, Debug)]
pub struct Batch {
    pub base_offset: i64,
    pub length: Option<i32>,
    pub leader_epoch: i32,
    pub magic: i8,
    pub crc: Option<u32>,
    pub codec: Codec,
    /// Bits beside the codec: 8 LogAppendTime, 16 transactional, 32 control.
    pub attributes: i16,
    pub last_offset_delta: Option<i32>,
    pub base_timestamp: i64,
    pub max_timestamp: Option<i64>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: Option<i32>,
    pub records: Vec<Record>,
    /// Used instead of the encoded records.
    pub payload: Option<Bytes>,
    /// Appended to the encoded records, inside the batch, before compression.
    pub payload_tail: Bytes,
}

/// A batch whose first record has that timestamp.
pub fn batch(base_timestamp: i64, records: Vec<Record>) -> Batch {
    Batch {
        base_offset: 0,
        length: None,
        leader_epoch: -1,
        magic: 2,
        crc: None,
        codec: Codec::None,
        attributes: 0,
        last_offset_delta: None,
        base_timestamp,
        max_timestamp: None,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: None,
        records,
        payload: None,
        payload_tail: Bytes::new(),
    }
}

impl Batch {
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Batch {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    pub fn codec(mut self, codec: Codec) -> Batch {
        self.codec = codec;
        self
    }

    pub fn attributes(mut self, bits: i16) -> Batch {
        self.attributes = bits;
        self
    }

    /// Any other change, written where it is made.
    pub fn with(mut self, change: impl FnOnce(&mut Batch)) -> Batch {
        change(&mut self);
        self
    }

    pub fn bytes(&self) -> Bytes {
        let mut plain: Vec<u8> = self.records.iter().enumerate().flat_map(|(i, record)| record.encode(i)).collect();
        plain.extend_from_slice(&self.payload_tail);
        let payload = self.payload.clone().unwrap_or_else(|| codec::compress(self.codec, &plain));
        let count = self.count.unwrap_or(self.records.len() as i32);
        let latest = self.records.iter().map(|record| record.after_ms).max().unwrap_or(0);

        let mut signed = BytesMut::new();
        signed.put_i16(self.attributes | self.codec as i16);
        signed.put_i32(self.last_offset_delta.unwrap_or(self.records.len() as i32 - 1));
        signed.put_i64(self.base_timestamp);
        signed.put_i64(self.max_timestamp.unwrap_or(self.base_timestamp + latest));
        signed.put_i64(self.producer_id);
        signed.put_i16(self.producer_epoch);
        signed.put_i32(self.base_sequence);
        signed.put_i32(count);
        signed.put_slice(&payload);

        let mut out = BytesMut::new();
        out.put_i64(self.base_offset);
        out.put_i32(self.length.unwrap_or(signed.len() as i32 + 9));
        out.put_i32(self.leader_epoch);
        out.put_i8(self.magic);
        out.put_u32(self.crc.unwrap_or_else(|| crc32c::crc32c(&signed)));
        out.put_slice(&signed);
        out.freeze()
    }
}

fn optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint(out, -1),
        Some(bytes) => {
            varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

/// A zigzag varint, as records use for every number.
pub fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
