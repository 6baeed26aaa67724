//! What every other module may use and that knows nothing of Ottla: time, ids, waiting, stopping.
//!
//! Owns the only calls of the system clock. Never imports another module of this crate.

pub mod clock;
pub mod ids;
pub mod shutdown;
pub mod waiters;

pub use clock::Clock;
pub use ids::{DirectoryId, ProducerId, TopicId};
