//! Walking the batches of a file: headers alone, or all of their bytes.

use std::fs::File;
use std::ops::ControlFlow;

use super::files;
use crate::record::{BatchHeader, HEADER_BYTES};

/// Bytes read at once when headers are walked.
const SCAN_BYTES: usize = 8 << 10;
/// Bytes read at once when whole batches are walked.
const READ_BYTES: usize = 256 << 10;

/// Walks headers in `from..to` until `step` breaks or no whole plausible batch follows; answers the position reached.
pub fn scan(
    file: &File,
    from: u64,
    to: u64,
    mut step: impl FnMut(u64, &BatchHeader) -> ControlFlow<()>,
) -> std::io::Result<u64> {
    let mut buffer = [0u8; SCAN_BYTES];
    let (mut buffer_start, mut buffered) = (from, 0usize);
    let mut position = from;
    while position + HEADER_BYTES as u64 <= to {
        let mut at = (position - buffer_start) as usize;
        if at + HEADER_BYTES > buffered {
            buffer_start = position;
            buffered = files::read_at(file, &mut buffer, position)?;
            at = 0;
        }
        let Some(header) = buffer.get(at..buffered).and_then(BatchHeader::read) else { break };
        let next = position + header.size() as u64;
        if !header.is_plausible() || next > to {
            break;
        }
        if step(position, &header).is_break() {
            break;
        }
        position = next;
    }
    Ok(position)
}

/// Walks whole batches from the start to `to`, until `step` breaks or no whole plausible batch follows; answers the
/// position reached.
pub fn read_batches(
    file: &File,
    to: u64,
    mut step: impl FnMut(u64, &BatchHeader, &[u8]) -> std::io::Result<ControlFlow<()>>,
) -> std::io::Result<u64> {
    let mut buffer = Vec::new();
    let (mut start, mut position) = (0u64, 0u64);
    loop {
        let at = (position - start) as usize;
        let header = buffer.get(at..).and_then(BatchHeader::read);
        let size = header.map_or(HEADER_BYTES, |header| header.size());
        if header.is_some_and(|header| !header.is_plausible()) || position + size as u64 > to {
            return Ok(position);
        }
        let (Some(header), Some(bytes)) = (header, buffer.get(at..at + size)) else {
            buffer.resize(size.max(READ_BYTES).min((to - position) as usize), 0);
            let read = files::read_at(file, &mut buffer, position)?;
            buffer.truncate(read);
            start = position;
            if read < size {
                return Ok(position);
            }
            continue;
        };
        if step(position, &header, bytes)?.is_break() {
            return Ok(position);
        }
        position += size as u64;
    }
}
