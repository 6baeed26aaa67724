//! Transactional producers of a walk, each with what it believes to be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::op::TransactionOp;
use crate::play::{Done, Play, Topic};
use crate::scenarios::groups::requests::delete as delete_groups;
use crate::scenarios::offsets::requests::fetch;
use crate::scenarios::transactions::requests::{Producer, init};

#[derive(Default)]
pub struct Transactions {
    producers: BTreeMap<u8, Known>,
    /// The simple group whose offsets they commit.
    group: Option<String>,
}

struct Known {
    producer: Producer,
    /// The next sequence in each partition, by the topic's id.
    sequences: BTreeMap<(String, i32), i32>,
}

impl Transactions {
    pub fn perform(&mut self, play: &mut Play, producer: u8, op: &TransactionOp, topics: &[Topic]) -> Done {
        if self.group.is_none() {
            self.group = Some(play.group("of-transactions")?);
        }
        let group = self.group.clone().unwrap_or_default();
        let known = match self.producers.entry(producer) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let begun = play.producer(&format!("producer-{producer}"))?;
                free.insert(Known { producer: begun, sequences: BTreeMap::new() })
            }
        };
        let skipped = |skip: i16| known.producer.with_epoch(known.producer.epoch.wrapping_add(skip).max(-1));
        match *op {
            TransactionOp::Init { again, version } => {
                let id = known.producer.transactional_id.clone();
                let request = if again { known.producer.init_again() } else { init(&id) };
                let answer = play.ask("init", version, request)?;
                play.ended_all(&id)?;
                if answer.error_code == 0 {
                    known.became(answer.producer_id.0, answer.producer_epoch);
                }
            }
            TransactionOp::Add { topic, partition, skip, version } => {
                let topic = &topics[topic as usize];
                play.ask("add a partition", version, skipped(skip).add(version, &[(topic, &[partition])]))?;
            }
            TransactionOp::AddOffsets { skip, version } => {
                play.ask("add offsets", version, skipped(skip).add_offsets(&group))?;
            }
            TransactionOp::Produce { topic, partition, behind, skip, version } => {
                let topic = &topics[topic as usize];
                let place = (topic.id.to_string(), partition);
                let due = known.sequences.get(&place).copied().unwrap_or(0);
                let (by, sequence) = (skipped(skip), (due + behind).max(0));
                let records = by.records(play.t(), sequence, "of a transaction").bytes();
                // With LogAppendTime no two batches share a millisecond, however fast a broker is.
                std::thread::sleep(std::time::Duration::from_millis(2));
                let request = by.produce_to(version, topic, vec![(partition, records)]);
                let answer = play.ask("produce in a transaction", version, request)?;
                if answer.responses[0].partition_responses[0].error_code == 0 && skip == 0 && behind == 0 {
                    known.sequences.insert(place, sequence + 1);
                }
            }
            TransactionOp::CommitOffsets { topic, partition, offset, skip, version } => {
                let topic = &topics[topic as usize];
                let request = skipped(skip).commit_offsets(&group, topic, &[(partition, offset)]);
                play.ask("commit offsets in a transaction", version, request)?;
            }
            TransactionOp::End { commit, skip, version } => {
                let label = if commit { "commit" } else { "abort" };
                let answer = play.ask(label, version, skipped(skip).end(commit))?;
                play.ended_all(&known.producer.transactional_id)?;
                if answer.error_code == 0 && version >= 5 {
                    known.became(answer.producer_id.0, answer.producer_epoch);
                }
            }
            TransactionOp::Describe => {
                play.ask("describe the transaction", 0, known.producer.describe())?;
            }
            TransactionOp::FetchOffsets { stable } => {
                play.ask("offsets of transactions", 7, fetch(7, &group, None).with_require_stable(stable))?;
            }
        }
        Ok(())
    }

    /// After a restart: waits until the coordinator knows them again.
    pub fn connected(&mut self, play: &mut Play) -> Done {
        for known in self.producers.values() {
            play.transactional_id_ready(&known.producer.transactional_id)?;
        }
        match &self.group {
            Some(group) => play.coordinated(group),
            None => Ok(()),
        }
    }

    /// Ends what is open, so that nothing of a walk is left.
    pub fn clean_up(&mut self, play: &mut Play) {
        for known in self.producers.values() {
            let _ = play.initialised(&known.producer.transactional_id);
        }
        if let Some(group) = &self.group {
            let _ = play.quiet(2, delete_groups(&[group]));
        }
    }
}

impl Known {
    fn became(&mut self, id: i64, epoch: i16) {
        if (id, epoch) != (self.producer.id, self.producer.epoch) {
            self.sequences.clear();
        }
        (self.producer.id, self.producer.epoch) = (id, epoch);
    }
}
