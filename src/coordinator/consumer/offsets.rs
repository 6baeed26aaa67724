//! Whether a member may commit and fetch offsets.

use super::ConsumerGroup;
use super::error::{GroupError, Refusal};
use super::heartbeat::unknown_member;
use super::member::Member;

/// First version of OffsetCommit that knows member epochs.
const COMMIT_VERSION_MIN: i16 = 9;

/// Who commits: what OffsetCommit or TxnOffsetCommit says.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    /// Member epoch or generation; -1 for none.
    pub epoch: i32,
    pub transactional: bool,
    /// Of OffsetCommit; without meaning in a transaction.
    pub api_version: i16,
}

impl ConsumerGroup {
    /// Errors: UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH (in a transaction the caller answers
    /// ILLEGAL_GENERATION instead, as Kafka does), ILLEGAL_GENERATION for classic members.
    pub fn may_commit(&self, committer: &Committer) -> Result<(), Refusal> {
        // Tools, and consumers that assign themselves.
        if committer.epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        // A producer without the group's metadata (before KIP-447).
        let anonymous = committer.member_id.is_empty() && committer.instance_id.is_none();
        if committer.transactional && committer.epoch == -1 && anonymous {
            return Ok(());
        }
        let member = self.member(committer.member_id).ok_or_else(|| unknown_member(self, committer.member_id))?;
        let modern = !member.uses_classic_protocol();
        if !committer.transactional && modern && committer.api_version < COMMIT_VERSION_MIN {
            let message = "OffsetCommit version 9 or above must be used by members using the modern group protocol";
            return Err(Refusal::new(GroupError::UnsupportedVersion, message));
        }
        same_epoch(member, committer.epoch)
    }

    /// Errors: UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION for classic members.
    pub fn may_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), Refusal> {
        let Some(member_id) = member_id.or((epoch >= 0).then_some("")) else { return Ok(()) };
        let member = self.member(member_id).ok_or_else(|| unknown_member(self, member_id))?;
        same_epoch(member, epoch)
    }
}

fn same_epoch(member: &Member, received: i32) -> Result<(), Refusal> {
    let known = member.epoch;
    if received == known {
        return Ok(());
    }
    let (name, what) = match member.uses_classic_protocol() {
        true => (GroupError::IllegalGeneration, "generation id"),
        false => (GroupError::StaleMemberEpoch, "member epoch"),
    };
    let message = format!("The received {what} {received} does not match the expected member epoch {known}.");
    Err(Refusal::new(name, message))
}
