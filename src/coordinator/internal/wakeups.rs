//! When which shard is to be looked after, and the thread that does it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{InternalTopic, Slot, lock};
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

impl<S> InternalTopic<S> {
    /// Looks after the shard at that time, on the clock of timers; not at all for `None`.
    pub fn schedule(&self, index: usize, slot: &mut Slot<S>, at: Option<i64>) {
        if slot.scheduled != at {
            self.wakeups.reschedule(index, slot.scheduled, at);
            slot.scheduled = at;
        }
    }

    /// Runs a coordinator's timers on the calling thread until [`InternalTopic::stop_timers`]: every shard once, so that
    /// it is loaded, and then each when its time has come.
    pub fn run_timers(&self, mut run: impl FnMut(usize)) {
        for index in 0..self.slots().map_or(0, |slots| slots.len()) {
            if self.wakeups.is_stopping() {
                return;
            }
            self.due(index, &mut run);
        }
        while let Some(index) = self.wakeups.next(&self.clock) {
            self.due(index, &mut run);
        }
    }

    fn due(&self, index: usize, run: &mut impl FnMut(usize)) {
        let Some(slots) = self.slots() else { return };
        if let Some(slot) = slots.get(index) {
            self.schedule(index, &mut lock(slot), None);
            run(index);
        }
    }

    pub fn stop_timers(&self) {
        self.wakeups.stop();
    }
}
