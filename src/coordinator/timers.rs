//! Timers of one shard: who is to be looked after, and when. Entries may be stale; whoever is named knows its deadline.

use std::collections::{BTreeMap, HashMap};

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TimerKey {
    /// A member's session, or a pending member's.
    Session { group: String, member: String },
    /// The end of a join phase.
    Join { group: String },
    /// Members must have synced by then.
    Sync { group: String },
    /// A member of a consumer group, by what it must do in time.
    Member { group: String, member: String, kind: MemberTimer },
    /// Offsets are looked through for expired ones.
    Expiry,
}

/// The kinds of [`super::consumer::Timer`], of which a member has at most one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberTimer {
    Session,
    Rebalance,
    ClassicJoin,
    ClassicSync,
}

/// Deadlines in milliseconds of the broker's clock; those of the same millisecond in the order in which they were armed.
#[derive(Debug, Default)]
pub struct Timers {
    by_deadline: BTreeMap<(i64, u64), TimerKey>,
    by_key: HashMap<TimerKey, (i64, u64)>,
    next: u64,
}

impl Timers {
    /// One timer a key: arming it again moves it.
    pub fn arm(&mut self, deadline_ms: i64, key: TimerKey) {
        self.next += 1;
        let place = (deadline_ms, self.next);
        if let Some(before) = self.by_key.insert(key.clone(), place) {
            self.by_deadline.remove(&before);
        }
        self.by_deadline.insert(place, key);
    }

    pub fn earliest(&self) -> Option<i64> {
        self.by_deadline.keys().next().map(|(deadline, _)| *deadline)
    }

    /// Takes one timer whose time has come.
    pub fn take_due(&mut self, now_ms: i64) -> Option<TimerKey> {
        let entry = self.by_deadline.first_entry()?;
        if entry.key().0 > now_ms {
            return None;
        }
        let key = entry.remove();
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arming_again_moves_the_timer() {
        let mut timers = Timers::default();
        let key = || TimerKey::Join { group: "g".into() };
        for deadline in [30, 10, 20] {
            timers.arm(deadline, key());
        }
        timers.arm(20, TimerKey::Expiry);
        assert_eq!(timers.earliest(), Some(20));
        assert_eq!(timers.take_due(19), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(100)).collect();
        assert_eq!(due, [key(), TimerKey::Expiry]);
        assert_eq!(timers.earliest(), None);
    }
}
