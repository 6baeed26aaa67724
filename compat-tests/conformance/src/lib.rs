//! Plays the same requests to an Apache Kafka and to an Ottla and tells what differs.
//!
//! A *scenario* is a function over a [`play::Play`]: requests on named connections, at stated versions, with names bound to what was answered
//! before. Playing it gives a transcript of normalised answers. What Kafka answered is kept in `golden/`, so that the comparison needs no Java.

#![allow(clippy::disallowed_methods)] // Tests measure real time.

pub mod accepted;
pub mod apis;
pub mod batch;
pub mod by_id;
pub mod compare;
pub mod golden;
pub mod group_log;
pub mod normal;
pub mod play;
pub mod run;
pub mod scenarios;
pub mod server;
pub mod tree;
pub mod walk;
pub mod wire;
