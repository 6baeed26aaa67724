//! One file per Kafka API: decode, cheap refusals, one service, the answer. Versions are declared beside the handler, and
//! ApiVersions is built from those declarations, so that what is advertised is what is served.
//!
//! Knows no sockets and no files. Called by `net`, through [`dispatch`] only: one point before a request takes effect.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod by_id;
mod configs;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
mod errors;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod later;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod repeats;
pub mod reply;
mod sync_group;
mod txn_offset_commit;
mod waiting;
mod write_txn_markers;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::base::shutdown::Stopping;
use crate::broker::{BrokerState, Endpoint};
pub use reply::{Frame, Piece, Responder};

/// One API as it is served.
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    /// First and last version that is served.
    pub versions: (i16, i16),
    /// First version that ApiVersions names; only Produce and JoinGroup claim more than they serve, as Kafka does.
    pub advertised_from: i16,
    /// First version with compact strings and tagged fields (KIP-482).
    pub flexible_from: i16,
    pub handle: fn(&Request, Bytes) -> Result<Reply, BadRequest>,
}

/// Every API that is served, by key.
pub const APIS: &[&Api] = &[
    &produce::API,
    &fetch::API,
    &list_offsets::API,
    &metadata::API,
    &offset_commit::API,
    &offset_fetch::API,
    &find_coordinator::API,
    &join_group::API,
    &heartbeat::API,
    &leave_group::API,
    &sync_group::API,
    &describe_groups::API,
    &list_groups::API,
    &api_versions::API,
    &create_topics::API,
    &delete_topics::API,
    &delete_records::API,
    &init_producer_id::API,
    &offset_for_leader_epoch::API,
    &add_partitions_to_txn::API,
    &add_offsets_to_txn::API,
    &end_txn::API,
    &write_txn_markers::API,
    &txn_offset_commit::API,
    &describe_configs::API,
    &alter_configs::API,
    &describe_log_dirs::API,
    &create_partitions::API,
    &delete_groups::API,
    &elect_leaders::API,
    &incremental_alter_configs::API,
    &alter_partition_reassignments::API,
    &list_partition_reassignments::API,
    &offset_delete::API,
    &describe_cluster::API,
    &describe_producers::API,
    &describe_transactions::API,
    &list_transactions::API,
    &consumer_group_heartbeat::API,
    &consumer_group_describe::API,
    &list_config_resources::API,
    &describe_topic_partitions::API,
];

/// A request that Kafka answers by closing the connection. The reason is for our log.
#[derive(Debug)]
pub struct BadRequest(pub String);

impl<E: std::fmt::Display> From<E> for BadRequest {
    fn from(error: E) -> Self {
        BadRequest(error.to_string())
    }
}

pub type LaterFrame = Pin<Box<dyn Future<Output = Frame> + Send>>;

/// What becomes of a request.
pub enum Reply {
    Now(Frame),
    /// The answer comes later, and the connection's next request waits for it (Kafka mutes the channel).
    Later(LaterFrame),
    /// The answer comes later, but the request has taken effect: the next one may begin.
    Durable(LaterFrame),
    /// Produce with acks=0.
    Nothing,
    /// Produce with acks=0 that failed: closing is the only way to tell.
    Close,
}

/// Where a request came from.
pub struct Context {
    pub broker: Arc<BrokerState>,
    /// Index into the broker's endpoints.
    pub listener: usize,
    /// The address the client reached us by.
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub stopping: Stopping,
}

impl Context {
    fn endpoint(&self) -> Option<&Endpoint> {
        self.broker.endpoints().get(self.listener)
    }

    /// The client's address as groups tell it.
    pub fn client_host(&self) -> String {
        format!("/{}", self.peer.ip().to_canonical())
    }

    /// Host and port to tell a client on this listener.
    pub fn advertised(&self) -> (String, i32) {
        let Some(endpoint) = self.endpoint() else { return self.reached_at() };
        if let Some(changed) = self.broker.topics.config().advertised_since(&endpoint.name)
            && let Some(host) = changed.host
        {
            return (host, i32::from(changed.port));
        }
        match endpoint.advertised.clone() {
            Some((host, port)) => (host, i32::from(port)),
            None => self.reached_at(),
        }
    }

    fn reached_at(&self) -> (String, i32) {
        (self.local.ip().to_canonical().to_string(), i32::from(self.local.port()))
    }
}

/// One request, its header read.
pub struct Request {
    pub context: Arc<Context>,
    pub version: i16,
    pub client_id: Option<StrBytes>,
    pub responder: Responder,
}

impl Request {
    pub fn broker(&self) -> &Arc<BrokerState> {
        &self.context.broker
    }

    /// Decodes the body. Bytes behind it are ignored, as Kafka does.
    fn decode<T: Decodable>(&self, mut body: Bytes) -> Result<T, BadRequest> {
        T::decode(&mut body, self.version).map_err(|e| BadRequest(e.to_string()))
    }
}

/// Takes one frame (without its length) and begins what it asks for.
pub fn dispatch(context: &Arc<Context>, mut frame: Bytes) -> Result<Reply, BadRequest> {
    if frame.len() < 8 {
        return Err(BadRequest(format!("a frame of {} bytes has no request header", frame.len())));
    }
    let key = frame.get_i16();
    let version = frame.get_i16();
    let correlation_id = frame.get_i32();
    let Some(api) = APIS.iter().find(|api| api.key == key) else {
        return Err(BadRequest(format!("API key {key} is not served")));
    };
    let served = (api.versions.0..=api.versions.1).contains(&version);
    if !served && key != api_versions::API.key {
        return Err(BadRequest(format!("{} version {version} is not served", api.name)));
    }
    // An ApiVersions of a version we do not know has a header of the newest form.
    let flexible = !served || version >= api.flexible_from;
    let client_id = read_client_id(&mut frame)?;
    if flexible {
        skip_tagged_fields(&mut frame)?;
    }
    let responder = Responder::new(correlation_id, version, flexible && key != api_versions::API.key);
    let request = Request { context: context.clone(), version, client_id, responder };
    if !served {
        return Ok(Reply::Now(api_versions::unsupported(&request)));
    }
    (api.handle)(&request, frame).map_err(|e| BadRequest(format!("{} version {version}: {}", api.name, e.0)))
}

fn read_client_id(frame: &mut Bytes) -> Result<Option<StrBytes>, BadRequest> {
    if frame.len() < 2 {
        return Err(BadRequest("the request header is cut short".into()));
    }
    let length = frame.get_i16();
    // Any negative length is null.
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    if frame.len() < length {
        return Err(BadRequest("the client id is cut short".into()));
    }
    let bytes = frame.split_to(length);
    // Like Java, bytes that are no UTF-8 are replaced.
    Ok(Some(StrBytes::from_utf8(bytes.clone()).unwrap_or_else(|_| owned(&String::from_utf8_lossy(&bytes)))))
}

fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), BadRequest> {
    // Kafka counts with a signed number: a count from 2^31 on is none.
    for _ in 0..unsigned_varint(frame)? as i32 {
        let _tag = unsigned_varint(frame)?;
        let size = unsigned_varint(frame)? as usize;
        if frame.len() < size {
            return Err(BadRequest("a tagged field of the header is cut short".into()));
        }
        frame.advance(size);
    }
    Ok(())
}

fn unsigned_varint(frame: &mut Bytes) -> Result<u32, BadRequest> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        if frame.is_empty() {
            return Err(BadRequest("a number of the header is cut short".into()));
        }
        let byte = frame.get_u8();
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BadRequest("a number of the header is too long".into()))
}

/// A text that is kept. Kafka's have at most as many bytes as its records can say of them; who sends more is cut off.
fn kept(text: &str) -> Result<String, BadRequest> {
    match i16::try_from(text.len()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(BadRequest(format!("a text of {} bytes", text.len()))),
    }
}

/// Copies a string out of the request, for what outlives it: a slice would keep the whole frame in memory.
fn owned(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
