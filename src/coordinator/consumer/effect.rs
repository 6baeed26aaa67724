//! What a request leads to besides its answer: records, timers, work for later.

use super::migrate::ClassicSnapshot;
use super::records::Change;

/// A deadline of one member. There is at most one of each kind; arming again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// No heartbeat in time: the member is fenced.
    Session,
    /// Partitions were not given up in time: fenced if still at this member epoch.
    Rebalance { member_epoch: i32 },
    /// A classic member was told of a rebalance and did not rejoin in time: fenced.
    ClassicJoin,
    /// A classic member joined and did not sync in time: fenced.
    ClassicSync,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// `at_ms` on the clock that `now_ms` came from.
    Arm {
        member_id: String,
        timer: Timer,
        at_ms: i64,
    },
    /// As `Arm`, unless a timer of that kind runs.
    ArmIfAbsent {
        member_id: String,
        timer: Timer,
        at_ms: i64,
    },
    /// The epoch inside `timer` does not matter.
    Cancel {
        member_id: String,
        timer: Timer,
    },
    CancelAll {
        member_id: String,
    },
    /// Resolve the group's expressions as the next thing: `subscription::resolve_regexes`. Kafka does it in the
    /// background, after the answer.
    ResolveRegexes,
    /// Nothing but classic members is left: the records end with the tombstones of the consumer group, and the classic
    /// group's own record follows them (KIP-848, online downgrade).
    BecomesClassic(ClassicSnapshot),
}

/// Records to append, the answer once they are committed, and the effects of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<R> {
    pub records: Vec<Change>,
    pub response: R,
    pub effects: Vec<Effect>,
}

impl<R> Outcome<R> {
    pub(super) fn with<S>(self, response: S) -> Outcome<S> {
        Outcome { records: self.records, response, effects: self.effects }
    }
}
