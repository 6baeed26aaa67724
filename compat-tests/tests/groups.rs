//! Consumer groups: by raw frames where one step of the protocol matters, by librdkafka where clients share work.

#![allow(clippy::disallowed_methods)]

#[path = "support/auditor.rs"]
mod auditor;
#[path = "groups/commits.rs"]
mod commits;
#[path = "groups/crash.rs"]
mod crash;
#[path = "groups/fencing.rs"]
mod fencing;
#[path = "groups/limits.rs"]
mod limits;
#[path = "groups/many.rs"]
mod many;
#[path = "groups/many_consumers.rs"]
mod many_consumers;
#[path = "groups/sharing.rs"]
mod sharing;
#[path = "support/worker.rs"]
mod worker;
