//! Group coordination: state machines over the internal topic `__consumer_offsets`.
//!
//! A shard is one partition of that topic and the groups that hash to it: synchronous, behind one lock. A request gives
//! records and a response; the records are appended; the response leaves once they are committed. Loading after a restart
//! replays the same records. Knows no sockets, no files and no wire messages. Called by `api`, through `broker`.

pub mod assignor;
pub mod classic;
mod codec;
pub mod consumer;
mod error;
mod offsets;
pub mod records;
mod runtime;
mod shard;
mod timers;

pub use error::GroupError;
pub use offsets::{Commit, CommittedOffset, GroupOffsets, OffsetCommitRequest};
pub use runtime::{Done, GroupCoordinator};
pub use shard::{DescribedGroup, DescribedMember, GroupListing};

/// The internal topic that holds it all.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
