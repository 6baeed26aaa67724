//! Taking records out of a batch and keeping all else as it is: what compaction does to one (Kafka's
//! `MemoryRecords.filterTo`). Offsets stay, and so does the range of offsets of a batch that loses its first or last
//! record.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io;

use super::batch::{self, ATTRIBUTES_AT, HEADER_BYTES, MAX_TIMESTAMP_AT};
use super::compress::{self, Codec};
use super::iter::{Record, Records, put_varlong};
use super::validate::record_timestamp;
use super::{BatchHeader, batch::crc_matches};

/// What is to become of a batch as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether any record may stay; if not, none is looked at.
    pub records: bool,
    /// A batch without records stays, for what its header says of its producer.
    pub empty: bool,
    /// The batch has a marker whose transaction has no data left: it goes at a horizon, like a tombstone.
    pub idle_marker: bool,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Filtered {
    Gone,
    /// Every record stays.
    Unchanged,
    Changed {
        batch: Vec<u8>,
        records: i32,
    },
}

/// Codec levels are Kafka's defaults: the cleaner knows no topic's own.
const ZSTD_LEVEL: i32 = 3;

/// Keeps the records for which `keep(offset, record)`. `horizon_ms` is set on a batch that has tombstones (or an idle
/// marker) and no horizon yet. `bytes` is one whole batch; an error says why it cannot be read.
pub fn filter(
    bytes: &[u8],
    header: &BatchHeader,
    wanted: Wanted,
    horizon_ms: i64,
    mut keep: impl FnMut(i64, &Record<'_>) -> bool,
) -> io::Result<Filtered> {
    if !crc_matches(bytes) {
        return Err(io::Error::other("the CRC does not fit"));
    }
    if !wanted.records || header.record_count <= 0 {
        return Ok(without_records(bytes, header, wanted));
    }
    let body = compress::open(bytes, header)?;
    let mut kept = Vec::new();
    let mut tombstones = false;
    for record in Records::new(&body, header.record_count) {
        let record = record.map_err(|malformed| io::Error::other(malformed.0))?;
        if keep(header.base_offset + i64::from(record.offset_delta), &record) {
            tombstones |= record.value.is_none();
            kept.push(record);
        }
    }
    if kept.is_empty() {
        return Ok(without_records(bytes, header, wanted));
    }
    let sets_horizon = (tombstones || wanted.idle_marker) && header.delete_horizon_ms().is_none();
    if kept.len() == header.record_count as usize && !sets_horizon {
        return Ok(Filtered::Unchanged);
    }
    let horizon = if sets_horizon { Some(horizon_ms) } else { header.delete_horizon_ms() };
    let records = kept.len() as i32;
    Ok(Filtered::Changed { batch: rebuild(bytes, header, &kept, horizon)?, records })
}

/// The records of a batch whose CRC fits, opened.
pub fn open<'a>(bytes: &'a [u8], header: &BatchHeader) -> io::Result<Cow<'a, [u8]>> {
    if !crc_matches(bytes) {
        return Err(io::Error::other("the CRC does not fit"));
    }
    compress::open(bytes, header)
}

fn without_records(bytes: &[u8], header: &BatchHeader, wanted: Wanted) -> Filtered {
    if !wanted.empty {
        return Filtered::Gone;
    }
    if header.record_count == 0 {
        return Filtered::Unchanged;
    }
    let mut head = bytes[..HEADER_BYTES].to_vec();
    // Of the attributes what says of whom it is; nothing of how the records were packed.
    let attributes = header.attributes & !0x47;
    head[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    head[27..35].copy_from_slice(&(-1i64).to_be_bytes());
    head[57..61].copy_from_slice(&0i32.to_be_bytes());
    batch::seal(&mut head);
    Filtered::Changed { batch: head, records: 0 }
}

fn rebuild(bytes: &[u8], header: &BatchHeader, kept: &[Record<'_>], horizon: Option<i64>) -> io::Result<Vec<u8>> {
    let time_of = |record: &Record<'_>| record_timestamp(header, record);
    let base = horizon.unwrap_or_else(|| time_of(&kept[0]));
    let mut body = Vec::new();
    let mut one = Vec::new();
    for record in kept {
        one.clear();
        one.push(0);
        put_varlong(&mut one, time_of(record) - base);
        put_varlong(&mut one, i64::from(record.offset_delta));
        for field in [record.key, record.value] {
            put_varlong(&mut one, field.map_or(-1, |bytes| bytes.len() as i64));
            one.extend_from_slice(field.unwrap_or_default());
        }
        one.extend_from_slice(record.headers);
        put_varlong(&mut body, one.len() as i64);
        body.extend_from_slice(&one);
    }
    let codec = Codec::from_bits(header.codec_bits()).unwrap_or(Codec::None);
    let level = if codec == Codec::Zstd { ZSTD_LEVEL } else { -1 };
    let mut out = bytes[..HEADER_BYTES].to_vec();
    out.extend_from_slice(&compress::compress(codec, level, &body)?);
    out[27..35].copy_from_slice(&base.to_be_bytes());
    if !header.is_log_append_time() {
        let max = kept.iter().map(time_of).max().unwrap_or(-1);
        out[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max.to_be_bytes());
    }
    out[57..61].copy_from_slice(&(kept.len() as i32).to_be_bytes());
    if horizon.is_some() {
        batch::set_delete_horizon(&mut out);
    }
    batch::seal(&mut out);
    Ok(out)
}
