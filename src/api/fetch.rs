//! Fetch (key 1), versions 4–18.
//!
//! Behaviour: the session gives the full list of partitions; each answers its offsets and a region of its log; if that is
//! too little and time remains, one waiter is registered on all of them and the plan is made once more when one changes.
//! What lies in a remote store is waited for, up to
//! `remote.fetch.max.wait.ms`. No record is decoded or copied: the answer is header pieces and regions, encoded by our own code (`encode`).
//! Version notes: v5 log start offset, v7 sessions (KIP-227), v9 leader epochs checked, v10 zstd, v11 preferred replica,
//! v12 diverging epochs and tagged fields, v13 topic ids only, v15 replica state, v16 node endpoints (never needed here),
//! v17 directory id, v18 high watermark of replicas.

mod encode;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};

use super::errors::Error;
use super::{Api, BadRequest, Frame, Reply, Request, Responder, repeats};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::broker::sessions::{FetchSession, PartitionKey, SessionError, Target, Wanted, lock};
use crate::config::BrokerValues;
use crate::topic::Isolation;
use plan::{Plan, Planner};

pub const API: Api = Api { key: 1, name: "Fetch", versions: (4, 18), advertised_from: 4, flexible_from: 12, handle };

/// Request epochs that are no sequence numbers.
const EPOCH_FULL: i32 = 0;
const EPOCH_FINAL: i32 = -1;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: FetchRequest = request.decode(body)?;
    let broker = request.broker();
    let version = request.version;
    let replica = if version >= 15 { asked.replica_state.replica_id.0 } else { asked.replica_id.0 };
    let Some(isolation) = isolation(asked.isolation_level) else {
        return Ok(Reply::Now(refused(&request.responder, &asked, Error::UnknownServerError)));
    };
    let session = match open_session(broker, &asked, version) {
        Ok(session) => session,
        Err(error) => return Ok(Reply::Now(encode::error(&request.responder, error))),
    };
    let targets = match &session {
        Session::Incremental(session) => lock(session).targets(),
        Session::None | Session::New => targets(&asked.topics, version),
    };
    let config = broker.topics.config();
    let bytes_max = asked.max_bytes.min(config.get_i32("fetch.max.bytes")).max(0);
    let bytes_min = asked.min_bytes.min(bytes_max);
    let planner = Planner::new(broker.clone(), version, isolation, bytes_max, replica >= 0, targets);
    let fetch = Fetch { planner, session, responder: request.responder };
    let plan = fetch.planner.plan();
    // As Kafka, a fetch waits for a remote store for a time of its own.
    let remote_ms = if plan.is_pending { config.get_i32("remote.fetch.max.wait.ms") } else { 0 };
    let wait_ms = asked.max_wait_ms.max(remote_ms);
    if wait_ms <= 0 || plan.is_enough(bytes_min) {
        return Ok(Reply::Now(fetch.finish(plan)));
    }
    let wait = Duration::from_millis(wait_ms as u64);
    let mut stopping = request.context.stopping.clone();
    Ok(Reply::Later(Box::pin(async move {
        let waiting = fetch.planner.wait();
        let deadline = tokio::time::sleep(wait);
        tokio::pin!(deadline);
        let plan = loop {
            // Planned after registering: what changed in between is seen here or wakes the waiter.
            let plan = fetch.planner.plan();
            if plan.is_enough(bytes_min) {
                break plan;
            }
            tokio::select! {
                () = waiting.woken() => {}
                () = &mut deadline => break fetch.planner.plan(),
                () = stopping.wait() => break plan,
            }
        };
        drop(waiting);
        fetch.finish(plan)
    })))
}

fn isolation(level: i8) -> Option<Isolation> {
    match level {
        0 => Some(Isolation::ReadUncommitted),
        1 => Some(Isolation::ReadCommitted),
        _ => None,
    }
}

/// The request as a whole is refused; before version 13 that is told of every partition in it.
fn refused(responder: &Responder, asked: &FetchRequest, error: Error) -> Frame {
    if responder.version >= 13 {
        return encode::error(responder, error);
    }
    let keys = keys(&asked.topics, responder.version).map(|(key, _)| key).collect();
    encode::all_with(responder, keys, error)
}

enum Session {
    /// Stands alone.
    None,
    /// Opens a session with its answer.
    New,
    Incremental(Arc<std::sync::Mutex<FetchSession>>),
}

/// Kafka's `FetchManager.newContext`.
fn open_session(broker: &BrokerState, asked: &FetchRequest, version: i16) -> Result<Session, Error> {
    if version < 7 {
        return Ok(Session::None);
    }
    if asked.session_epoch == EPOCH_FULL || asked.session_epoch == EPOCH_FINAL {
        if asked.session_id != 0 {
            broker.sessions.close(asked.session_id);
        }
        return Ok(if asked.session_epoch == EPOCH_FINAL { Session::None } else { Session::New });
    }
    let now = broker.clock.instant();
    let wanted = keys(&asked.topics, version);
    let forgotten = forgotten(&asked.forgotten_topics_data, version);
    let updated = broker.sessions.update(asked.session_id, asked.session_epoch, version >= 13, wanted, forgotten, now);
    match updated {
        Ok(Some(session)) => Ok(Session::Incremental(session)),
        Ok(None) => Ok(Session::None),
        Err(SessionError::NotFound) => Err(Error::FetchSessionIdNotFound),
        Err(SessionError::InvalidEpoch) => Err(Error::InvalidFetchSessionEpoch),
        Err(SessionError::TopicId) => Err(Error::FetchSessionTopicIdError),
    }
}

/// What a request without a session asks for, each partition once.
fn targets(topics: &[FetchTopic], version: i16) -> Vec<Target> {
    let mut targets: Vec<Target> =
        keys(topics, version).map(|(key, wanted)| Target { key, wanted, name: None }).collect();
    if !repeats::all_distinct(&targets, |t| &t.key) {
        repeats::keep_last(&mut targets, |t| t.key.clone());
    }
    targets
}

fn keys(topics: &[FetchTopic], version: i16) -> impl Iterator<Item = (PartitionKey, Wanted)> {
    topics.iter().flat_map(move |topic| {
        // Copied: a session outlives the request, whose buffer a slice would keep.
        let name = super::owned(if version >= 13 { "" } else { &topic.topic });
        topic.partitions.iter().map(move |p| {
            let key = PartitionKey { topic: name.clone(), topic_id: TopicId(topic.topic_id), partition: p.partition };
            let wanted = Wanted {
                fetch_offset: p.fetch_offset,
                bytes_max: p.partition_max_bytes,
                current_leader_epoch: p.current_leader_epoch,
                last_fetched_epoch: p.last_fetched_epoch,
            };
            (key, wanted)
        })
    })
}

fn forgotten(topics: &[ForgottenTopic], version: i16) -> impl Iterator<Item = PartitionKey> {
    topics.iter().flat_map(move |topic| {
        let name = super::owned(if version >= 13 { "" } else { &topic.topic });
        topic.partitions.iter().map(move |partition| PartitionKey {
            topic: name.clone(),
            topic_id: TopicId(topic.topic_id),
            partition: *partition,
        })
    })
}

struct Fetch {
    planner: Planner,
    session: Session,
    responder: Responder,
}

impl Fetch {
    /// Turns the last plan into the answer, and enters into the session what it tells.
    fn finish(&self, mut plan: Plan) -> Frame {
        let mut session_id = 0;
        match &self.session {
            Session::None => {}
            Session::New => {
                let broker = &self.planner.broker;
                let now = broker.clock.instant();
                let uses_topic_ids = self.responder.version >= 13;
                if let Some(session) = broker.sessions.open(self.planner.wanted(), uses_topic_ids, now) {
                    let mut session = lock(&session);
                    session_id = session.id;
                    for row in &plan.rows {
                        row.tell(&mut session);
                    }
                }
            }
            Session::Incremental(session) => {
                let mut session = lock(session);
                session_id = session.id;
                plan.rows.retain(|row| row.tell(&mut session));
                for row in plan.rows.iter().filter(|row| row.region.is_some()) {
                    session.move_last(&row.key);
                }
            }
        }
        encode::response(&self.responder, session_id, plan)
    }
}
