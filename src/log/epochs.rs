//! Which leader epoch begins where: Kafka's `leader-epoch-checkpoint`.

use std::path::{Path, PathBuf};

use super::LogError;
use super::files;

/// Epochs with their start offsets, ascending.
#[derive(Debug)]
pub struct LeaderEpochs {
    path: PathBuf,
    entries: Vec<(i32, i64)>,
}

/// The answer of OffsetForLeaderEpoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: i32,
    pub end_offset: i64,
}

impl LeaderEpochs {
    /// Reads the checkpoint; an unreadable one counts as absent, since every batch carries its epoch.
    pub fn load(dir: &Path) -> LeaderEpochs {
        let path = dir.join(files::LEADER_EPOCHS);
        let entries = std::fs::read_to_string(&path).ok().and_then(|text| parse(&text)).unwrap_or_default();
        LeaderEpochs { path, entries }
    }

    pub fn latest(&self) -> i32 {
        self.latest_begun().unwrap_or(0)
    }

    pub fn latest_begun(&self) -> Option<i32> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Begins `epoch` at `start` and writes the checkpoint.
    pub fn begin(&mut self, epoch: i32, start: i64) -> Result<(), LogError> {
        self.entries.retain(|(e, s)| *e < epoch && *s < start);
        self.entries.push((epoch, start));
        self.write()
    }

    /// The epoch of the record at `offset`.
    pub fn of(&self, offset: i64) -> i32 {
        let n = self.entries.partition_point(|(_, start)| *start <= offset);
        self.entries.get(n.saturating_sub(1)).map_or(0, |(epoch, _)| *epoch)
    }

    /// The epochs in force from `start` to below `end`, the first with that start.
    pub fn between(&self, start: i64, end: i64) -> Vec<(i32, i64)> {
        let first = self.entries.partition_point(|(_, s)| *s <= start).saturating_sub(1);
        let in_force = self.entries[first.min(self.entries.len())..].iter().filter(|(_, s)| *s < end);
        in_force.map(|(epoch, s)| (*epoch, (*s).max(start))).collect()
    }

    /// Kafka's `LeaderEpochFileCache.endOffsetFor`; `None` if the epoch is above the latest or there is none so old.
    pub fn end_of(&self, epoch: i32, log_end: i64) -> Option<EpochEnd> {
        if epoch == self.latest() {
            return Some(EpochEnd { epoch, end_offset: log_end });
        }
        let next = self.entries.partition_point(|(e, _)| *e <= epoch);
        let (_, end_offset) = *self.entries.get(next)?;
        match next.checked_sub(1) {
            Some(floor) => Some(EpochEnd { epoch: self.entries[floor].0, end_offset }),
            None => Some(EpochEnd { epoch, end_offset }),
        }
    }

    /// The log starts at `start` now: the epoch in force there begins there.
    pub fn truncate_below(&mut self, start: i64) {
        let n = self.entries.partition_point(|(_, s)| *s <= start);
        if n > 1 {
            self.entries.drain(..n - 1);
        }
        if let Some(first) = self.entries.first_mut()
            && first.1 < start
        {
            first.1 = start;
            if let Err(error) = self.write() {
                tracing::warn!(%error, "could not write the leader epoch checkpoint");
            }
        }
    }

    fn write(&self) -> Result<(), LogError> {
        let mut text = format!("0\n{}\n", self.entries.len());
        for (epoch, start) in &self.entries {
            text.push_str(&format!("{epoch} {start}\n"));
        }
        files::replace(&self.path, text.as_bytes(), false)
            .map_err(LogError::io(format_args!("writing {}", self.path.display())))
    }
}

fn parse(text: &str) -> Option<Vec<(i32, i64)>> {
    let mut lines = text.lines();
    if lines.next()?.trim() != "0" {
        return None;
    }
    let count: usize = lines.next()?.trim().parse().ok()?;
    let entries: Vec<(i32, i64)> = lines
        .map(|line| line.split_once(' ').and_then(|(e, s)| Some((e.parse().ok()?, s.trim().parse().ok()?))))
        .collect::<Option<_>>()?;
    (entries.len() == count && entries.is_sorted()).then_some(entries)
}
