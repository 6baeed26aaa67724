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
    /// One result for each; the group rebalances once. Also one that was given an id and never joined makes it do so.
    pub fn leave(
        &mut self,
        leaving: &[Leaving],
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) -> Vec<Result<(), GroupError>> {
        let results: Vec<_> = leaving.iter().map(|one| self.remove_leaving(one, effects)).collect();
        if results.iter().any(Result::is_ok) {
            self.rebalance_after_removal(now_ms, limits, effects);
        }
        results
    }

    fn remove_leaving(&mut self, leaving: &Leaving, effects: &mut Effects) -> Result<(), GroupError> {
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
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(GroupError::UnknownMemberId);
        }
        self.remove_member(&id, effects);
        Ok(())
    }
}
