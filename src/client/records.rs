//! Records out of what Fetch has answered.

use std::io;

use bytes::Bytes;

use crate::record::batch::{BatchHeader, crc_matches};
use crate::record::compress;
use crate::record::iter::Records;

/// One record with all that a reader may print.
#[derive(Clone, Debug)]
pub struct ConsumedRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub is_log_append_time: bool,
    pub leader_epoch: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// The records of whole batches from offset `from` on, without control batches and without those that `is_aborted` says are; it
/// is asked of every batch, in order. Beside the records the offset to go on from.
pub fn records_of(
    bytes: &[u8],
    from: i64,
    mut is_aborted: impl FnMut(&BatchHeader) -> bool,
) -> io::Result<(Vec<ConsumedRecord>, i64)> {
    let mut found = Vec::new();
    let mut next = from;
    let mut rest = bytes;
    while let Some(header) = BatchHeader::read(rest) {
        // The last batch of an answer may be cut short.
        let Some(batch) = rest.get(..header.size()) else { break };
        rest = &rest[header.size()..];
        if header.magic != 2 || !crc_matches(batch) {
            return Err(io::Error::other(format!("the batch at offset {} is damaged", header.base_offset)));
        }
        next = next.max(header.next_offset());
        if is_aborted(&header) || header.is_control() {
            continue;
        }
        let opened = compress::open(batch, &header)?;
        for record in Records::new(&opened, header.record_count) {
            let record = record.map_err(|malformed| io::Error::other(malformed.0))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            if offset < from {
                continue;
            }
            let append_time = header.is_log_append_time();
            found.push(ConsumedRecord {
                offset,
                timestamp: if append_time {
                    header.max_timestamp
                } else {
                    header.base_timestamp + record.timestamp_delta
                },
                is_log_append_time: append_time,
                leader_epoch: header.leader_epoch,
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
                headers: record.named_headers()?,
            });
        }
    }
    Ok((found, next))
}
