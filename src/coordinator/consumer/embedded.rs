//! The `ConsumerProtocol` structures that classic consumers put into their JoinGroup and SyncGroup bytes.

use std::collections::BTreeMap;

use super::subscription::TopicView;
use crate::coordinator::assignor::Assignment;
use crate::coordinator::codec::{Malformed, Reader, Writer};

/// Later versions only add fields at the end: they are read as this one.
const VERSION_MAX: i16 = 3;

pub type NamedPartitions = Vec<(String, Vec<i32>)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    pub version: i16,
    pub topics: Vec<String>,
    /// From version 1.
    pub owned: NamedPartitions,
    /// From version 3.
    pub rack_id: Option<String>,
}

pub fn read_subscription(bytes: &[u8]) -> Result<Subscription, Malformed> {
    let mut r = Reader(bytes);
    let version = read_version(&mut r)?;
    let topics = r.array_of(Reader::string)?;
    r.nullable_bytes()?;
    let mut subscription = Subscription { version, topics, ..Subscription::default() };
    if version >= 1 {
        subscription.owned = read_partitions(&mut r)?;
    }
    if version >= 2 {
        let _generation = r.i32()?;
    }
    if version >= 3 {
        subscription.rack_id = r.nullable_string()?.filter(|rack| !rack.is_empty());
    }
    Ok(subscription)
}

/// Assigned partitions, and whether an assignor of the user's own left data with them.
pub fn read_assignment(bytes: &[u8]) -> Result<(NamedPartitions, bool), Malformed> {
    let mut r = Reader(bytes);
    read_version(&mut r)?;
    let partitions = read_partitions(&mut r)?;
    let user_data = r.nullable_bytes()?.is_some_and(|data| !data.is_empty());
    Ok((partitions, user_data))
}

pub fn write_assignment(version: i16, partitions: &NamedPartitions) -> Vec<u8> {
    let mut w = Writer::default();
    w.i16(version.min(VERSION_MAX));
    w.i32(partitions.len() as i32);
    for (topic, partitions) in partitions {
        w.string(topic).i32(partitions.len() as i32);
        for partition in partitions {
            w.i32(*partition);
        }
    }
    // No user data.
    w.i32(-1);
    w.0
}

fn read_version(r: &mut Reader) -> Result<i16, Malformed> {
    match r.i16()? {
        version if version < 0 => Err(Malformed("a negative version")),
        version => Ok(version.min(VERSION_MAX)),
    }
}

fn read_partitions(r: &mut Reader) -> Result<NamedPartitions, Malformed> {
    r.array_of(|r| Ok((r.string()?, r.array_of(Reader::i32)?)))
}

/// By topic id; topics that are not there are left out.
pub(super) fn to_ids(partitions: &NamedPartitions, topics: &dyn TopicView) -> Assignment {
    let mut assignment = Assignment::new();
    for (name, partitions) in partitions.iter().filter(|(_, partitions)| !partitions.is_empty()) {
        if let Some((id, _)) = topics.topic(name) {
            assignment.entry(id).or_default().extend(partitions.iter().copied());
        }
    }
    assignment
}

/// By topic name; topics that are not there are left out.
pub(super) fn to_names(assignment: &Assignment, topics: &dyn TopicView) -> NamedPartitions {
    let named: BTreeMap<String, Vec<i32>> = assignment
        .iter()
        .filter_map(|(id, partitions)| Some((topics.topic_name(*id)?, partitions.iter().copied().collect())))
        .collect();
    named.into_iter().collect()
}
