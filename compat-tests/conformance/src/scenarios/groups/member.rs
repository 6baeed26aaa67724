//! Members that are there before a scenario begins. How they came is played elsewhere, and not recorded here.

use super::requests::*;
use crate::play::{Done, Play, Stop};

/// A member of a classic group, and the generation in which it is.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub generation: i32,
}

/// Joins as the only member, without an assignment yet: the group is CompletingRebalance.
pub fn joined(play: &mut Play, join: &Join) -> Done<Member> {
    let version = if join.instance.is_some() { 5 } else { 3 };
    let answer = play.quiet(version, join.at(version))?;
    if answer.error_code != 0 {
        return Err(Stop(format!("cannot join {}: {answer:?}", join.group)));
    }
    play.names.member(&answer.member_id);
    Ok(Member { id: answer.member_id.to_string(), generation: answer.generation_id })
}

/// The only member of a Stable group, with the assignment "all".
pub fn alone(play: &mut Play, join: &Join) -> Done<Member> {
    let member = joined(play, join)?;
    let request = sync(3, &join.group, member.generation, &member.id, &[(&member.id, "all")]);
    let answer = play.quiet(3, request)?;
    if answer.error_code != 0 {
        return Err(Stop(format!("cannot sync {}: {answer:?}", join.group)));
    }
    Ok(member)
}

/// Leader and follower of a group that is CompletingRebalance, with the first two generations behind it.
pub fn two_joined(play: &mut Play, first: &Join, second: &Join) -> Done<(Member, Member)> {
    let leader = alone(play, first)?;
    let version = if second.instance.is_some() { 5 } else { 3 };
    let joining = play.start("joining", version, second.at(version))?;
    play.group_is(&first.group, "PreparingRebalance")?;
    let leader = joined(play, &first.clone().member(&leader.id))?;
    let answer = play.ended(joining)?;
    if answer.error_code != 0 {
        return Err(Stop(format!("cannot join {}: {answer:?}", second.group)));
    }
    play.names.member(&answer.member_id);
    play.close("joining");
    Ok((leader, Member { id: answer.member_id.to_string(), generation: answer.generation_id }))
}

/// Leader and follower of a Stable group of generation 2, with the assignments "half a" and "half b".
pub fn two(play: &mut Play, first: &Join, second: &Join) -> Done<(Member, Member)> {
    let (leader, follower) = two_joined(play, first, second)?;
    let assigned = [(leader.id.as_str(), "half a"), (follower.id.as_str(), "half b")];
    play.quiet(3, sync(3, &first.group, leader.generation, &leader.id, &assigned))?;
    play.quiet(3, sync(3, &first.group, follower.generation, &follower.id, &[]))?;
    Ok((leader, follower))
}
