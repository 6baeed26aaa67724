//! Reading: offsets, and regions of files.

use super::{OpenLog, Partition, PartitionEnv, PartitionError, RemoteLookUp, State};
use crate::config::TopicConfig;
use crate::log::{AbortedTransaction, Region, Snapshot, TimestampedOffset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    /// All there is, also what is not on the disk yet: for coordinators, whose state has it too.
    ToTheEnd,
}

/// Where a partition stands, and what of it may be sent.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start: i64,
    pub region: Option<Region>,
    /// What a reader of committed records skips in the region.
    pub aborted: Vec<AbortedTransaction>,
    /// There is something, and it is on its way from a remote store: waiters are woken when it is here.
    pub is_pending: bool,
}

/// What a reader asks of one partition.
pub(super) struct Asked {
    pub offset: i64,
    pub isolation: Isolation,
    pub bytes_max: u64,
    pub whole_first: bool,
}

/// The offsets of a partition at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: i64,
    /// The first offset that is here, not in a remote store.
    pub local_start: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub end: i64,
    pub leader_epoch: i32,
}

impl Offsets {
    /// What lies below it may be read.
    pub fn visible_to(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset,
            Isolation::ToTheEnd => self.end,
        }
    }
}

impl OpenLog {
    pub(super) fn raise_high_watermark(&mut self, end: i64) {
        self.high_watermark = self.high_watermark.max(end);
        while self.ended.front().is_some_and(|(_, marker)| *marker < self.high_watermark) {
            self.ended.pop_front();
        }
    }

    /// Everything below belongs to transactions that have ended, with markers that readers can see.
    pub(super) fn last_stable_offset(&self) -> i64 {
        let ended = self.ended.iter().map(|(first, _)| *first).min();
        let first = [self.log.first_open_transaction(), ended].into_iter().flatten().min();
        first.map_or(self.high_watermark, |first| first.max(self.log.log_start()).min(self.high_watermark))
    }

    fn offsets(&self) -> Offsets {
        let high_watermark = self.high_watermark;
        Offsets {
            log_start: self.log.log_start(),
            local_start: self.log.local_start(),
            high_watermark,
            last_stable_offset: self.last_stable_offset(),
            end: self.log.end(),
            leader_epoch: self.log.leader_epoch(),
        }
    }
}

impl Partition {
    /// What a fetch at `offset` gets now: at most `bytes_max` bytes, the first batch whole if `whole_first`.
    pub fn read(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        offset: i64,
        isolation: Isolation,
        bytes_max: u64,
        whole_first: bool,
    ) -> Result<ReadOutcome, PartitionError> {
        let (offsets, snapshot) = self.snapshot(env, config, offset)?;
        if offset < offsets.log_start || offset > offsets.end {
            return Err(PartitionError::OffsetOutOfRange { log_start: offsets.log_start, end: offsets.end });
        }
        if offset < offsets.local_start {
            let nothing = ReadOutcome {
                high_watermark: offsets.high_watermark,
                last_stable_offset: offsets.last_stable_offset,
                log_start: offsets.log_start,
                region: None,
                aborted: Vec::new(),
                is_pending: false,
            };
            let asked = Asked { offset, isolation, bytes_max, whole_first };
            return self.read_remote(env, &snapshot, &asked, nothing);
        }
        let upper = offsets.visible_to(isolation);
        let found = snapshot.read(&env.log.files, offset, upper, bytes_max, whole_first)?;
        let aborted = match &found {
            Some(found) if isolation == Isolation::ReadCommitted => snapshot.aborted(offset, found),
            _ => Vec::new(),
        };
        Ok(ReadOutcome {
            high_watermark: offsets.high_watermark,
            last_stable_offset: offsets.last_stable_offset,
            log_start: offsets.log_start,
            region: found.map(|found| found.region),
            aborted,
            is_pending: false,
        })
    }

    pub fn offsets(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<Offsets, PartitionError> {
        let state = self.opened(env, config)?;
        let State::Open(open) = &*state else { return Err(PartitionError::Deleted) };
        Ok(open.offsets())
    }

    /// The first record at or after the log start with at least this timestamp, below what `isolation` lets be read.
    pub fn offset_for_timestamp(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<RemoteLookUp<Option<TimestampedOffset>>, PartitionError> {
        let (offsets, snapshot) = self.snapshot(env, config, -1)?;
        let upper = offsets.visible_to(isolation);
        let found = match self.remote_offset_for_timestamp(env, timestamp, &snapshot)? {
            RemoteLookUp::Pending => return Ok(RemoteLookUp::Pending),
            RemoteLookUp::Found(Some(found)) => Some(found),
            RemoteLookUp::Found(None) => snapshot.first_at_or_after(&env.log.files, timestamp)?,
        };
        Ok(RemoteLookUp::Found(found.filter(|f| f.offset < upper)))
    }

    /// The first record with the largest timestamp.
    pub fn max_timestamp(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
    ) -> Result<Option<TimestampedOffset>, PartitionError> {
        let (_, snapshot) = self.snapshot(env, config, -1)?;
        Ok(snapshot.max_timestamp(&env.log.files)?)
    }

    fn snapshot(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        offset: i64,
    ) -> Result<(Offsets, Snapshot), PartitionError> {
        let state = self.opened(env, config)?;
        let State::Open(open) = &*state else { return Err(PartitionError::Deleted) };
        Ok((open.offsets(), open.log.snapshot(offset)))
    }
}
