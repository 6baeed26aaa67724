//! Apache Kafka for tests and small deployments, in one process.
//!
//! Modules are listed floor by floor, lowest first: a module imports from lower floors only (`tests/floors.rs` checks it).

pub mod base;

pub mod config;
pub mod metrics;
pub mod record;

pub mod client;
pub mod log;
pub mod wal;

pub mod tier;

pub mod topic;

pub mod coordinator;

pub mod broker;

pub mod api;

pub mod console;
pub mod net;

pub mod server;

pub mod cli;

pub use broker::StartError;
pub use server::{Broker, BrokerBuilder};
