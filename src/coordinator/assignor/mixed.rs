//! `uniform` for members with different subscriptions: keep, deal out, then even out topic by topic.
//!
//! Perfectly even where all subscribers of a topic have the same subscriptions; nearly so where subscriptions overlap,
//! because the evening out is local to one topic at a time and ends after a fixed number of rounds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignment, GroupSpec, add};
use crate::base::TopicId;

/// Rounds over all topics. Each about halves what is uneven.
const ROUNDS_MAX: usize = 16;

/// Members by their place in the order of ids.
struct Builder<'a> {
    spec: &'a GroupSpec,
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    owners: BTreeMap<TopicId, Vec<Option<usize>>>,
    /// Partitions per member, over all topics.
    sizes: Vec<usize>,
}

pub(super) fn assign(spec: &GroupSpec) -> BTreeMap<String, Assignment> {
    let mut builder = Builder::new(spec);
    builder.keep();
    let topics = builder.topics_in_order();
    for topic in &topics {
        builder.deal_out(topic);
    }
    builder.even_out(&topics);
    builder.finish()
}

impl<'a> Builder<'a> {
    fn new(spec: &'a GroupSpec) -> Builder<'a> {
        let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        for (index, member) in spec.members.values().enumerate() {
            for topic in member.topics.iter() {
                subscribers.entry(*topic).or_default().push(index);
            }
        }
        let owners = subscribers.keys().map(|t| (*t, vec![None; spec.partition_count(t).max(0) as usize])).collect();
        Builder { spec, subscribers, owners, sizes: vec![0; spec.members.len()] }
    }

    /// Everyone keeps what is still subscribed.
    fn keep(&mut self) {
        for (index, member) in self.spec.members.values().enumerate() {
            for (topic, partitions) in member.assigned.iter().filter(|(t, _)| member.topics.contains(*t)) {
                let owners = self.owners.get_mut(topic).expect("a subscribed topic");
                for &partition in partitions {
                    if let Some(owner @ None) = owners.get_mut(partition as usize) {
                        *owner = Some(index);
                        self.sizes[index] += 1;
                    }
                }
            }
        }
    }

    /// The topics with the most partitions per subscriber first: they leave the least choice. Then those with the
    /// fewest subscribers.
    fn topics_in_order(&self) -> Vec<TopicId> {
        let mut topics: Vec<TopicId> = self.subscribers.keys().copied().collect();
        topics.sort_by(|a, b| {
            let (pa, pb) = (self.owners[a].len(), self.owners[b].len());
            let (sa, sb) = (self.subscribers[a].len(), self.subscribers[b].len());
            // Compares pb/sb with pa/sa without dividing.
            (pb * sa).cmp(&(pa * sb)).then(sa.cmp(&sb))
        });
        topics
    }

    /// Gives each unowned partition of a topic to its least loaded subscriber.
    fn deal_out(&mut self, topic: &TopicId) {
        let mut by_load = self.by_load(topic);
        let owners = self.owners.get_mut(topic).expect("a subscribed topic");
        for owner in owners.iter_mut().filter(|o| o.is_none()) {
            let (size, member) = by_load.pop_first().expect("a topic has subscribers");
            *owner = Some(member);
            self.sizes[member] = size + 1;
            by_load.insert((size + 1, member));
        }
    }

    fn by_load(&self, topic: &TopicId) -> BTreeSet<(usize, usize)> {
        self.subscribers[topic].iter().map(|&m| (self.sizes[m], m)).collect()
    }

    fn even_out(&mut self, topics: &[TopicId]) {
        let shared: Vec<&TopicId> = topics.iter().filter(|t| self.subscribers[*t].len() >= 2).collect();
        // Ends when a whole round in a row, wherever it began, moved nothing.
        let mut untouched = 0;
        for _ in 0..ROUNDS_MAX {
            for topic in &shared {
                untouched = if self.even_out_topic(topic) { 0 } else { untouched + 1 };
                if untouched >= shared.len() {
                    return;
                }
            }
        }
    }

    /// Moves partitions of one topic from its most to its least loaded subscribers while that makes them more even.
    fn even_out_topic(&mut self, topic: &TopicId) -> bool {
        let mut by_load = self.by_load(topic);
        let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in self.owners[topic].iter().enumerate() {
            owned.entry(owner.expect("all were dealt out")).or_default().push(partition);
        }
        let mut donors: BTreeSet<(usize, usize)> = owned.keys().map(|&m| (self.sizes[m], m)).collect();
        let mut moved = false;
        while let (Some(&(most, donor)), Some(&(least, receiver))) = (donors.last(), by_load.first()) {
            if most - least <= 1 {
                break;
            }
            let partitions = owned.get_mut(&donor).expect("donors own partitions");
            let partition = partitions.pop().expect("donors own partitions");
            let emptied = partitions.is_empty();
            self.owners.get_mut(topic).expect("a subscribed topic")[partition] = Some(receiver);

            donors.remove(&(most, donor));
            by_load.remove(&(most, donor));
            self.sizes[donor] = most - 1;
            by_load.insert((most - 1, donor));
            if !emptied {
                donors.insert((most - 1, donor));
            }
            by_load.remove(&(least, receiver));
            self.sizes[receiver] = least + 1;
            by_load.insert((least + 1, receiver));
            if donors.remove(&(least, receiver)) {
                donors.insert((least + 1, receiver));
            }
            moved = true;
        }
        moved
    }

    fn finish(self) -> BTreeMap<String, Assignment> {
        let ids: Vec<&String> = self.spec.members.keys().collect();
        let mut assigned: BTreeMap<String, Assignment> =
            ids.iter().map(|id| ((*id).clone(), Assignment::new())).collect();
        for (topic, owners) in &self.owners {
            for (partition, owner) in owners.iter().enumerate() {
                let id = ids[owner.expect("all were dealt out")];
                add(assigned.get_mut(id).expect("every member is there"), *topic, partition as i32);
            }
        }
        assigned
    }
}
