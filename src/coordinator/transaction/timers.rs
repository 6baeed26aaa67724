//! What happens to transactions by itself: markers that are owed, timeouts, ids that nobody uses any more.

use super::{Shard, Slot, TransactionCoordinator, TransactionError, lock, records};
use crate::config::BrokerValues;
use crate::coordinator::internal::RELOAD_AFTER_MS;
use crate::record::build::BatchFields;
use crate::topic::Durability;

/// Ids that are forgotten by one batch.
const EXPIRED_BATCH: usize = 1_000;

impl TransactionCoordinator {
    /// Looks after a shard whose time has come.
    pub(super) fn run_due(&self, index: usize) {
        let Some(slots) = self.internal.slots() else { return };
        let Some(slot) = slots.get(index) else { return };
        if let Err(error) = self.look_after(index, slot) {
            tracing::error!(partition = index, %error, "a shard of transactions could not be looked after");
        }
        self.reschedule(index, &mut lock(slot));
    }

    fn look_after(&self, index: usize, slot: &std::sync::Mutex<Slot<Shard>>) -> Result<(), TransactionError> {
        {
            let mut slot = lock(slot);
            let shard = self.loaded(index, &mut slot)?;
            shard.retry_ms = None;
            for id in shard.owing() {
                self.write_owed(index, &mut slot, &id);
            }
        }
        // All decisions first, so that they share a sync.
        let mut aborted = Vec::new();
        loop {
            let mut slot = lock(slot);
            let now_ms = self.clock().wall_ms();
            let Some((id, open)) = self.loaded(index, &mut slot)?.timed_out(now_ms) else { break };
            tracing::info!(id, producer_id = open.producer_id, "aborting a transaction whose time is over");
            aborted.push(self.decide(index, &mut slot, &id, open.fenced(now_ms))?);
        }
        for decided in aborted {
            if let Err(error) = self.complete_now(&decided) {
                tracing::error!(partition = index, %error, "a transaction whose time is over could not be aborted");
            }
        }
        self.expire(index, &mut lock(slot))
    }

    /// Forgets ids that nobody has used for `transactional.id.expiration.ms`, once in so often.
    fn expire(&self, index: usize, slot: &mut Slot<Shard>) -> Result<(), TransactionError> {
        let (now_ms, timer_ms) = (self.clock().wall_ms(), self.clock().timer_ms());
        let interval = self.expiry_interval_ms();
        let unused_ms = i64::from(self.topics().config().get_i32("transactional.id.expiration.ms"));
        let shard = self.loaded(index, slot)?;
        if timer_ms < shard.swept_ms.unwrap_or(self.started_ms).saturating_add(interval) {
            return Ok(());
        }
        shard.swept_ms = Some(timer_ms);
        let unused = shard.unused_since(now_ms.saturating_sub(unused_ms));
        for ids in unused.chunks(EXPIRED_BATCH) {
            let tombstones: Vec<_> = ids.iter().map(|id| records::encode(id, None, now_ms)).collect();
            let appended = self.internal.append(index, &BatchFields::default(), &tombstones, Durability::AsConfigured);
            appended.map_err(|error| {
                tracing::error!(partition = index, %error, "expired transactional ids could not be forgotten");
                TransactionError::CoordinatorNotAvailable
            })?;
            let shard = self.loaded(index, slot)?;
            ids.iter().for_each(|id| shard.set(id, None));
        }
        Ok(())
    }

    fn expiry_interval_ms(&self) -> i64 {
        i64::from(self.topics().config().get_i32("transaction.remove.expired.transaction.cleanup.interval.ms"))
    }

    /// Sees to it that the thread comes back when there is something to do. Timeouts are looked for every
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`, as in Kafka.
    pub(super) fn reschedule(&self, index: usize, slot: &mut Slot<Shard>) {
        let now_ms = self.clock().timer_ms();
        let at = match &slot.shard {
            None => Some(now_ms + RELOAD_AFTER_MS),
            Some(shard) => {
                let timeout = shard.next_deadline().map(|deadline| {
                    let left = deadline.saturating_sub(self.clock().wall_ms()).max(0) + 1;
                    self.next_sweep(now_ms.saturating_add(left))
                });
                let swept_ms = shard.swept_ms.unwrap_or(self.started_ms);
                let expiry = (!shard.is_empty()).then(|| swept_ms.saturating_add(self.expiry_interval_ms()));
                [timeout, expiry, shard.retry_ms].into_iter().flatten().min()
            }
        };
        self.internal.schedule(index, slot, at);
    }

    /// The first sweep at or after a time.
    fn next_sweep(&self, at_ms: i64) -> i64 {
        let config = self.topics().config();
        let interval = i64::from(config.get_i32("transaction.abort.timed.out.transaction.cleanup.interval.ms")).max(1);
        let sweeps = (at_ms - self.started_ms + interval - 1).div_euclid(interval);
        self.started_ms.saturating_add(sweeps.saturating_mul(interval))
    }
}
