//! LeaveGroup: members that go of their own accord, or that an administrator removes.

use super::{ClassicGroup, Limits};
use crate::coordinator::GroupError;
use crate::coordinator::shard::Effects;

/// Who leaves: by member id, or a static member by its instance id alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    pub member_id: String,
    pub instance_id: Option<String>,
}

impl ClassicGroup {
    pub fn leave(
        &mut self,
        leaving: &Leaving,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) -> Result<(), GroupError> {
        let id = match &leaving.instance_id {
            Some(instance) => {
                let owner = self.static_members.get(instance).ok_or(GroupError::UnknownMemberId)?;
                if !leaving.member_id.is_empty() && *owner != leaving.member_id {
                    return Err(GroupError::FencedInstanceId);
                }
                owner.clone()
            }
            None => leaving.member_id.clone(),
        };
        if self.pending.remove(&id).is_some() {
            self.complete_join_if_all_are_here(now_ms, effects);
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(GroupError::UnknownMemberId);
        }
        self.remove_member(&id, effects);
        self.rebalance_after_removal(now_ms, limits, effects);
        Ok(())
    }
}
