//! When which shard is to be looked after, and the thread that does it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{GroupCoordinator, Slot, lock};
use crate::base::Clock;

/// Deadlines of shards, one each.
#[derive(Default)]
pub(super) struct Wakeups {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    due: BTreeSet<(i64, usize)>,
    stopping: bool,
}

impl Wakeups {
    pub fn stop(&self) {
        lock(&self.state).stopping = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        lock(&self.state).stopping
    }

    fn reschedule(&self, index: usize, before: Option<i64>, at: Option<i64>) {
        let mut state = lock(&self.state);
        if let Some(before) = before {
            state.due.remove(&(before, index));
        }
        if let Some(at) = at {
            state.due.insert((at, index));
        }
        let is_next = state.due.first().is_some_and(|(_, next)| *next == index);
        drop(state);
        if is_next {
            self.changed.notify_one();
        }
    }

    /// Waits for the next shard whose time has come; `None` once the broker stops.
    fn next(&self, clock: &Clock) -> Option<usize> {
        let mut state = lock(&self.state);
        loop {
            if state.stopping {
                return None;
            }
            let now = clock.timer_ms();
            state = match state.due.first().copied() {
                Some((deadline, index)) if deadline <= now => {
                    state.due.pop_first();
                    return Some(index);
                }
                Some((deadline, _)) => {
                    let wait = Duration::from_millis((deadline - now) as u64);
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl GroupCoordinator {
    pub(super) fn schedule(&self, index: usize, slot: &mut Slot, at: Option<i64>) {
        if slot.scheduled != at {
            self.wakeups.reschedule(index, slot.scheduled, at);
            slot.scheduled = at;
        }
    }

    /// The thread: loads what there is, then sleeps until the earliest deadline, or until there is an earlier one.
    pub(super) fn run_timers(&self) {
        for index in 0..self.shards().map_or(0, |shards| shards.len()) {
            if self.wakeups.is_stopping() {
                return;
            }
            self.run_due(index);
        }
        while let Some(index) = self.wakeups.next(&self.clock) {
            self.run_due(index);
        }
    }

    /// Runs the timers of a shard whose time has come.
    fn run_due(&self, index: usize) {
        let Some(shards) = self.shards() else { return };
        if let Some(slot) = shards.get(index) {
            self.schedule(index, &mut lock(slot), None);
        }
        // One an operation: what a timer does to a consumer group is seen by the next only once it is replayed.
        loop {
            let fired = self.run_on(index, |shard, env, effects| {
                let due = shard.timers.take_due(env.now_ms);
                due.map(|key| shard.timer_fired(key, env, effects))
            });
            match fired {
                Ok(done) if done.response.is_some() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(partition = index, %error, "the timers of a shard could not be run");
                    return;
                }
            }
        }
    }
}
