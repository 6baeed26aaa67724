//! Coordination of groups and transactions: state machines over `__consumer_offsets` and `__transaction_state`.
//!
//! A shard is one partition of such a topic and the groups or transactions that hash to it: synchronous, behind one lock. A request gives
//! records and a response; the records are appended; the response leaves once they are committed. Loading after a restart
//! replays the same records. Knows no sockets, no files and no wire messages. Called by `api`, through `broker`.

pub mod assignor;
pub mod classic;
mod codec;
pub mod consumer;
mod error;
mod internal;
mod offsets;
pub mod records;
mod runtime;
mod shard;
mod timers;
pub mod transaction;

pub use error::GroupError;
pub use offsets::{Commit, CommittedOffset, GroupOffsets, OffsetCommitRequest};
pub use runtime::{Committed, Done, GroupCoordinator};
pub use shard::{DescribedGroup, DescribedMember, GroupListing, PendingOffsets};
pub use transaction::{TRANSACTIONS_TOPIC, TransactionCoordinator, TransactionError};

/// The internal topic that holds it all.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
