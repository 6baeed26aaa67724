//! Groups as tools see them: listed, described, deleted.

use bytes::Bytes;

use super::{Effects, Group, Shard, kip848};
use crate::coordinator::GroupError;
use crate::coordinator::classic::ClassicState;
use crate::coordinator::offsets::{GroupOffsets, tombstone};
use crate::coordinator::records::GroupRecord;

/// One row of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group: String,
    pub protocol_type: String,
    pub state: &'static str,
    pub group_type: &'static str,
}

/// One group of DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    pub state: ClassicState,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl Shard {
    /// The type of a group, "classic" or "consumer"; `None` if there is none of that name.
    pub fn group_type(&self, group: &str) -> Option<&'static str> {
        self.groups.get(group).map(|group| match group {
            Group::Classic(_) => "classic",
            Group::Consumer(_) => "consumer",
        })
    }

    /// A classic group; one of the new protocol is unknown here, as in Kafka.
    pub fn describe(&self, group: &str) -> Option<DescribedGroup> {
        let Group::Classic(group) = self.groups.get(group)? else { return None };
        let stable = group.state() == ClassicState::Stable;
        let protocol = if stable { group.protocol() } else { None };
        Some(DescribedGroup {
            state: group.state(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: group
                .members()
                .map(|m| DescribedMember {
                    member_id: m.id.clone(),
                    instance_id: m.instance_id.clone(),
                    client_id: m.client_id.clone(),
                    client_host: m.client_host.clone(),
                    metadata: protocol.map(|p| m.metadata(p).clone()).unwrap_or_default(),
                    assignment: m.assignment.clone(),
                })
                .collect(),
        })
    }

    pub fn list(&self) -> impl Iterator<Item = GroupListing> {
        self.groups.iter().map(|(id, group)| match group {
            Group::Classic(group) => GroupListing {
                group: id.clone(),
                protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
                state: group.state().name(),
                group_type: "classic",
            },
            Group::Consumer(group) => GroupListing {
                group: id.clone(),
                protocol_type: kip848::migrate::PROTOCOL_TYPE.to_owned(),
                state: group.state().name(),
                group_type: "consumer",
            },
        })
    }

    pub fn delete(&mut self, group: &str, effects: &mut Effects) -> Result<(), GroupError> {
        let found = self.groups.get(group).ok_or(GroupError::GroupIdNotFound)?;
        if !found.is_empty() {
            return Err(GroupError::NonEmptyGroup);
        }
        for (topic, partition, _) in self.offsets.get(group).into_iter().flat_map(GroupOffsets::iter) {
            effects.records.push(tombstone(group, topic, partition));
        }
        for (topic, partition, _) in self.pending.of_group(group).flat_map(GroupOffsets::iter) {
            effects.records.push(tombstone(group, topic, partition));
        }
        self.delete_group(group, effects);
        Ok(())
    }

    pub(super) fn delete_group(&mut self, group: &str, effects: &mut Effects) {
        match self.groups.get(group) {
            Some(Group::Consumer(_)) => self.delete_consumer_group(group, effects),
            Some(Group::Classic(_)) => {
                effects.records.push(GroupRecord::ClassicGroup { group: group.to_owned(), value: None });
                self.groups.remove(group);
            }
            None => {}
        }
    }

    pub(super) fn delete_consumer_group(&mut self, group: &str, effects: &mut Effects) {
        let Some(Group::Consumer(found)) = self.groups.remove(group) else { return };
        let mut changes = Vec::new();
        kip848::migrate::group_tombstones(&found, None, &mut changes);
        let record = |change| GroupRecord::Consumer { group: group.to_owned(), change };
        effects.records.extend(changes.into_iter().map(record));
    }
}
