//! One member of a classic group, with the requests that it has parked.

use bytes::Bytes;

use super::{JoinResponse, SyncResponse};
use crate::coordinator::codec::Reader;
use crate::coordinator::records::ClassicMemberValue;
use crate::coordinator::shard::{Effects, Parked};
use crate::coordinator::timers::TimerKey;

#[derive(Debug)]
pub struct Member {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Protocols in the member's order of preference, each with its metadata.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    awaiting_join: Option<Parked<JoinResponse>>,
    awaiting_sync: Option<Parked<SyncResponse>>,
    /// Has not completed a join yet: its client cannot send heartbeats.
    pub is_new: bool,
    session_deadline: i64,
    /// When its timer fires, if it has one.
    armed_ms: Option<i64>,
}

static NO_METADATA: Bytes = Bytes::new();

impl Member {
    pub fn new(id: &str, request: &super::JoinRequest) -> Member {
        Member {
            id: id.to_owned(),
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session_deadline: 0,
            armed_ms: None,
        }
    }

    pub fn load(value: ClassicMemberValue, protocol: String) -> Member {
        Member {
            id: value.member_id,
            instance_id: value.instance_id,
            client_id: value.client_id,
            client_host: value.client_host,
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            session_timeout_ms: value.session_timeout_ms,
            protocols: vec![(protocol, value.subscription)],
            assignment: value.assignment,
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session_deadline: 0,
            armed_ms: None,
        }
    }

    pub fn metadata(&self, protocol: &str) -> &Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map_or(&NO_METADATA, |(_, metadata)| metadata)
    }

    pub fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// Parks a join. One that was parked before is from a client that has given up on it.
    pub fn park_join(&mut self, parked: Parked<JoinResponse>) {
        self.awaiting_join = Some(parked);
    }

    pub fn park_sync(&mut self, parked: Parked<SyncResponse>) {
        self.awaiting_sync = Some(parked);
    }

    pub fn answer_join(&mut self, response: JoinResponse, effects: &mut Effects) {
        if let Some(parked) = self.awaiting_join.take() {
            effects.answer(parked, response);
        }
    }

    /// Answers a parked sync, if there is one.
    pub fn answer_sync(&mut self, response: SyncResponse, effects: &mut Effects) -> bool {
        let parked = self.awaiting_sync.take();
        let was_parked = parked.is_some();
        if let Some(parked) = parked {
            effects.answer(parked, response);
        }
        was_parked
    }

    /// The session lasts until `deadline` now. There is one timer a member, moved when it fires.
    pub fn begin_session(&mut self, group: &str, deadline: i64, effects: &mut Effects) {
        self.session_deadline = deadline;
        if self.armed_ms.is_none_or(|armed| deadline < armed) {
            self.armed_ms = Some(deadline);
            effects.arm(deadline, TimerKey::Session { group: group.to_owned(), member: self.id.clone() });
        }
    }

    /// The member goes by another id now: its old timer finds nobody.
    pub fn rearm(&mut self) {
        self.armed_ms = None;
    }

    /// Whether the session is over. While a request is parked it is not: the member waits for us.
    pub fn session_timer_fired(&mut self, group: &str, now_ms: i64, effects: &mut Effects) -> bool {
        self.armed_ms = None;
        let parked = !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some());
        if parked {
            self.begin_session(group, now_ms + i64::from(self.session_timeout_ms), effects);
            return false;
        }
        if self.session_deadline > now_ms {
            self.begin_session(group, self.session_deadline, effects);
            return false;
        }
        true
    }
}

/// The topics in a ConsumerProtocol subscription; `None` if it cannot be read.
pub fn subscribed_topics(subscription: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader(subscription);
    reader.i16().and_then(|_version| reader.array_of(Reader::string)).ok()
}
