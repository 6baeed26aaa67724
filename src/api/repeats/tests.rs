use super::*;

fn topic(name: &'static str, partitions: &[(i32, i64)]) -> DeleteRecordsTopic {
    let partitions = partitions
        .iter()
        .map(|(index, offset)| DeleteRecordsPartition::default().with_partition_index(*index).with_offset(*offset));
    DeleteRecordsTopic::default()
        .with_name(kafka_protocol::protocol::StrBytes::from_static_str(name).into())
        .with_partitions(partitions.collect())
}

#[test]
fn the_last_of_each_partition_stays_in_the_place_of_the_first() {
    let asked = vec![topic("a", &[(0, 1), (1, 2)]), topic("b", &[]), topic("c", &[(0, 3)]), topic("a", &[(0, 4)])];
    assert!(!is_plain(&asked));
    let plain = once_each(asked);
    assert!(is_plain(&plain));
    assert_eq!(plain, vec![topic("a", &[(0, 4), (1, 2)]), topic("c", &[(0, 3)])]);
}

#[test]
fn long_lists_are_compared_too() {
    let numbers: Vec<i32> = (0..100).collect();
    assert!(all_distinct(&numbers, |n| *n));
    assert!(!all_distinct(&numbers, |n| *n / 2));
    assert!(!all_distinct(&numbers[..4], |n| *n / 2));
}
