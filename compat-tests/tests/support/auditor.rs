//! Keeps the books of consumers that share a topic: who owns which partition, in which generation, how far each was read
//! and committed. Every event is checked against them as it comes.

#![allow(dead_code)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

const HISTORY_MAX: usize = 20;

/// Books of one group reading one topic.
pub struct Auditor {
    state: Mutex<State>,
    given_up: OnceLock<&'static str>,
}

struct State {
    start: Instant,
    partitions: Vec<Partition>,
    /// Who owned what in each generation, as told to the consumers themselves.
    generations: HashMap<(i32, i32), String>,
    rebalances: HashMap<String, u32>,
    overlaps: Vec<Overlap>,
    violations: Vec<String>,
    refused_commits: u32,
    repeated: u64,
}

#[derive(Clone)]
struct Partition {
    owner: Option<String>,
    /// Where the owner reads on; unknown until its first record.
    position: Option<i64>,
    /// One past the highest record anybody has processed.
    next: i64,
    committed: i64,
    /// Whether the last owner gave it up in order, with everything it had processed committed.
    in_order: bool,
    /// What happened to it last, for whoever must explain a violation.
    history: VecDeque<String>,
}

impl Partition {
    fn note(&mut self, since: Instant, event: String) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(format!("{:?} {event}", since.elapsed()));
    }
}

/// A partition given to somebody while another believed to own it: right only if that one had lost it without knowing.
struct Overlap {
    partition: i32,
    old: String,
    text: String,
}

/// What the books come to.
#[derive(Debug)]
pub struct Totals {
    pub processed: i64,
    pub repeated: u64,
    pub refused_commits: u32,
    pub generations: usize,
}

impl Auditor {
    pub fn new(partitions: i32) -> Auditor {
        let history = VecDeque::new();
        let partition = Partition { owner: None, position: None, next: 0, committed: 0, in_order: true, history };
        let state = State {
            start: Instant::now(),
            partitions: vec![partition; partitions as usize],
            generations: HashMap::new(),
            rebalances: HashMap::new(),
            overlaps: Vec::new(),
            violations: Vec::new(),
            refused_commits: 0,
            repeated: 0,
        };
        Auditor { state: Mutex::new(state), given_up: OnceLock::new() }
    }

    /// What happens from here on says nothing about the broker.
    pub fn give_up(&self, why: &'static str) {
        let _ = self.given_up.set(why);
    }

    pub fn has_given_up(&self) -> Option<&'static str> {
        self.given_up.get().copied()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `added` came to a member in a generation. A static member goes by its instance id.
    pub fn assigned(&self, member: &str, generation: i32, added: &[i32]) {
        let mut state = self.state();
        let state = &mut *state;
        *state.rebalances.entry(member.to_owned()).or_default() += 1;
        for number in added {
            let partition = &mut state.partitions[*number as usize];
            partition.note(state.start, format!("assigned to {member} in generation {generation}"));
            if let Some(old) = partition.owner.replace(member.to_owned()).filter(|old| old != member) {
                let text = format!("{number} went to {member} in generation {generation} while {old} had it");
                state.overlaps.push(Overlap { partition: *number, old, text });
                partition.in_order = false;
            }
            partition.position = None;
        }
        let owned = state.partitions.iter().enumerate().filter(|(_, p)| p.owner.as_deref() == Some(member));
        for number in owned.map(|(number, _)| number as i32) {
            let earlier = state.generations.insert((generation, number), member.to_owned());
            if let Some(other) = earlier.filter(|other| other != member && generation >= 0) {
                state.violations.push(format!("{number} has two owners in generation {generation}: {other}, {member}"));
            }
        }
    }

    /// Given up in order. `committed` says whether everything processed was committed before.
    pub fn revoked(&self, member: &str, revoked: &[i32], committed: bool) {
        let mut state = self.state();
        let state = &mut *state;
        for number in revoked {
            let partition = &mut state.partitions[*number as usize];
            let (position, next) = (partition.position, partition.next);
            let how = if committed { "committed" } else { "uncommitted" };
            partition.note(state.start, format!("given up by {member}, {how}, at {position:?}, next {next}"));
            if partition.owner.as_deref() == Some(member) {
                // Whoever saw no record leaves it as it was.
                if partition.position.is_some() {
                    partition.in_order = committed && partition.position == Some(partition.next);
                }
                (partition.owner, partition.position) = (None, None);
            }
        }
    }

    /// The member's session ended, or it was fenced: others may have had these for a while.
    pub fn lost(&self, member: &str, lost: &[i32]) {
        self.revoked(member, lost, false);
        self.state().overlaps.retain(|overlap| overlap.old != member || !lost.contains(&overlap.partition));
    }

    /// The member is gone without a word.
    pub fn crashed(&self, member: &str) {
        let owned = self.owned_by(member);
        self.revoked(member, &owned, false);
    }

    /// A record came to a member. Nobody may have skipped one, and nobody see one twice that was handed over in order.
    pub fn processed(&self, member: &str, number: i32, offset: i64) {
        let mut state = self.state();
        let state = &mut *state;
        let partition = &mut state.partitions[number as usize];
        let history = partition.history.clone();
        let mut complain = |what: &str| {
            state.violations.push(format!("{member} got {offset} of {number}: {what}; before: {history:#?}"));
        };
        if partition.owner.as_deref() != Some(member) {
            // Its heir has taken over: `overlaps` knows.
            if !state.overlaps.iter().any(|overlap| overlap.partition == number && overlap.old == member) {
                complain("it does not own it");
            }
            partition.next = partition.next.max(offset + 1);
            return;
        }
        match partition.position {
            Some(position) if position != offset => complain(&format!("{position} was next")),
            Some(_) => {}
            None if partition.in_order && offset != partition.next => {
                complain(&format!("{} is where its last owner had stopped and committed", partition.next));
            }
            None if offset > partition.next => complain(&format!("nobody has processed {}", partition.next)),
            None if offset < partition.committed => complain(&format!("{} was committed", partition.committed)),
            None => {}
        }
        if offset < partition.next {
            state.repeated += 1;
        }
        partition.position = Some(offset + 1);
        partition.next = partition.next.max(offset + 1);
    }

    /// How far a member has processed what it owns of these; nothing for those of which it has seen no record yet.
    pub fn positions(&self, member: &str, partitions: &[i32]) -> Vec<(i32, i64)> {
        let state = self.state();
        let position = |number: &i32| {
            let partition = &state.partitions[*number as usize];
            let owned = partition.owner.as_deref() == Some(member);
            partition.position.filter(|_| owned).map(|position| (*number, position))
        };
        partitions.iter().filter_map(position).collect()
    }

    pub fn committed(&self, member: &str, number: i32, offset: i64) {
        let mut state = self.state();
        let start = state.start;
        let partition = &mut state.partitions[number as usize];
        if partition.committed != offset {
            partition.note(start, format!("{member} committed {offset}"));
        }
        partition.committed = offset;
    }

    /// The member has left, and whatever it was still given on its way out is nobody's.
    pub fn left(&self, member: &str) {
        let owned = self.owned_by(member);
        self.lost(member, &owned);
    }

    pub fn refused_commit(&self) {
        self.state().refused_commits += 1;
    }

    pub fn violation(&self, text: String) {
        self.state().violations.push(text);
    }

    pub fn owned_by(&self, member: &str) -> Vec<i32> {
        let state = self.state();
        let owned = state.partitions.iter().enumerate().filter(|(_, p)| p.owner.as_deref() == Some(member));
        owned.map(|(number, _)| number as i32).collect()
    }

    pub fn unowned(&self) -> Vec<i32> {
        let state = self.state();
        let unowned = state.partitions.iter().enumerate().filter(|(_, partition)| partition.owner.is_none());
        unowned.map(|(number, _)| number as i32).collect()
    }

    /// How often a member was told an assignment.
    pub fn rebalances_of(&self, member: &str) -> u32 {
        self.state().rebalances.get(member).copied().unwrap_or(0)
    }

    /// One past the last record processed, by partition.
    pub fn next(&self) -> Vec<i64> {
        self.state().partitions.iter().map(|partition| partition.next).collect()
    }

    pub fn committed_offsets(&self) -> Vec<i64> {
        self.state().partitions.iter().map(|partition| partition.committed).collect()
    }

    pub fn processed_in_all(&self) -> i64 {
        self.next().iter().sum()
    }

    /// In how many generations members were told an assignment.
    pub fn generations(&self) -> usize {
        generations(&self.state())
    }

    /// No complaint so far. Overlaps count once nobody can clear them any more.
    #[track_caller]
    pub fn assert_no_violation(&self) {
        let state = self.state();
        assert!(state.violations.is_empty(), "{:#?}", state.violations);
    }

    #[track_caller]
    pub fn close(&self) -> Totals {
        self.assert_no_violation();
        let state = self.state();
        let overlaps: Vec<_> = state.overlaps.iter().map(|overlap| &overlap.text).collect();
        assert!(overlaps.is_empty(), "owned twice: {overlaps:#?}");
        Totals {
            processed: state.partitions.iter().map(|partition| partition.next).sum(),
            repeated: state.repeated,
            refused_commits: state.refused_commits,
            generations: generations(&state),
        }
    }
}

fn generations(state: &State) -> usize {
    state.generations.keys().map(|(generation, _)| generation).collect::<HashSet<_>>().len()
}
