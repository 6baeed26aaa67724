//! The 61-byte header of a batch: offsets of its fields, a parsed view, and the patches a broker may make.

/// Bytes of the header; records follow.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the part that `batchLength` counts.
pub const LENGTH_OVERHEAD: usize = 12;

pub const MAGIC_AT: usize = 16;
pub const CRC_AT: usize = 17;
pub const ATTRIBUTES_AT: usize = 21;
pub const MAX_TIMESTAMP_AT: usize = 35;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// The header of one batch, read without looking at its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after the length field; see [`BatchHeader::size`].
    pub batch_length: i32,
    pub leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; `None` if there are fewer than [`HEADER_BYTES`]. Checks nothing.
    pub fn read(bytes: &[u8]) -> Option<BatchHeader> {
        let b: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        Some(BatchHeader {
            base_offset: i64_at(b, 0),
            batch_length: i32_at(b, 8),
            leader_epoch: i32_at(b, 12),
            magic: b[MAGIC_AT] as i8,
            crc: i32_at(b, CRC_AT) as u32,
            attributes: i16_at(b, ATTRIBUTES_AT),
            last_offset_delta: i32_at(b, 23),
            base_timestamp: i64_at(b, 27),
            max_timestamp: i64_at(b, MAX_TIMESTAMP_AT),
            producer_id: i64_at(b, 43),
            producer_epoch: i16_at(b, 51),
            base_sequence: i32_at(b, 53),
            record_count: i32_at(b, 57),
        })
    }

    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        LENGTH_OVERHEAD + self.batch_length.max(0) as usize
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// The codec bits as they stand: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd, others unknown.
    pub fn codec_bits(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// From when on, in milliseconds since 1970, the tombstones and the marker in the batch may go: set by the cleaner that
    /// first saw them (KIP-534). The base timestamp is the horizon then.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record; sequences wrap from 2147483647 to 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        sequence_plus(self.base_sequence, self.last_offset_delta)
    }

    /// Whether the header can stand at this place of a log: enough for a scan to go on, says nothing of the CRC.
    pub fn is_plausible(&self) -> bool {
        self.magic == 2
            && self.batch_length >= (HEADER_BYTES - LENGTH_OVERHEAD) as i32
            && self.base_offset >= 0
            && self.last_offset_delta >= 0
    }
}

/// `sequence + delta` in the ring of sequence numbers (0..=2147483647).
pub fn sequence_plus(sequence: i32, delta: i32) -> i32 {
    (i64::from(sequence) + i64::from(delta)).rem_euclid(1 << 31) as i32
}

/// Whether the CRC-32C over attributes and records is the one in the header. `batch` is one whole batch.
pub fn crc_matches(batch: &[u8]) -> bool {
    batch.len() >= HEADER_BYTES && crc32c::crc32c(&batch[ATTRIBUTES_AT..]) == i32_at(batch, CRC_AT) as u32
}

/// Sets base offset and leader epoch: the two fields outside the CRC, the only ones an ordinary append changes.
pub fn assign(header: &mut [u8; HEADER_BYTES], base_offset: i64, leader_epoch: i32) {
    header[0..8].copy_from_slice(&base_offset.to_be_bytes());
    header[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

pub(super) fn set_log_append_time(batch: &mut [u8], on: bool) {
    let old = i16_at(batch, ATTRIBUTES_AT);
    let new = if on { old | LOG_APPEND_TIME } else { old & !LOG_APPEND_TIME };
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&new.to_be_bytes());
}

pub(super) fn set_delete_horizon(batch: &mut [u8]) {
    let new = i16_at(batch, ATTRIBUTES_AT) | DELETE_HORIZON;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&new.to_be_bytes());
}

pub(super) fn set_codec(batch: &mut [u8], bits: i16) {
    let new = i16_at(batch, ATTRIBUTES_AT) & !CODEC_MASK | bits;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&new.to_be_bytes());
}

pub(super) fn set_max_timestamp(batch: &mut [u8], timestamp: i64) {
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp.to_be_bytes());
}

/// Writes length and CRC of a batch whose other fields are final.
pub(super) fn seal(batch: &mut [u8]) {
    let length = (batch.len() - LENGTH_OVERHEAD) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

pub(super) fn i16_at(b: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([b[at], b[at + 1]])
}

pub(super) fn i32_at(b: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn i64_at(b: &[u8], at: usize) -> i64 {
    i64::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5], b[at + 6], b[at + 7]])
}
