//! What an operation on a shard leaves to be done, and what it may look at.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::kip848;
use crate::base::ProducerId;
use crate::coordinator::classic::Limits;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::runtime::Done;
use crate::coordinator::timers::TimerKey;
use crate::wal::Ticket;

/// A request that waits for its answer.
pub type Parked<R> = oneshot::Sender<Done<R>>;

type Answer = Box<dyn FnOnce(Option<Arc<Ticket>>) + Send>;

/// What an operation leaves to be done: records first, then, once they are committed, the answers.
pub struct Effects {
    pub wall_ms: i64,
    pub records: Vec<GroupRecord>,
    /// The producer, with its epoch, in whose transaction the records are.
    pub transaction: Option<(ProducerId, i16)>,
    /// Groups whose regular expressions are to be resolved next.
    pub resolve: Vec<String>,
    answers: Vec<Answer>,
    armed: Vec<(i64, TimerKey)>,
}

impl Effects {
    pub fn new(wall_ms: i64) -> Effects {
        Effects {
            wall_ms,
            records: Vec::new(),
            transaction: None,
            resolve: Vec::new(),
            answers: Vec::new(),
            armed: Vec::new(),
        }
    }

    pub fn answer<R: Send + 'static>(&mut self, parked: Parked<R>, response: R) {
        self.answers.push(Box::new(move |durable| {
            // Whoever asked may be gone.
            let _ = parked.send(Done { response, durable });
        }));
    }

    pub fn arm(&mut self, deadline_ms: i64, key: TimerKey) {
        self.armed.push((deadline_ms, key));
    }

    pub fn take_armed(&mut self) -> Vec<(i64, TimerKey)> {
        std::mem::take(&mut self.armed)
    }

    /// Sends every answer; each waits for the ticket before it leaves the broker.
    pub fn send_answers(self, durable: Option<&Arc<Ticket>>) {
        for answer in self.answers {
            answer(durable.cloned());
        }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("records", &self.records).field("armed", &self.armed).finish_non_exhaustive()
    }
}

/// What an operation may look at besides the shard.
pub struct Environment<'a> {
    /// On the clock of timers.
    pub now_ms: i64,
    pub limits: &'a Limits,
    pub topics: &'a dyn kip848::TopicView,
    /// The limits of one consumer group: the broker's, with the group's own configuration over them.
    pub limits_of: &'a dyn Fn(&str) -> kip848::Limits,
}

impl Environment<'_> {
    pub(super) fn consumer_limits(&self, group: &str) -> kip848::Limits {
        (self.limits_of)(group)
    }

    /// Consumer groups count in wall-clock time, which some of their records carry.
    pub(super) fn moment<'a>(&'a self, limits: &'a kip848::Limits, effects: &Effects) -> kip848::Moment<'a> {
        kip848::Moment { topics: self.topics, limits, now_ms: effects.wall_ms }
    }
}
