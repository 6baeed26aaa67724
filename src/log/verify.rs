//! Checks every batch of a partition directory: what `ottla verify` reports.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::LogError;
use super::files;
use super::segment::scan;
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
    for (base_offset, path) in logs {
        verify_segment(base_offset, &path, &mut result)?;
    }
    Ok(result)
}

fn verify_segment(base_offset: i64, path: &Path, result: &mut Verified) -> Result<(), LogError> {
    let what = || format!("reading {}", path.display());
    let file = std::fs::File::open(path).map_err(LogError::io(what()))?;
    let size = file.metadata().map_err(LogError::io(what()))?.len();
    let mut next = base_offset;
    let mut bytes = Vec::new();
    let mut damage = Vec::new();
    let mut batches = 0;
    let reached = scan(&file, 0, size, |position, header| {
        batches += 1;
        let mut found = |what| {
            damage.push(Damage { segment: path.to_owned(), position, offset: header.base_offset, what });
        };
        bytes.resize(header.size(), 0);
        match files::read_at(&file, &mut bytes, position) {
            Ok(n) if n == bytes.len() => {
                if !batch::crc_matches(&bytes) {
                    found("the CRC does not match the batch");
                }
            }
            _ => found("the batch cannot be read"),
        }
        if header.base_offset < next {
            found("the offset is below the one before it");
        }
        next = header.next_offset().max(next);
        ControlFlow::Continue(())
    })
    .map_err(LogError::io(what()))?;
    if reached < size {
        damage.push(Damage {
            segment: path.to_owned(),
            position: reached,
            offset: next,
            what: "no whole batch begins here",
        });
    }
    result.segments += 1;
    result.batches += batches;
    result.bytes += size;
    result.damage.append(&mut damage);
    Ok(())
}
