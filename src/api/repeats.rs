//! Requests that name a topic or a partition more than once. Kafka reads partitions into a map: each is there once, in the
//! place where it came first, with what was said of it last; and a topic without partitions is not there at all.

use std::collections::HashSet;
use std::hash::Hash;

use indexmap::IndexMap;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use uuid::Uuid;

/// A topic in a request, with the partitions that are meant.
pub trait TopicPart {
    type Partition;

    /// Its name, or its id where the version has ids.
    fn topic(&self) -> (&str, Uuid);
    fn partitions(&self) -> &Vec<Self::Partition>;
    fn partitions_mut(&mut self) -> &mut Vec<Self::Partition>;
    fn index(partition: &Self::Partition) -> i32;
}

/// Whether each topic and partition is named once, and every topic has partitions, as in any request of a client.
pub fn is_plain<T: TopicPart>(topics: &[T]) -> bool {
    topics.iter().all(|t| !t.partitions().is_empty() && all_distinct(t.partitions(), T::index))
        && all_distinct(topics, T::topic)
}

/// Makes a request plain. Costs nothing but the look where it is so already.
pub fn once_each<T: TopicPart>(topics: Vec<T>) -> Vec<T> {
    if is_plain(&topics) {
        return topics;
    }
    let mut merged: IndexMap<(String, Uuid), T> = IndexMap::new();
    for mut topic in topics {
        let (name, id) = topic.topic();
        match merged.entry((name.to_owned(), id)) {
            indexmap::map::Entry::Occupied(mut first) => {
                first.get_mut().partitions_mut().append(topic.partitions_mut());
            }
            indexmap::map::Entry::Vacant(free) => {
                free.insert(topic);
            }
        }
    }
    let mut topics: Vec<T> = merged.into_values().collect();
    for topic in &mut topics {
        keep_last(topic.partitions_mut(), T::index);
    }
    topics.retain(|topic| !topic.partitions().is_empty());
    topics
}

/// Of those with equal keys keeps the last, in the place of the first.
pub fn keep_last<P, K: Eq + Hash>(list: &mut Vec<P>, key: impl Fn(&P) -> K) {
    let map: IndexMap<K, P> = list.drain(..).map(|item| (key(&item), item)).collect();
    list.extend(map.into_values());
}

/// Up to here, lists are compared pair by pair: that needs no memory.
const PAIRWISE_MAX: usize = 16;

/// Whether no two of them have equal keys.
pub fn all_distinct<'a, P, K: Eq + Hash>(list: &'a [P], key: impl Fn(&'a P) -> K) -> bool {
    if list.len() <= PAIRWISE_MAX {
        return list.iter().enumerate().all(|(i, item)| list[..i].iter().all(|other| key(other) != key(item)));
    }
    let mut seen = HashSet::with_capacity(list.len());
    list.iter().all(|item| seen.insert(key(item)))
}

impl TopicPart for TopicProduceData {
    type Partition = PartitionProduceData;

    fn topic(&self) -> (&str, Uuid) {
        (&self.name, self.topic_id)
    }
    fn partitions(&self) -> &Vec<PartitionProduceData> {
        &self.partition_data
    }
    fn partitions_mut(&mut self) -> &mut Vec<PartitionProduceData> {
        &mut self.partition_data
    }
    fn index(partition: &PartitionProduceData) -> i32 {
        partition.index
    }
}

impl TopicPart for ListOffsetsTopic {
    type Partition = ListOffsetsPartition;

    fn topic(&self) -> (&str, Uuid) {
        (&self.name, Uuid::nil())
    }
    fn partitions(&self) -> &Vec<ListOffsetsPartition> {
        &self.partitions
    }
    fn partitions_mut(&mut self) -> &mut Vec<ListOffsetsPartition> {
        &mut self.partitions
    }
    fn index(partition: &ListOffsetsPartition) -> i32 {
        partition.partition_index
    }
}

impl TopicPart for DeleteRecordsTopic {
    type Partition = DeleteRecordsPartition;

    fn topic(&self) -> (&str, Uuid) {
        (&self.name, Uuid::nil())
    }
    fn partitions(&self) -> &Vec<DeleteRecordsPartition> {
        &self.partitions
    }
    fn partitions_mut(&mut self) -> &mut Vec<DeleteRecordsPartition> {
        &mut self.partitions
    }
    fn index(partition: &DeleteRecordsPartition) -> i32 {
        partition.partition_index
    }
}

#[cfg(test)]
mod tests;
