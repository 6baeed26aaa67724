//! Request in, records and response out, clock advanced.

/// The moment of a bench, borrowing no more of it than it needs.
macro_rules! at {
    ($bench:expr) => {
        Moment { topics: &$bench.topics, limits: &$bench.limits, now_ms: $bench.now_ms }
    };
}

mod churn;
mod classic;
mod heartbeats;
mod migration;
mod record_bytes;
mod regexes;
mod statics;
mod transcript;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::records::Change;
use super::*;
use crate::coordinator::GroupError;

/// Topics in a table.
#[derive(Default)]
pub struct Topics {
    version: u64,
    by_name: BTreeMap<String, (TopicId, i32)>,
    made: u128,
}

impl Topics {
    pub fn with(topics: &[(&str, i32)]) -> Topics {
        let mut made = Topics::default();
        topics.iter().for_each(|(name, partitions)| made.create(name, *partitions));
        made
    }

    pub fn create(&mut self, name: &str, partitions: i32) {
        self.made += 1;
        self.version += 1;
        self.by_name.insert(name.into(), (TopicId(Uuid::from_u128(self.made)), partitions));
    }

    pub fn grow(&mut self, name: &str, partitions: i32) {
        self.version += 1;
        self.by_name.get_mut(name).expect("there").1 = partitions;
    }

    pub fn delete(&mut self, name: &str) {
        self.version += 1;
        self.by_name.remove(name);
    }

    pub fn id(&self, name: &str) -> TopicId {
        self.by_name[name].0
    }

    /// Partitions of one topic as an assignment.
    pub fn some(&self, name: &str, partitions: &[i32]) -> Assignment {
        [(self.id(name), partitions.iter().copied().collect())].into()
    }
}

impl TopicView for Topics {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        self.by_name.get(name).copied()
    }

    fn topic_name(&self, id: TopicId) -> Option<String> {
        self.by_name.iter().find(|(_, (other, _))| *other == id).map(|(name, _)| name.clone())
    }

    fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }
}

/// A group with its runtime: records are committed at once, effects are carried out.
pub struct Bench {
    pub group: ConsumerGroup,
    pub topics: Topics,
    pub limits: Limits,
    pub now_ms: i64,
    pub timers: BTreeMap<(String, u8), (i64, Timer)>,
    pub log: Vec<Change>,
    pub became_classic: Option<migrate::ClassicSnapshot>,
    /// Expressions wait until this is set again.
    pub resolves: bool,
}

fn kind(timer: Timer) -> u8 {
    match timer {
        Timer::Session => 0,
        Timer::Rebalance { .. } => 1,
        Timer::ClassicJoin => 2,
        Timer::ClassicSync => 3,
    }
}

impl Bench {
    pub fn new(topics: &[(&str, i32)]) -> Bench {
        Bench {
            group: ConsumerGroup::new("g"),
            topics: Topics::with(topics),
            limits: Limits::default(),
            now_ms: 1_000,
            timers: BTreeMap::new(),
            log: Vec::new(),
            became_classic: None,
            resolves: true,
        }
    }

    pub fn commit<R>(&mut self, outcome: Outcome<R>) -> R {
        for record in &outcome.records {
            let (key, value) = record.encode("g");
            let decoded = Change::decode(&key, value.as_deref()).expect("own bytes").expect("a group's record");
            assert_eq!(decoded, ("g".into(), record.clone()));
            self.group.replay(record);
        }
        self.log.extend(outcome.records);
        for effect in outcome.effects {
            match effect {
                Effect::Arm { member_id, timer, at_ms } => {
                    self.timers.insert((member_id, kind(timer)), (at_ms, timer));
                }
                Effect::ArmIfAbsent { member_id, timer, at_ms } => {
                    self.timers.entry((member_id, kind(timer))).or_insert((at_ms, timer));
                }
                Effect::Cancel { member_id, timer } => {
                    self.timers.remove(&(member_id, kind(timer)));
                }
                Effect::CancelAll { member_id } => self.timers.retain(|(id, _), _| *id != member_id),
                Effect::ResolveRegexes if !self.resolves => {}
                Effect::ResolveRegexes => {
                    let outcome = subscription::resolve_regexes(&mut self.group, &at!(self));
                    self.commit(outcome);
                }
                Effect::BecomesClassic(snapshot) => self.became_classic = Some(snapshot),
            }
        }
        self.audit();
        outcome.response
    }

    pub fn send(&mut self, request: &HeartbeatRequest) -> Result<HeartbeatResponse, Refusal> {
        validate("g", request, 1, &self.limits)?;
        let outcome = heartbeat(&mut self.group, request, &at!(self))?;
        Ok(self.commit(outcome))
    }

    pub fn ok(&mut self, request: &HeartbeatRequest) -> HeartbeatResponse {
        self.send(request).expect("accepted")
    }

    pub fn refused(&mut self, request: &HeartbeatRequest) -> GroupError {
        self.send(request).expect_err("refused").name
    }

    /// Lets time pass; timers go off in order.
    pub fn advance(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        while let Some((key, (at, timer))) = self
            .timers
            .iter()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(k, v)| (k.clone(), *v))
            .filter(|(_, (at, _))| *at <= end)
        {
            self.now_ms = at;
            self.timers.remove(&key);
            let outcome = match timer {
                Timer::Rebalance { member_epoch } => {
                    rebalance_timeout_expired(&self.group, &key.0, member_epoch, &at!(self))
                }
                _ => fence(&self.group, &[&key.0], &at!(self)),
            };
            self.commit(outcome.expect("can be fenced"));
        }
        self.now_ms = end;
    }

    /// No partition is with two members, and who holds what is known.
    pub fn audit(&self) {
        let mut held = BTreeSet::new();
        for member in self.group.members() {
            for (topic, partition) in member.held() {
                assert!(held.insert((topic, partition)), "{topic}-{partition} is held twice");
                assert_eq!(self.group.holders.get(&(topic, partition)), Some(&member.id));
            }
        }
        assert_eq!(held.len(), self.group.holders.len());
        assert!(self.timers.keys().all(|(id, _)| self.group.member(id).is_some() || self.became_classic.is_some()));
    }

    /// What a restart makes of the log.
    pub fn reloaded(&self) -> ConsumerGroup {
        let mut group = ConsumerGroup::new("g");
        self.log.iter().for_each(|record| group.replay(record));
        group
    }

    pub fn member(&self, id: &str) -> &Member {
        self.group.member(id).expect("a member")
    }
}

pub fn join(id: &str, topics: &[&str]) -> HeartbeatRequest {
    HeartbeatRequest {
        member_id: id.into(),
        member_epoch: 0,
        rebalance_timeout_ms: 30_000,
        subscribed_topics: Some(topics.iter().map(|t| (*t).into()).collect()),
        owned: Some(Assignment::new()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        ..HeartbeatRequest::default()
    }
}

pub fn beat(id: &str, epoch: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        member_id: id.into(),
        member_epoch: epoch,
        rebalance_timeout_ms: -1,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        ..HeartbeatRequest::default()
    }
}

pub fn owning(id: &str, epoch: i32, owned: Assignment) -> HeartbeatRequest {
    HeartbeatRequest { owned: Some(owned), ..beat(id, epoch) }
}
