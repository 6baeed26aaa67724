//! `range`: each topic's partitions in contiguous ranges, so that topics with equal counts and subscribers are
//! co-partitioned (Kafka's RangeAssignor). Not sticky, except that static members keep their place in the order.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, GroupSpec};
use crate::base::TopicId;

pub struct Range;

/// What is left of one topic while members take their ranges in order.
struct Remainder {
    next: i32,
    end: i32,
    quota: i32,
    /// Members that still get one more than the quota.
    extra: i32,
}

impl Remainder {
    fn take(&mut self) -> std::ops::Range<i32> {
        let start = self.next;
        let extra = i32::from(self.extra > 0);
        self.extra -= extra;
        self.next = (start + self.quota + extra).min(self.end);
        start..self.next
    }
}

impl Assignor for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, spec: &GroupSpec) -> BTreeMap<String, Assignment> {
        let mut subscribers: BTreeMap<TopicId, i32> = BTreeMap::new();
        for topic in spec.members.values().flat_map(|m| m.topics.iter()) {
            *subscribers.entry(*topic).or_default() += 1;
        }
        let mut topics: BTreeMap<TopicId, Remainder> = subscribers
            .into_iter()
            .map(|(topic, members)| {
                let end = spec.partition_count(&topic);
                (topic, Remainder { next: 0, end, quota: end / members, extra: end % members })
            })
            .collect();

        let mut assigned = BTreeMap::new();
        for id in in_order(spec) {
            let mut assignment = Assignment::new();
            for topic in spec.members[id].topics.iter() {
                let range = topics.get_mut(topic).expect("counted above").take();
                if !range.is_empty() {
                    assignment.insert(*topic, range.collect());
                }
            }
            assigned.insert(id.clone(), assignment);
        }
        assigned
    }
}

/// Static members first, by instance id: it outlives the member id, so a restarted member gets the same range.
fn in_order(spec: &GroupSpec) -> Vec<&String> {
    let mut ids: Vec<&String> = spec.members.keys().collect();
    ids.sort_by_key(|id| {
        let instance = spec.members[*id].instance_id.as_deref();
        (instance.is_none(), instance, *id)
    });
    ids
}
