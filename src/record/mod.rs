//! RecordBatch v2: the one format that Ottla stores and serves (KIP-98).
//!
//! Owns the header layout, validation of what producers send, iteration, building and compression. Never touches files
//! or wire messages. Called by `log` (headers), `topic` (validation) and `coordinator` (building), and by the cleaner (filtering).

pub mod batch;
pub mod build;
pub mod compress;
pub mod control;
pub mod filter;
pub mod iter;
pub mod validate;

pub use batch::{BatchHeader, HEADER_BYTES};
pub use compress::Codec;
pub use control::{Marker, TransactionVersion};
pub use validate::{PreparedBatch, Rejection, Rules, TimestampType};
