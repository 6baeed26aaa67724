//! `uniform`, the default: as even as possible, and sticky (Kafka's UniformAssignor).

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignment, Assignor, GroupSpec, add, mixed};
use crate::base::TopicId;

pub struct Uniform;

impl Assignor for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn assign(&self, spec: &GroupSpec) -> BTreeMap<String, Assignment> {
        if spec.is_homogeneous() { assign_homogeneous(spec) } else { mixed::assign(spec) }
    }
}

/// All members subscribe to the same topics: everyone keeps what fits the quota, then the rest is dealt out. Members'
/// sizes differ by one at most.
fn assign_homogeneous(spec: &GroupSpec) -> BTreeMap<String, Assignment> {
    let Some(first) = spec.members.values().next() else { return BTreeMap::new() };
    let topics = &first.topics;
    let mut free: BTreeSet<(TopicId, i32)> =
        topics.iter().flat_map(|t| (0..spec.partition_count(t)).map(|p| (*t, p))).collect();

    let members = spec.members.len();
    let quota = free.len() / members;
    let mut extra_left = free.len() % members;

    let mut assigned: BTreeMap<String, Assignment> = BTreeMap::new();
    let mut unfilled: Vec<(&String, usize)> = Vec::new();
    for (index, (id, member)) in spec.members.iter().enumerate() {
        let may_have_extra = extra_left > 0;
        let mut room = quota + usize::from(may_have_extra);
        let mut kept = Assignment::new();
        for (topic, partitions) in &member.assigned {
            for &partition in partitions {
                // Absent: not subscribed any more, or the topic is gone.
                if room > 0 && free.remove(&(*topic, partition)) {
                    add(&mut kept, *topic, partition);
                    room -= 1;
                }
            }
        }
        let mut has_extra = may_have_extra;
        // An unused extra partition goes on to a later member that may hold it already, while enough of them are left.
        if may_have_extra && room > 0 && members - index > extra_left {
            room -= 1;
            has_extra = false;
        }
        extra_left -= usize::from(has_extra);
        if room > 0 {
            unfilled.push((id, room));
        }
        assigned.insert(id.clone(), kept);
    }

    let mut rest = free.into_iter();
    for (id, room) in unfilled {
        let assignment = assigned.get_mut(id).expect("inserted above");
        for (topic, partition) in rest.by_ref().take(room) {
            add(assignment, topic, partition);
        }
    }
    debug_assert!(rest.next().is_none(), "the quotas add up to all partitions");
    assigned
}
