//! Opening a log: what is in the directory, how much of it is whole, and the state that follows from it (Kafka's
//! `LogLoader`). Runs again after a crash in its middle with the same result.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use super::append::Active;
use super::epochs::LeaderEpochs;
use super::files::{self, FileCache};
use super::producers::Producers;
use super::scan::scan;
use super::segment::Segment;
use super::swap;
use super::{Log, LogConfig, LogEnv, LogError};
use crate::record::{BatchHeader, batch};

/// What is known of how the log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Closed in order: its files are whole.
    Clean,
    /// The process died, the machine went on: all that was written is in the page cache, only the last batch may be torn.
    ProcessDied,
    /// The machine went down as well: anything past the recovery point may be missing.
    MachineDied,
}

/// What opening found and mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Bytes cut off the end because they were no whole batch with its CRC.
    pub truncated_bytes: u64,
    /// Segments dropped since an earlier one ended before its end.
    pub dropped_segments: usize,
}

impl Log {
    /// Opens the log in `dir`, which exists (see [`super::create_dir`]). `log_start` and `recovery_point` are what the
    /// caller has on record; both may be behind or beyond what the files say. `remote` is what lies in a remote store: it
    /// reaches to the first segment here, or beyond.
    pub fn open(
        dir: &Path,
        env: LogEnv,
        config: LogConfig,
        mode: OpenMode,
        log_start: i64,
        recovery_point: i64,
        remote: Option<Range<i64>>,
    ) -> Result<(Log, RecoveryReport), LogError> {
        let mut report = RecoveryReport::default();
        let (mut segments, any_aborted) =
            list_segments(dir, &env.files, remote.as_ref().map_or(0, |remote| remote.end))?;
        if segments.is_empty() && recovery_point > log_start {
            let why = format!("{}: its segments are gone, though offset {recovery_point} was synced", dir.display());
            return Err(LogError::Corrupt(why));
        }
        if segments.is_empty() {
            segments.push(Segment::create(dir, log_start.max(0))?);
        }
        if mode == OpenMode::MachineDied {
            drop_after_gap(&mut segments, &env, recovery_point, &mut report)?;
        }
        let last = segments.last().expect("at least one segment");
        let whole = if mode == OpenMode::Clean { end_by_index(last, &env)? } else { None };
        let end = match whole {
            Some(end) => {
                // What is appended from now on is compared with it.
                last.max_timestamp(&env.files)?;
                end
            }
            None => recover_segment(last, &env, &config, &mut report)?,
        };
        let first_timestamp = last.first_batch(&env.files)?.map(|h| h.max_timestamp);
        let segments: Vec<Arc<Segment>> = segments.into_iter().map(Arc::new).collect();
        // Indexes of aborted transactions are synced with their segments, and written behind their markers.
        let doubtful = match mode {
            // A log that was closed in order has a snapshot at its end.
            OpenMode::Clean if whole.is_some() && files::offset_file(dir, end, "snapshot").exists() => segments.len(),
            OpenMode::Clean | OpenMode::ProcessDied => segments.len() - 1,
            OpenMode::MachineDied => segments.partition_point(|s| s.base_offset() <= recovery_point).saturating_sub(1),
        };
        let (producers, found_aborted) = load_producers(dir, &segments, doubtful, &env, end)?;
        let mut epochs = LeaderEpochs::load(dir);
        if epochs.is_empty() {
            find_epochs(&mut epochs, &segments, &env)?;
        }
        let segment = segments.last().expect("at least one segment").clone();
        let file = segment.hold_open()?;
        let created_ms = env.clock.wall_ms();
        let first = segments[0].base_offset();
        // What is remote and does not reach to what is here cannot be read in one go: it does not count.
        let lowest = remote.filter(|remote| remote.end >= first).map_or(first, |remote| remote.start.min(first));
        let mut log = Log {
            dir: dir.to_owned(),
            active: Active::new(segment, file, first_timestamp, created_ms),
            log_start: log_start.clamp(lowest, end.max(first)),
            end,
            recovery_point: if mode == OpenMode::Clean { end } else { recovery_point.min(end) },
            segments: Arc::new(segments),
            env,
            config,
            producers,
            epochs,
            any_aborted: any_aborted || found_aborted,
        };
        if log_start > log.end {
            // Its last records are gone, and no offset below the start may be given again.
            log.begin_anew(log_start)?;
            log.log_start = log_start;
        }
        log.expire_producers();
        log.drop_what_is_below_start();
        Ok((log, report))
    }
}

/// The segments of a directory, oldest first, and whether any has a list of aborted transactions. Files of an unfinished
/// deletion are removed, and an unfinished swap of the cleaner's is finished.
fn list_segments(dir: &Path, cache: &FileCache, remote_end: i64) -> Result<(Vec<Segment>, bool), LogError> {
    let what = || format!("listing {}", dir.display());
    swap::complete_all(dir, &files::names(dir)?, cache)?;
    let mut segments = Vec::new();
    let mut with_aborted = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io(what()))? {
        let entry = entry.map_err(LogError::io(what()))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".deleted") || name.ends_with(".tmp") {
            let _ = std::fs::remove_file(entry.path());
        } else if let Some(base_offset) = files::offset_in_name(name, "log") {
            let size = entry.metadata().map_err(LogError::io(what()))?.len();
            segments.push(Segment::existing(dir, base_offset, size));
        } else if let Some(base_offset) = files::offset_in_name(name, "txnindex") {
            with_aborted.push(base_offset);
        }
    }
    segments.sort_by_key(Segment::base_offset);
    for segment in segments.iter().filter(|s| !with_aborted.contains(&s.base_offset())) {
        segment.forget_aborted(false);
    }
    let any_aborted = !with_aborted.is_empty();
    // Of segments in a remote store the lists stay here.
    with_aborted.retain(|base_offset| *base_offset >= remote_end);
    with_aborted.retain(|base_offset| segments.binary_search_by_key(base_offset, Segment::base_offset).is_err());
    for orphan in with_aborted {
        let _ = std::fs::remove_file(files::offset_file(dir, orphan, "txnindex"));
    }
    Ok((segments, any_aborted))
}

/// The end of a segment that was closed in order: the batches after the last index entry lead exactly to its end.
/// `None` if they do not.
fn end_by_index(segment: &Segment, env: &LogEnv) -> Result<Option<i64>, LogError> {
    let size = segment.size();
    if size == 0 {
        return Ok(Some(segment.base_offset()));
    }
    let start = segment.floor_position(&env.files, i64::MAX)?;
    let mut end = None;
    let reached = segment.walk(&env.files, start, |_, header| {
        end = Some(header.next_offset());
        ControlFlow::Continue(())
    })?;
    Ok(end.filter(|_| reached == size))
}

/// Keeps the valid prefix of the last segment: batches in offset order whose CRC fits. Builds its indexes anew.
fn recover_segment(
    segment: &Segment,
    env: &LogEnv,
    config: &LogConfig,
    report: &mut RecoveryReport,
) -> Result<i64, LogError> {
    let mut indexes = segment.new_indexes();
    let (valid, end) = walk_whole(segment, env, |position, header| {
        indexes.enter(header, position, header.size() as u64, config.index_interval_bytes);
    })?;
    let cut = segment.size() - valid;
    if cut > 0 {
        tracing::warn!(segment = %segment.path().display(), bytes = cut, end, "cutting what is no whole batch off the end");
        report.truncated_bytes += cut;
        segment.truncate(&env.files, valid)?;
    }
    segment.set_indexes(indexes);
    Ok(end)
}

/// Walks the batches in offset order whose CRC fits; answers position and offset behind the last of them.
fn walk_whole(
    segment: &Segment,
    env: &LogEnv,
    mut step: impl FnMut(u64, &BatchHeader),
) -> Result<(u64, i64), LogError> {
    let file = segment.file(&env.files)?;
    let what = || format!("reading {}", segment.path().display());
    let mut end = segment.base_offset();
    let mut bytes = Vec::new();
    let mut failed = None;
    let valid = scan(&file, 0, segment.size(), |position, header| {
        bytes.resize(header.size(), 0);
        match files::read_at(&file, &mut bytes, position) {
            Ok(n) if n == bytes.len() => {}
            Ok(_) => return ControlFlow::Break(()),
            Err(e) => {
                failed = Some(e);
                return ControlFlow::Break(());
            }
        }
        if header.base_offset < end || !batch::crc_matches(&bytes) {
            return ControlFlow::Break(());
        }
        end = header.next_offset();
        step(position, header);
        ControlFlow::Continue(())
    })
    .map_err(LogError::io(what()))?;
    match failed {
        Some(source) => Err(LogError::Io { what: what(), source }),
        None => Ok((valid, end)),
    }
}

/// After a machine crash a sealed segment past the recovery point may lack pages: the log ends where the first one ends
/// short of its successor.
fn drop_after_gap(
    segments: &mut Vec<Segment>,
    env: &LogEnv,
    recovery_point: i64,
    report: &mut RecoveryReport,
) -> Result<(), LogError> {
    let mut keep = segments.len();
    for i in 0..segments.len().saturating_sub(1) {
        if segments[i + 1].base_offset() <= recovery_point {
            continue;
        }
        let (reached, end) = walk_whole(&segments[i], env, |_, _| {})?;
        if reached != segments[i].size() || end > segments[i + 1].base_offset() {
            keep = i + 1;
            break;
        }
    }
    for lost in segments.drain(keep..) {
        tracing::warn!(segment = %lost.path().display(), "dropping a segment: the one before it ends early");
        report.dropped_segments += 1;
        report.truncated_bytes += lost.size();
        lost.delete_files(&env.files);
    }
    Ok(())
}

/// The epochs that the batches name, where the checkpoint is missing or unreadable.
fn find_epochs(epochs: &mut LeaderEpochs, segments: &[Arc<Segment>], env: &LogEnv) -> Result<(), LogError> {
    for segment in segments {
        let mut begun = Vec::new();
        segment.walk(&env.files, 0, |_, header| {
            let latest = begun.last().map_or(epochs.latest_begun(), |(epoch, _)| Some(*epoch));
            if latest.is_none_or(|latest| header.leader_epoch > latest) {
                begun.push((header.leader_epoch.max(0), header.base_offset));
            }
            ControlFlow::Continue(())
        })?;
        for (epoch, start) in begun {
            epochs.begin(epoch, start)?;
        }
    }
    if epochs.is_empty() {
        epochs.begin(0, segments[0].base_offset())?;
    }
    Ok(())
}

/// Bytes before a producer snapshot that are looked through for batches that may be sent again: what a few clients may
/// have in flight.
const IN_FLIGHT_BYTES: u64 = 4 << 20;
const IN_FLIGHT_SEGMENTS: usize = 4;

/// The producer state at `end`: a snapshot, and the headers of all batches after it. From the segment `doubtful` on, the
/// lists of aborted transactions are made anew on the way; answers whether there are any.
fn load_producers(
    dir: &Path,
    segments: &[Arc<Segment>],
    doubtful: usize,
    env: &LogEnv,
    end: i64,
) -> Result<(Producers, bool), LogError> {
    let listed_from = segments.get(doubtful).map_or(end, |s| s.base_offset());
    let (mut producers, from) = Producers::load(dir, segments[0].base_offset(), listed_from.min(end), end);
    if !producers.is_empty() {
        remember_in_flight(&mut producers, segments, env, from)?;
    }
    let mut any_aborted = false;
    for segment in &segments[doubtful.min(segments.len())..] {
        segment.forget_aborted(true);
    }
    let first =
        if from >= end { segments.len() } else { segments.partition_point(|s| s.base_offset() <= from).max(1) - 1 };
    for (at, segment) in segments.iter().enumerate().skip(first) {
        let file = segment.file(&env.files)?;
        let reached = segment.walk(&env.files, 0, |position, header| {
            if header.base_offset >= from {
                let marker = segment.marker_at(&file, position, header);
                let completed = producers.appended(header, marker.as_ref());
                if let Some(aborted) = completed.filter(|c| !c.committed && at >= doubtful) {
                    segment.aborted(&aborted, producers.first_open_transaction());
                    any_aborted = true;
                }
            }
            ControlFlow::Continue(())
        })?;
        if reached != segment.size() {
            tracing::warn!(segment = %segment.path().display(), position = reached, "no batch here: the segment is damaged");
        }
        if at >= doubtful && segment.finish_aborted().is_err() {
            tracing::warn!(segment = %segment.path().display(), "aborted transactions could not be written: they are kept in memory");
        }
    }
    Ok((producers, any_aborted))
}

/// A snapshot has the last batch of each producer; those before it that may be in flight are in the log.
fn remember_in_flight(
    producers: &mut Producers,
    segments: &[Arc<Segment>],
    env: &LogEnv,
    from: i64,
) -> Result<(), LogError> {
    let before = segments.partition_point(|s| s.base_offset() < from);
    let mut bytes = IN_FLIGHT_BYTES;
    let mut parts = Vec::new();
    for segment in segments[..before].iter().rev().take(IN_FLIGHT_SEGMENTS) {
        let end = segment.floor_position(&env.files, from)?;
        parts.push((segment, position_near(segment, env, from, end.saturating_sub(bytes))?));
        bytes = bytes.saturating_sub(end);
        if bytes == 0 {
            break;
        }
    }
    for (segment, start) in parts.into_iter().rev() {
        segment.walk(&env.files, start, |_, header| {
            if header.base_offset >= from {
                return ControlFlow::Break(());
            }
            producers.remembered(header);
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

/// The first position at or behind `near` that the index knows, below `end`.
fn position_near(segment: &Segment, env: &LogEnv, end: i64, near: u64) -> Result<u64, LogError> {
    if near == 0 {
        return Ok(0);
    }
    let (mut far, mut offset) = (segment.base_offset() - 1, end);
    while offset - far > 1 {
        let middle = far + (offset - far) / 2;
        if segment.floor_position(&env.files, middle)? >= near {
            offset = middle;
        } else {
            far = middle;
        }
    }
    segment.floor_position(&env.files, offset)
}
