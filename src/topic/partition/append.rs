//! Appending: the one way in, and what the WAL says of it.

use std::sync::Arc;

use super::{OpenLog, Partition, PartitionEnv, PartitionError, State, is_passing};
use crate::config::TopicConfig;
use crate::log::{AppendError, Appended, LogError, Origin};
use crate::record::PreparedBatch;
use crate::topic::metadata::{KIND_BARRIER, KIND_BATCH};
use crate::topic::upkeep::Task;
use crate::wal::{Ticket, WalError};

/// How a batch gets to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As the topic's configuration says.
    AsConfigured,
    /// Through the WAL in any case.
    Always,
    /// As [`Durability::AsConfigured`], but not before something else: what rests on it comes behind it.
    WithTheNext,
    /// As [`Durability::Always`], in the same way.
    AlwaysWithTheNext,
}

impl Durability {
    /// Through the WAL in any case where `always`, else as the topic's configuration says.
    pub fn always_if(always: bool) -> Durability {
        if always { Durability::Always } else { Durability::AsConfigured }
    }

    /// The same, but not before something else.
    pub fn with_the_next(self) -> Durability {
        match self {
            Durability::AsConfigured | Durability::WithTheNext => Durability::WithTheNext,
            Durability::Always | Durability::AlwaysWithTheNext => Durability::AlwaysWithTheNext,
        }
    }

    fn is_always(self) -> bool {
        matches!(self, Durability::Always | Durability::AlwaysWithTheNext)
    }

    fn waits(self) -> bool {
        matches!(self, Durability::WithTheNext | Durability::AlwaysWithTheNext)
    }
}

/// A batch that was appended. With a ticket it is acknowledged once that is committed.
pub struct AppendOutcome {
    pub appended: Appended,
    pub log_start: i64,
    pub ticket: Option<Ticket>,
}

impl Partition {
    /// Appends one prepared batch: sequence check, offset, write, and, for a durable topic, its place in the WAL, all
    /// under the same lock. Wakes waiting readers when the batch is readable at once.
    pub fn append(
        self: &Arc<Self>,
        env: &PartitionEnv,
        config: &TopicConfig,
        batch: &PreparedBatch,
        origin: Origin,
    ) -> Result<AppendOutcome, PartitionError> {
        self.append_in(env, config, batch, origin, Durability::AsConfigured)
    }

    /// As [`Partition::append`], with a say in how it gets to the disk.
    pub fn append_in(
        self: &Arc<Self>,
        env: &PartitionEnv,
        config: &TopicConfig,
        batch: &PreparedBatch,
        origin: Origin,
        durability: Durability,
    ) -> Result<AppendOutcome, PartitionError> {
        let journalled =
            |flush_messages: i64| (durability.is_always() || flush_messages == 1) && env.wal().is_enabled();
        if journalled(config.flush_messages) && !env.wal().has_room_for_batches() {
            return Err(PartitionError::Storage(WalError::NoSpace.to_string()));
        }
        let mut state = self.opened(env, config)?;
        let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
        let through_wal = journalled(open.settings.flush_messages);
        if through_wal && !open.wal_continuous {
            if let Err(error) = open.log.flush() {
                return Err(self.sync_failed(&mut state, error));
            }
            open.wal_continuous = true;
        }
        let segments = open.log.segment_count();
        let appended = open.log.append(batch, origin).map_err(|e| match e {
            AppendError::Storage(error) => error.into(),
            other => PartitionError::Append(other),
        })?;
        let log_start = open.log.log_start();
        if appended.duplicate {
            // It may still be on its way to the disk: wait for whatever was appended last.
            let ticket = if through_wal && open.high_watermark < open.log.end() {
                Some(self.append_to_wal(env, open, KIND_BARRIER, &[], appended.end, false)?)
            } else {
                None
            };
            return Ok(AppendOutcome { appended, log_start, ticket });
        }
        let (mut ticket, mut flush_in) = (None, None);
        if let Some(ended) = appended.completed.filter(|_| through_wal) {
            open.ended.push_back((ended.first_offset, ended.last_offset));
        }
        if through_wal {
            ticket = Some(self.journal(env, open, batch, &appended, durability.waits())?);
        } else {
            open.wal_continuous = false;
            open.unflushed_messages += i64::from(batch.header.last_offset_delta) + 1;
            if open.unflushed_messages >= open.settings.flush_messages {
                if let Err(error) = open.log.flush() {
                    return Err(self.sync_failed(&mut state, error));
                }
                open.unflushed_messages = 0;
            } else {
                flush_in = open.needs_flush_at(env);
            }
            open.raise_high_watermark(appended.end);
        }
        let rolled = open.log.segment_count() > segments;
        drop(state);
        if rolled {
            env.upkeep.send(Task::Sync(self.clone()));
        }
        if let Some(time) = flush_in {
            env.upkeep.send(Task::FlushAt(env.log.clock.instant() + time, self.clone()));
        }
        if ticket.is_none() {
            self.waiters.wake_all();
        }
        Ok(AppendOutcome { appended, log_start, ticket })
    }

    fn journal(
        self: &Arc<Self>,
        env: &PartitionEnv,
        open: &mut OpenLog,
        batch: &PreparedBatch,
        appended: &Appended,
        waits: bool,
    ) -> Result<Ticket, PartitionError> {
        let mut head = batch.head;
        crate::record::batch::assign(&mut head, appended.base_offset, open.log.leader_epoch());
        let payload: [&[u8]; 4] = [self.topic_id.0.as_bytes(), &(self.index as u32).to_be_bytes(), &head, &batch.body];
        open.journalled_end = appended.end;
        self.append_to_wal(env, open, KIND_BATCH, &payload, appended.end, waits)
    }

    /// Once it is on the disk, so is everything below `end`.
    fn append_to_wal(
        self: &Arc<Self>,
        env: &PartitionEnv,
        open: &mut OpenLog,
        kind: u8,
        payload: &[&[u8]],
        end: i64,
        waits: bool,
    ) -> Result<Ticket, PartitionError> {
        let (partition, breaks) = (self.clone(), open.wal_breaks);
        let on_commit = Box::new(move |result: &Result<(), WalError>| partition.committed(end, breaks, result.is_ok()));
        let wal = env.wal();
        let appended = if waits {
            wal.append_with_the_next(kind, payload, Some(on_commit))
        } else {
            wal.append(kind, payload, Some(on_commit))
        };
        appended.map_err(|error| {
            open.wal_continuous = false;
            PartitionError::Storage(error.to_string())
        })
    }

    /// The group with a batch of this partition is decided. `breaks` is how many batches had been refused when it was
    /// appended: one that stands behind a refused one has a gap before it in the WAL, so the log must be on the disk itself.
    fn committed(&self, end: i64, breaks: u32, ok: bool) {
        let mut state = self.lock();
        if let State::Open(open) = &mut *state {
            if !ok {
                open.wal_continuous = false;
                open.wal_breaks += 1;
                // It is in the log, and the next append would show it: better now than never.
                match open.log.flush() {
                    Ok(()) => open.raise_high_watermark(open.log.end()),
                    Err(error) => {
                        tracing::warn!(partition = %self.dir_name(), %error, "a refused batch could not be synced");
                    }
                }
            } else if breaks == open.wal_breaks {
                open.raise_high_watermark(end);
            } else if let Err(error) = open.log.flush() {
                self.go_offline(&mut state, format!("a batch behind a refused one could not be synced: {error}"));
            } else {
                open.raise_high_watermark(end);
            }
        }
        drop(state);
        self.waiters.wake_all();
    }

    /// A sync that fails for good has perhaps lost what was acknowledged, and the next one would not say so.
    fn sync_failed(&self, state: &mut State, error: LogError) -> PartitionError {
        if !is_passing(&error) {
            tracing::error!(partition = %self.dir_name(), %error, "a sync has failed: the partition is offline");
            self.go_offline(state, error.to_string());
        }
        error.into()
    }

    /// Appends a batch from the WAL: skipped if it is there, appended if it comes next.
    pub fn replay(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        batch: &PreparedBatch,
    ) -> Result<(), PartitionError> {
        let mut state = self.opened(env, config)?;
        let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
        open.journalled_end = open.journalled_end.max(batch.header.next_offset());
        let end = open.log.end();
        if batch.header.last_offset() < end || batch.header.last_offset() < open.log.log_start() {
            return Ok(());
        }
        if batch.header.base_offset < end && open.log.is_empty() {
            // The log was lost, and its start lies within this batch.
            open.log.begin_anew(batch.header.base_offset)?;
        }
        let end = open.log.end();
        if batch.header.base_offset != end {
            return Err(PartitionError::Storage(format!(
                "the write-ahead log has a batch at offset {} of {}, whose log ends at {end}",
                batch.header.base_offset,
                self.dir_name()
            )));
        }
        open.high_watermark = open.log.append_replayed(batch)?;
        Ok(())
    }
}
