//! Checks every batch of a partition directory: what `ottla verify` reports.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::LogError;
use super::files;
use super::scan::scan;
use crate::record::batch;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: PathBuf,
    /// Byte position of the batch in its segment.
    pub position: u64,
    /// Base offset of the batch, as its header says or as its place implies.
    pub offset: i64,
    pub what: &'static str,
}

/// What was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub segments: usize,
    pub batches: u64,
    pub bytes: u64,
    pub damage: Vec<Damage>,
}

/// Reads all segments of one partition directory. Changes nothing, and may run beside a broker: a last batch that is
/// just being written then shows as damage of the last segment.
pub fn verify_dir(dir: &Path) -> Result<Verified, LogError> {
    let mut result = Verified::default();
    let what = || format!("listing {}", dir.display());
    let mut logs: Vec<(i64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io(what()))? {
        let entry = entry.map_err(LogError::io(what()))?;
        if let Some(base) = entry.file_name().to_str().and_then(|n| files::offset_in_name(n, "log")) {
            logs.push((base, entry.path()));
        }
    }
    logs.sort();
    for (i, (base_offset, path)) in logs.iter().enumerate() {
        let end = logs.get(i + 1).map_or(i64::MAX, |(base_of_next, _)| *base_of_next);
        verify_segment(*base_offset, end, path, &mut result)?;
    }
    Ok(result)
}

/// Offsets of a segment go from `base_offset` up to below `end`. That they are in order shows a wrong base offset, which
/// the CRC does not cover; a wrong leader epoch, which it does not cover either, shows in nothing.
fn verify_segment(base_offset: i64, end: i64, path: &Path, result: &mut Verified) -> Result<(), LogError> {
    let what = || format!("reading {}", path.display());
    let file = std::fs::File::open(path).map_err(LogError::io(what()))?;
    let size = file.metadata().map_err(LogError::io(what()))?.len();
    let mut next = base_offset;
    // The batch before: its place, its offset, and where the one before that ended.
    let mut last: Option<(u64, i64, i64)> = None;
    let damaged = |position, offset, what| Damage { segment: path.to_owned(), position, offset, what };
    let too_high = "the offset is above the one after it";
    let mut bytes = Vec::new();
    let mut damage = Vec::new();
    let mut batches = 0;
    let reached = scan(&file, 0, size, |position, header| {
        batches += 1;
        let mut found = |what| damage.push(damaged(position, header.base_offset, what));
        bytes.resize(header.size(), 0);
        match files::read_at(&file, &mut bytes, position) {
            Ok(n) if n == bytes.len() => {
                if !batch::crc_matches(&bytes) {
                    found("the CRC does not match the batch");
                }
            }
            _ => found("the batch cannot be read"),
        }
        match last {
            // In order but for the one before, which leaves a gap: that one is wrong.
            Some((position, offset, before)) if offset > before && (before..next).contains(&header.base_offset) => {
                damage.push(damaged(position, offset, too_high));
                next = before;
            }
            _ if header.base_offset < next => found("the offset is below the one before it"),
            _ => {}
        }
        last = Some((position, header.base_offset, next));
        next = header.next_offset().max(next);
        ControlFlow::Continue(())
    })
    .map_err(LogError::io(what()))?;
    if let Some((position, offset, _)) = last
        && next > end
    {
        damage.push(damaged(position, offset, too_high));
    }
    if reached < size {
        damage.push(damaged(reached, next, "no whole batch begins here"));
    }
    result.segments += 1;
    result.batches += batches;
    result.bytes += size;
    result.damage.append(&mut damage);
    Ok(())
}
