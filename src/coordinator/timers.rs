//! Timers of one shard: who is to be looked after, and when. Entries may be stale; whoever is named knows its deadline.

use std::collections::BTreeMap;

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberTimer {
    Session,
    Rebalance,
    ClassicJoin,
    ClassicSync,
}

/// Deadlines in milliseconds of the broker's clock.
#[derive(Debug, Default)]
pub struct Timers {
    by_deadline: BTreeMap<(i64, u64), TimerKey>,
    next: u64,
}

impl Timers {
    pub fn arm(&mut self, deadline_ms: i64, key: TimerKey) {
        self.next += 1;
        self.by_deadline.insert((deadline_ms, self.next), key);
    }

    pub fn earliest(&self) -> Option<i64> {
        self.by_deadline.keys().next().map(|(deadline, _)| *deadline)
    }

    /// Takes one timer whose time has come.
    pub fn take_due(&mut self, now_ms: i64) -> Option<TimerKey> {
        let entry = self.by_deadline.first_entry()?;
        if entry.key().0 > now_ms { None } else { Some(entry.remove()) }
    }
}
