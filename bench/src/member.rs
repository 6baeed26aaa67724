//! A member of a group on a connection of its own, that knows what its own requests cost: how many, and how long from
//! each to its answer.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::wire::groups::{self, Identity, Joined};
use crate::{Result, wire};

const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;
/// The coordinator loads, is not there yet, or is elsewhere: a client tries again.
const NOT_YET: [i16; 3] = [14, 15, 16];
const RETRY_AFTER: Duration = Duration::from_millis(5);
const TRIES_MAX: usize = 1000;
const FETCH_BYTES_MAX: i32 = 1 << 20;

pub struct Member {
    pub client: Client,
    pub group: String,
    topic: String,
    pub id: String,
    /// Of a consumer group the epoch.
    pub generation: i32,
    /// Everybody in the generation, at its leader.
    everybody: Vec<String>,
    pub requests: usize,
    pub spent: Duration,
}

impl Member {
    pub fn connect(port: u16, group: &str, topic: &str) -> Result<Member> {
        Ok(Member {
            client: Client::connect(port)?,
            group: group.to_owned(),
            topic: topic.to_owned(),
            id: String::new(),
            generation: -1,
            everybody: Vec::new(),
            requests: 0,
            spent: Duration::ZERO,
        })
    }

    pub fn identity(&self) -> Identity<'_> {
        Identity { group: &self.group, member: &self.id, generation: self.generation }
    }

    fn call(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        let start = Instant::now();
        let answer = self.client.call(frame)?;
        self.spent += start.elapsed();
        self.requests += 1;
        Ok(answer)
    }

    pub fn find_coordinator(&mut self) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let answer = self.call(&groups::find_coordinator(&self.group))?;
            match groups::find_coordinator_answer(&answer)? {
                error if NOT_YET.contains(&error) => sleep(RETRY_AFTER),
                error => return expect_none("FindCoordinator", error),
            }
        }
        Err("the coordinator never came".into())
    }

    /// Gets the id without which a member may not join.
    pub fn ask_for_id(&mut self) -> Result<()> {
        let answer = self.call(&groups::join(&self.identity(), &self.topic))?;
        let answer = groups::join_answer(&answer)?;
        if answer.error != MEMBER_ID_REQUIRED {
            return Err(format!("JoinGroup without an id answered error {}", answer.error).into());
        }
        self.id = answer.member;
        Ok(())
    }

    /// Joins a group in which everybody else has come already.
    pub fn join(&mut self) -> Result<()> {
        let answer = self.call(&groups::join(&self.identity(), &self.topic))?;
        self.joined(groups::join_answer(&answer)?)
    }

    /// Joins without waiting for the others.
    pub fn send_join(&mut self) -> Result<()> {
        self.client.send(&groups::join(&self.identity(), &self.topic))
    }

    pub fn receive_join(&mut self) -> Result<()> {
        let answer = self.client.receive()?;
        self.joined(groups::join_answer(&answer)?)
    }

    fn joined(&mut self, answer: Joined) -> Result<()> {
        expect_none("JoinGroup", answer.error)?;
        (self.generation, self.everybody) = (answer.generation, answer.members);
        Ok(())
    }

    /// How many members the generation has, where this one leads it.
    pub fn leads(&self) -> usize {
        self.everybody.len()
    }

    /// The leader, which must be first, gives partition 0 to everybody: nobody checks what it gives.
    pub fn sync(&mut self) -> Result<()> {
        let answer = self.call(&groups::sync(&self.identity(), &self.topic, &self.everybody))?;
        let (error, assigned) = groups::sync_answer(&answer)?;
        expect_none("SyncGroup", error)?;
        if assigned { Ok(()) } else { Err("SyncGroup answered no assignment".into()) }
    }

    /// Whether the group goes on as it is; false when this member must join again.
    pub fn is_stable(&mut self) -> Result<bool> {
        let answer = self.call(&groups::heartbeat(&self.identity()))?;
        match groups::heartbeat_answer(&answer)? {
            REBALANCE_IN_PROGRESS => Ok(false),
            error => expect_none("Heartbeat", error).map(|()| true),
        }
    }

    /// Joins by KIP-848 under an id of its own choice, and heartbeats until it is given something.
    pub fn join_by_heartbeats(&mut self, id: String) -> Result<()> {
        (self.id, self.generation) = (id, 0);
        for _ in 0..TRIES_MAX {
            let answer = self.call(&groups::consumer_heartbeat(&self.identity(), &self.topic))?;
            let answer = groups::consumer_heartbeat_answer(&answer)?;
            expect_none("ConsumerGroupHeartbeat", answer.error)?;
            self.generation = answer.epoch;
            if answer.assigned {
                return Ok(());
            }
            sleep(RETRY_AFTER);
        }
        Err("no heartbeat brought an assignment".into())
    }

    /// The first record of partition 0 for a group that has committed nothing: what is committed, then where the
    /// partition begins, then what is there.
    pub fn first_record(&mut self, by_epoch: bool) -> Result<()> {
        let (id, epoch) = if by_epoch { (Some(&*self.id), self.generation) } else { (None, -1) };
        let answer = self.call(&groups::offset_fetch(&self.group, id, epoch, &self.topic))?;
        let (error, committed) = groups::offset_fetch_answer(&answer)?;
        expect_none("OffsetFetch", error)?;
        if committed != -1 {
            return Err(format!("a new group has committed offset {committed}").into());
        }
        let answer = self.call(&wire::first_offset(&self.topic))?;
        let (error, offset) = wire::first_offset_answer(&answer)?;
        expect_none("ListOffsets", error)?;
        let answer = self.call(&wire::fetch(&self.topic, 0, offset, FETCH_BYTES_MAX, 500))?;
        let answer = wire::fetch_answer(&answer)?;
        expect_none("Fetch", answer.error)?;
        if answer.records.is_empty() { Err("Fetch answered no record".into()) } else { Ok(()) }
    }
}

pub fn expect_none(api: &str, error: i16) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(format!("{api} answered error {error}").into()) }
}
