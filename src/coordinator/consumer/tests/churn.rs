//! A random walk: members come, go, crash, return and speak both protocols while topics change. The bench checks after
//! every commit that nothing is held twice; in the end everything is owned, evenly.

use super::classic::join_classic;
use super::*;
use crate::coordinator::consumer::classic as classic_api;

struct Walk(u64);

impl Walk {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

/// A consumer that does what it is told, one heartbeat later.
#[derive(Clone, Debug)]
struct Client {
    id: String,
    instance: Option<String>,
    regex: bool,
    classic: bool,
    epoch: i32,
    owned: Assignment,
    /// The last answer was lost: the next request says everything again.
    unsure: bool,
}

struct World {
    bench: Bench,
    walk: Walk,
    clients: Vec<Client>,
    made: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut bench = Bench::new(&[("t0", 7), ("t1", 4)]);
        bench.limits.assignors = vec!["uniform".into(), "range".into()];
        // The group must stay a consumer group for this walk.
        bench.limits.migration.downgrade = false;
        World { bench, walk: Walk(seed), clients: Vec::new(), made: 0 }
    }

    fn topics(&self) -> Vec<String> {
        self.bench.topics.names()
    }

    fn arrive(&mut self) {
        self.made += 1;
        let instance = (self.walk.below(3) == 0).then(|| format!("i{}", self.made));
        let classic = instance.is_none() && self.walk.below(4) == 0;
        let regex = !classic && self.walk.below(3) == 0;
        let id = format!("m{}", self.made);
        self.clients.push(Client { id, instance, regex, classic, epoch: 0, owned: Assignment::new(), unsure: false });
    }

    fn beat(&mut self, at: usize) {
        let client = self.clients[at].clone();
        if client.classic {
            return self.beat_classic(at);
        }
        let topics = self.topics();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut request = if client.epoch == 0 { join(&client.id, &names) } else { beat(&client.id, client.epoch) };
        if client.epoch == 0 && client.regex {
            request.subscribed_topics = None;
            request.subscribed_regex = Some("t.*".into());
        } else if !client.regex {
            request.subscribed_topics = Some(topics.clone());
        }
        request.instance_id.clone_from(&client.instance);
        request.owned = Some(client.owned.clone());
        if client.unsure {
            request.rebalance_timeout_ms = 30_000;
            request.subscribed_regex = client.regex.then(|| "t.*".into());
        }
        match self.bench.send(&request) {
            Ok(answer) => {
                // One answer in five is lost: the member goes on as it was.
                let lost = self.walk.below(5) == 0;
                let client = &mut self.clients[at];
                client.unsure = lost;
                if !lost {
                    client.epoch = answer.member_epoch;
                    client.owned = answer.assignment.unwrap_or(std::mem::take(&mut client.owned));
                }
            }
            Err(error) => {
                let expected = [
                    GroupError::FencedMemberEpoch,
                    GroupError::UnknownMemberId,
                    GroupError::FencedInstanceId,
                    GroupError::UnreleasedInstanceId,
                ];
                assert!(expected.contains(&error.name), "{error}");
                let client = &mut self.clients[at];
                client.owned.clear();
                client.epoch = 0;
                if client.instance.is_some() {
                    // Its old session has to end first.
                    client.instance = None;
                    self.made += 1;
                    self.clients[at].id = format!("m{}", self.made);
                }
            }
        }
    }

    fn beat_classic(&mut self, at: usize) {
        let client = self.clients[at].clone();
        let known = self.bench.group.member(&client.id).is_some_and(|m| m.epoch == client.epoch);
        if known {
            let outcome = classic_api::heartbeat(&self.bench.group, &client.id, None, client.epoch, &at!(self.bench))
                .expect("known");
            if !self.bench.commit(outcome) {
                return;
            }
        }
        if !known {
            self.clients[at].owned.clear();
        }
        let topics = self.topics();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let owned: Vec<(String, Vec<i32>)> =
            if known { embedded::to_names(&client.owned, &self.bench.topics) } else { Vec::new() };
        let owned: Vec<(&str, &[i32])> = owned.iter().map(|(t, p)| (t.as_str(), &p[..])).collect();
        let joined = self.bench.join_classic(&join_classic(&client.id, &names, &owned)).expect("joined");
        let request = classic_api::SyncRequest {
            member_id: client.id.clone(),
            generation: joined.generation,
            ..classic_api::SyncRequest::default()
        };
        let outcome = classic_api::sync(&self.bench.group, &request, &at!(self.bench)).expect("a member");
        let client = &mut self.clients[at];
        client.epoch = joined.generation;
        if let Ok(bytes) = self.bench.commit(outcome) {
            let assigned = embedded::read_assignment(&bytes).expect("own bytes").0;
            client.owned = embedded::to_ids(&assigned, &self.bench.topics);
        }
    }

    fn depart(&mut self, at: usize) {
        let client = self.clients[at].clone();
        let goodbye = self.walk.below(3);
        if client.classic && goodbye == 0 {
            let leaving = classic_api::LeavingMember { member_id: client.id, instance_id: None };
            let outcome = classic_api::leave(&self.bench.group, &[leaving], &at!(self.bench)).expect("left");
            self.bench.commit(outcome);
        } else if goodbye == 0 {
            let epoch = if client.instance.is_some() && self.walk.below(2) == 0 { -2 } else { -1 };
            let request = HeartbeatRequest { instance_id: client.instance.clone(), ..beat(&client.id, epoch) };
            let left = self.bench.send(&request).is_ok();
            if left && epoch == -2 && self.walk.below(2) == 0 {
                self.made += 1;
                let id = format!("m{}", self.made);
                self.clients[at] = Client { id, epoch: 0, owned: Assignment::new(), ..client };
                return;
            }
        }
        // Otherwise it crashed.
        self.clients.swap_remove(at);
    }

    fn step(&mut self) {
        let count = self.clients.len();
        match self.walk.below(20) {
            0 | 1 if count < 8 => self.arrive(),
            2 if count > 0 => {
                let at = self.walk.below(count);
                self.depart(at);
            }
            3 if self.walk.below(6) == 0 => {
                let partitions = self.walk.below(9) as i32;
                let name = format!("t{}", self.walk.below(4));
                match self.bench.topics.topic(&name) {
                    None => self.bench.topics.create(&name, partitions),
                    Some((_, now)) if partitions > now => self.bench.topics.grow(&name, partitions),
                    Some(_) if self.topics().len() > 1 => self.bench.topics.delete(&name),
                    Some(_) => {}
                }
            }
            4 => self.bench.advance(self.walk.below(8_000) as i64),
            _ if count > 0 => {
                let at = self.walk.below(count);
                self.beat(at);
            }
            _ => {}
        }
    }

    /// What a client believes to own is never free for others, unless it was fenced and does not know yet.
    fn audit(&self) {
        for client in &self.clients {
            let Some(member) = self.bench.group.member(&client.id) else { continue };
            let held: BTreeSet<(TopicId, i32)> = member.held().collect();
            for (topic, partitions) in &client.owned {
                assert!(partitions.iter().all(|p| held.contains(&(*topic, *p))), "{client:?} against {member:?}");
            }
        }
    }

    /// Calm: nobody comes or goes, and everyone beats in turn.
    fn settle(&mut self) {
        if self.clients.is_empty() {
            self.arrive();
        }
        for _ in 0..60 {
            for at in 0..self.clients.len() {
                self.beat(at);
            }
            self.bench.advance(3_000);
        }
    }
}

#[test]
fn nothing_is_owned_twice_and_everything_once_in_the_end() {
    for seed in 0..80 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
            world.audit();
        }
        world.settle();
        let bench = &world.bench;
        assert_eq!(bench.group.state(), GroupState::Stable, "seed {seed}");
        assert_eq!(bench.group.members().len(), world.clients.len(), "seed {seed}: the dead are gone");

        let expected: usize = bench.topics.by_name.values().map(|(_, partitions)| *partitions as usize).sum();
        let sizes: Vec<usize> = bench.group.members().map(|m| m.assigned.values().map(BTreeSet::len).sum()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), expected, "seed {seed}");
        let spread = sizes.iter().max().expect("members") - sizes.iter().min().expect("members");
        assert!(spread <= 1, "seed {seed}: {sizes:?}");
        for client in &world.clients {
            let member = bench.group.member(&client.id).expect("seed {seed}: its member");
            assert_eq!(member.assigned, client.owned, "seed {seed}: {} was not told", client.id);
        }

        let mut reloaded = bench.reloaded();
        assert_eq!(format!("{:?}", reloaded.members), format!("{:?}", bench.group.members), "seed {seed}");
        assert_eq!((reloaded.epoch, reloaded.target_epoch), (bench.group.epoch, bench.group.target_epoch));
        assert_eq!(reloaded.target, bench.group.target);
        // After a restart the first heartbeat finds nothing to do.
        if let Some(client) = world.clients.iter().find(|c| !c.classic) {
            let request = HeartbeatRequest { instance_id: client.instance.clone(), ..beat(&client.id, client.epoch) };
            let outcome = heartbeat(&mut reloaded, &request, &at!(bench)).expect("known");
            assert_eq!(outcome.records, [], "seed {seed}");
        }
    }
}
