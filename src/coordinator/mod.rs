//! Group state machines: a request gives records and a response, and only `replay` changes what is durable.
//!
//! Knows neither sockets nor files, and never reads a clock: time comes in as an argument.

pub mod assignor;
pub mod consumer;
