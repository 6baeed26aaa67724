use super::*;
use uuid::Uuid;

fn topic(n: u128) -> TopicId {
    TopicId(Uuid::from_u128(n))
}

fn spec(partitions: &[(u128, i32)], members: &[(&str, &[u128])]) -> GroupSpec {
    GroupSpec {
        members: members
            .iter()
            .map(|(id, topics)| {
                let topics = Arc::new(topics.iter().map(|t| topic(*t)).collect());
                ((*id).into(), MemberSpec { topics, ..MemberSpec::default() })
            })
            .collect(),
        partitions: partitions.iter().map(|(t, n)| (topic(*t), *n)).collect(),
    }
}

fn size(assignment: &Assignment) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}

fn sizes(assigned: &BTreeMap<String, Assignment>) -> Vec<usize> {
    assigned.values().map(size).collect()
}

fn moved(before: &BTreeMap<String, Assignment>, after: &BTreeMap<String, Assignment>) -> usize {
    let kept = |(id, assignment): (&String, &Assignment)| -> usize {
        let Some(old) = before.get(id) else { return 0 };
        assignment.iter().map(|(t, ps)| old.get(t).map_or(0, |o| o.intersection(ps).count())).sum()
    };
    after.values().map(size).sum::<usize>() - after.iter().map(kept).sum::<usize>()
}

/// Every partition of every subscribed topic has one owner, who subscribes to it.
fn audit(spec: &GroupSpec, assigned: &BTreeMap<String, Assignment>) {
    let mut owned: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
    for (id, assignment) in assigned {
        for (topic, partitions) in assignment {
            assert!(spec.members[id].topics.contains(topic), "{id} has a topic it does not subscribe to");
            assert!(!partitions.is_empty());
            for p in partitions {
                assert_eq!(owned.insert((*topic, *p), id), None, "{topic}-{p} has two owners");
            }
        }
    }
    let subscribed: BTreeSet<TopicId> = spec.members.values().flat_map(|m| m.topics.iter().copied()).collect();
    let expected: usize = subscribed.iter().map(|t| spec.partition_count(t) as usize).sum();
    assert_eq!(owned.len(), expected, "some partition has no owner");
}

fn carry(spec: &mut GroupSpec, assigned: &BTreeMap<String, Assignment>) {
    for (id, member) in &mut spec.members {
        member.assigned = assigned.get(id).cloned().unwrap_or_default();
    }
}

#[test]
fn range_gives_contiguous_ranges_and_the_first_members_the_rest() {
    let spec = spec(&[(1, 7), (2, 2)], &[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1])]);
    let assigned = Range.assign(&spec);
    audit(&spec, &assigned);
    let of = |id: &str, t| assigned[id].get(&topic(t)).cloned().unwrap_or_default().into_iter().collect::<Vec<_>>();
    assert_eq!((of("a", 1), of("b", 1), of("c", 1)), (vec![0, 1, 2], vec![3, 4], vec![5, 6]));
    assert_eq!((of("a", 2), of("b", 2), of("c", 2)), (vec![0], vec![1], vec![]));
}

#[test]
fn range_orders_static_members_by_instance() {
    let mut spec = spec(&[(1, 2)], &[("a", &[1]), ("z", &[1])]);
    spec.members.get_mut("z").expect("there").instance_id = Some("first".into());
    let assigned = Range.assign(&spec);
    assert_eq!(assigned["z"][&topic(1)], BTreeSet::from([0]));
    assert_eq!(assigned["a"][&topic(1)], BTreeSet::from([1]));
}

#[test]
fn uniform_moves_only_what_it_must() {
    let mut two = spec(&[(1, 6), (2, 4)], &[("a", &[1, 2]), ("b", &[1, 2])]);
    let first = Uniform.assign(&two);
    audit(&two, &first);
    assert_eq!(sizes(&first), [5, 5]);

    let mut three = spec(&[(1, 6), (2, 4)], &[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1, 2])]);
    carry(&mut three, &first);
    let second = Uniform.assign(&three);
    audit(&three, &second);
    assert_eq!(sizes(&second), [4, 3, 3]);
    assert_eq!(moved(&first, &second), 3, "only what c gets moves");

    carry(&mut two, &second);
    let third = Uniform.assign(&two);
    audit(&two, &third);
    assert_eq!(sizes(&third), [5, 5]);
    assert_eq!(moved(&second, &third), 3);
}

#[test]
fn uniform_leaves_an_even_group_alone() {
    // The last member has the one partition more: it may keep it.
    let mut group = spec(&[(1, 4)], &[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    let held = [("a", vec![0]), ("b", vec![1]), ("c", vec![2, 3])];
    let before: BTreeMap<String, Assignment> =
        held.iter().map(|(id, p)| ((*id).into(), [(topic(1), p.iter().copied().collect())].into())).collect();
    carry(&mut group, &before);
    assert_eq!(Uniform.assign(&group), before);
}

#[test]
fn uniform_with_different_subscriptions_is_even_where_it_can_be() {
    let group = spec(&[(1, 3), (2, 6)], &[("a", &[1]), ("b", &[1, 2]), ("c", &[2])]);
    let assigned = Uniform.assign(&group);
    audit(&group, &assigned);
    assert_eq!(sizes(&assigned), [3, 3, 3]);
}

#[test]
fn nobody_and_nothing() {
    for assignor in ASSIGNORS {
        assert!(assignor.assign(&GroupSpec::default()).is_empty());
        let idle = spec(&[], &[("a", &[]), ("b", &[])]);
        assert_eq!(assignor.assign(&idle).values().map(size).sum::<usize>(), 0);
        let unknown = spec(&[], &[("a", &[9])]);
        audit(&unknown, &assignor.assign(&unknown));
    }
}

/// Numbers that are the same in every run.
struct Walk(u64);

impl Walk {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn random_groups_are_whole_even_and_settled() {
    for seed in 0..300 {
        let mut walk = Walk(seed);
        let topics: Vec<(u128, i32)> = (1..=walk.below(6) as u128 + 1).map(|t| (t, walk.below(12) as i32)).collect();
        let same = walk.below(2) == 0;
        let mut before = BTreeMap::new();
        for _ in 0..6 {
            let members = walk.below(8) + 1;
            let ids: Vec<String> = (0..members).map(|_| format!("m{}", walk.below(12))).collect();
            let chosen: Vec<Vec<u128>> = ids
                .iter()
                .map(|_| topics.iter().map(|t| t.0).filter(|_| same || walk.below(2) == 0).collect())
                .collect();
            let members: Vec<(&str, &[u128])> = ids.iter().zip(&chosen).map(|(i, t)| (i.as_str(), &t[..])).collect();
            let mut group = spec(&topics, &members);
            audit(&group, &Range.assign(&group));
            carry(&mut group, &before);
            let assigned = Uniform.assign(&group);
            audit(&group, &assigned);
            if same {
                let sizes = sizes(&assigned);
                let spread = sizes.iter().max().expect("members") - sizes.iter().min().expect("members");
                assert!(spread <= 1, "seed {seed}: {sizes:?}");
            }
            carry(&mut group, &assigned);
            assert_eq!(Uniform.assign(&group), assigned, "seed {seed}: an assigned group stays as it is");
            before = assigned;
        }
    }
}
