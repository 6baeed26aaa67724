//! Listeners and connections: frames in, frames out, in order.
//!
//! Owns sockets and the memory of requests in flight. Knows nothing of what a body means: `api::dispatch` does. Called by
//! `server`.
//!
//! A request runs to completion on the thread that read it: one current-thread runtime a core, connections dealt out at
//! accept.

mod connection;
pub mod listener;
mod memory;
mod output;

pub use memory::RequestMemory;
