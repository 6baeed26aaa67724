//! Classic groups in a walk: what its members know from the answers so far, and their requests that wait.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};

use super::op::{GROUPS, GroupOp, MEMBERS};
use crate::play::{Done, Parked, Play, Topic, text};
use crate::scenarios::groups::requests as groups;
use crate::scenarios::offsets::requests as offsets;

/// Longer than any walk: what expires by itself is no matter of steps.
const TIMEOUT_MS: i32 = 1_700_000;
/// What a step ends is answered that soon after it.
const WAKES_WITHIN: Duration = Duration::from_millis(100);
const INSTANCE: &str = "i";

#[derive(Default)]
pub struct Groups {
    known: BTreeMap<u8, Group>,
    /// The broker was stopped since: it must find its groups again.
    stopped: bool,
}

#[derive(Default)]
struct Group {
    name: String,
    /// Somebody has joined: until then Kafka shows a group with pending members now, and now not.
    visible: bool,
    leader: String,
    members: BTreeMap<u8, Member>,
}

#[derive(Default)]
struct Member {
    id: String,
    generation: i32,
    waiting: Option<Waiting>,
}

enum Waiting {
    Join(Parked<JoinGroupRequest>),
    Sync(Parked<SyncGroupRequest>),
}

impl Groups {
    pub fn perform(&mut self, play: &mut Play, group: u8, op: &GroupOp, topics: &[Topic]) -> Done {
        if let Entry::Vacant(vacant) = self.known.entry(group) {
            vacant.insert(Group { name: play.group(&format!("g{group}"))?, ..Group::default() });
        }
        if std::mem::take(&mut self.stopped) {
            self.known.values().try_for_each(|group| play.coordinated(&group.name))?;
        }
        // A group that may or may not be shown is not looked at.
        let all_visible = self.known.values().all(|g| g.visible || g.members.values().all(|m| m.id.is_empty()));
        let known = self.known.get_mut(&group).expect("just inserted");
        match op {
            GroupOp::List { version } if all_visible => {
                play.ask("list groups", *version, groups::list(&[], &[]))?;
            }
            GroupOp::Describe { version } if known.visible => {
                play.ask("describe a group", *version, groups::describe(&[&known.name]))?;
            }
            GroupOp::List { .. } | GroupOp::Describe { .. } => {}
            op => known.perform(play, group, op, topics)?,
        }
        known.wake(play)
    }

    /// Waits until no group has offsets of a topic that was deleted.
    pub fn forget(&self, play: &mut Play, topic: &str) -> Done {
        for group in self.known.values() {
            play.wait(&format!("{} forgets {topic}", group.name), |play| {
                let answer = play.quiet(5, offsets::fetch(5, &group.name, None))?;
                Ok(answer.topics.iter().all(|t| t.name.as_str() != topic))
            })?;
        }
        Ok(())
    }

    /// Requests that wait are lost, and with them what was not written yet.
    pub fn disconnected(&mut self) {
        self.stopped = true;
        for group in self.known.values_mut() {
            group.leader.clear();
            group.members.values_mut().for_each(|member| member.waiting = None);
        }
    }

    pub fn clean_up(&self, play: &mut Play) {
        for group in self.known.values() {
            for id in group.members.values().map(|member| &member.id).filter(|id| !id.is_empty()) {
                let _ = play.quiet(1, groups::leave(1, &group.name, id));
            }
            let _ = play.quiet(1, groups::delete(&[&group.name]));
        }
    }
}

impl Group {
    fn perform(&mut self, play: &mut Play, group: u8, op: &GroupOp, topics: &[Topic]) -> Done {
        match *op {
            GroupOp::Join { member, fresh, protocols, version } => {
                self.join(play, group, member, fresh, protocols, version)?
            }
            GroupOp::Sync { member, skip, version } => self.sync(play, group, member, skip, version)?,
            GroupOp::Heartbeat { member, skip, version } => {
                let (id, generation) = self.who(member);
                play.ask("heartbeat", version, groups::heartbeat(&self.name, generation + skip, &id))?;
            }
            GroupOp::Leave { member, version } => {
                let (id, _) = self.who(member);
                let others = self.members.values().filter(|m| !m.id.is_empty() || m.waiting.is_some()).count() > 2;
                if others && (id == self.leader || self.leader.is_empty()) {
                    // Whom of two others Kafka makes the leader is chance.
                    return Ok(());
                }
                let answer = play.ask("leave", version, groups::leave(version, &self.name, &id))?;
                if answer.error_code == 0 && answer.members.iter().all(|m| m.error_code == 0) {
                    let known = self.member(member);
                    known.id.clear();
                    // Kafka never answers it (sync-group/leaves).
                    if matches!(known.waiting, Some(Waiting::Sync(_))) {
                        known.waiting = None;
                        play.close(&connection(group, member));
                    }
                }
            }
            GroupOp::Commit { member, skip, topic, partition, offset, version } => {
                let (id, generation) = member.map_or((String::new(), -1), |member| self.who(member));
                let at = vec![offsets::offsets(&topics[usize::from(topic)], &[(partition, offset)])];
                play.ask("commit", version, offsets::commit_by(&self.name, (generation + skip, &id), at))?;
            }
            GroupOp::FetchOffsets { topic, version } => {
                let partitions = topic.map(|(topic, partition)| (&topics[usize::from(topic)], [partition]));
                let asked: Vec<(&str, &[i32])> =
                    partitions.iter().map(|(topic, partitions)| (topic.name.as_str(), &partitions[..])).collect();
                let asked = topic.is_some().then_some(asked.as_slice());
                play.ask("fetch offsets", version, offsets::fetch(version, &self.name, asked))?;
            }
            GroupOp::DeleteOffset { topic, partition } => {
                let topic: &str = &topics[usize::from(topic)];
                play.ask("delete an offset", 0, offsets::delete(&self.name, &[(topic, &[partition])]))?;
            }
            GroupOp::Delete { version } => {
                let answer = play.ask("delete the group", version, groups::delete(&[&self.name]))?;
                self.visible &= answer.results[0].error_code != 0;
            }
            GroupOp::Describe { .. } | GroupOp::List { .. } => {}
        }
        Ok(())
    }

    fn member(&mut self, member: u8) -> &mut Member {
        self.members.entry(member).or_default()
    }

    /// A member's id and generation. Who has no id is a stranger.
    fn who(&mut self, member: u8) -> (String, i32) {
        let known = self.member(member);
        let id = if known.id.is_empty() { format!("stranger {member}") } else { known.id.clone() };
        (id, known.generation)
    }

    fn join(
        &mut self,
        play: &mut Play,
        group: u8,
        member: u8,
        fresh: bool,
        protocols: &[(&'static str, &'static str)],
        version: i16,
    ) -> Done {
        let name = self.name.clone();
        let known = self.member(member);
        if known.waiting.is_some() {
            return Ok(());
        }
        let is_static = member == MEMBERS - 1;
        // A dynamic process that forgets its id would leave a member behind that never joins again.
        let id = if fresh && is_static { String::new() } else { known.id.clone() };
        let mut join = groups::join(&name, "").protocols(protocols).member(&id);
        join = join.session(TIMEOUT_MS).rebalance(TIMEOUT_MS);
        if is_static {
            join = join.instance(INSTANCE);
        }
        // By its name a member is told from others before it knows its id.
        play.client_id(&format!("client-{member}"));
        let parked = play.park(&connection(group, member), version, join.at(version));
        play.client_id("conformance");
        let parked = parked?;
        known.waiting = Some(Waiting::Join(parked));
        self.answered(play, member)
    }

    fn sync(&mut self, play: &mut Play, group: u8, member: u8, skip: i32, version: i16) -> Done {
        let (id, generation) = self.who(member);
        if self.member(member).waiting.is_some() {
            return Ok(());
        }
        let parts: Vec<(String, String)> = if id == self.leader {
            let ids = self.members.iter().filter(|(_, m)| !m.id.is_empty());
            ids.map(|(n, m)| (m.id.clone(), format!("part {n} of {generation}"))).collect()
        } else {
            Vec::new()
        };
        let parts: Vec<(&str, &str)> = parts.iter().map(|(id, part)| (id.as_str(), part.as_str())).collect();
        let mut request = groups::sync(version, &self.name, generation + skip, &id, &parts);
        if member == MEMBERS - 1 && version >= 3 {
            request.group_instance_id = Some(text(INSTANCE));
        }
        let parked = play.park(&connection(group, member), version, request)?;
        self.member(member).waiting = Some(Waiting::Sync(parked));
        self.answered(play, member)
    }

    /// Records whatever was answered to requests that waited.
    fn wake(&mut self, play: &mut Play) -> Done {
        if self.members.values().all(|member| member.waiting.is_none()) {
            return Ok(());
        }
        std::thread::sleep(WAKES_WITHIN);
        (0..MEMBERS).try_for_each(|member| self.answered(play, member))
    }

    fn answered(&mut self, play: &mut Play, member: u8) -> Done {
        let known = self.members.entry(member).or_default();
        let answered = match &mut known.waiting {
            Some(Waiting::Join(parked)) => play.answered(parked),
            Some(Waiting::Sync(parked)) => play.answered(parked),
            None => false,
        };
        if !answered {
            return Ok(());
        }
        match known.waiting.take() {
            Some(Waiting::Join(parked)) => {
                let answer = play.wakes("join", parked)?;
                self.joined(member, answer);
            }
            Some(Waiting::Sync(parked)) => drop(play.wakes("sync", parked)?),
            None => {}
        }
        Ok(())
    }

    fn joined(&mut self, member: u8, answer: Option<JoinGroupResponse>) {
        let Some(answer) = answer else { return };
        let known = self.members.entry(member).or_default();
        match answer.error_code {
            0 => {
                known.id = answer.member_id.to_string();
                known.generation = answer.generation_id;
                self.leader = answer.leader.to_string();
                self.visible = true;
            }
            79 => known.id = answer.member_id.to_string(),
            25 | 82 => known.id.clear(),
            _ => {}
        }
    }
}

fn connection(group: u8, member: u8) -> String {
    debug_assert!(group < GROUPS);
    format!("member {member} of group {group}")
}
