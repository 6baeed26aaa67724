//! Drives a real Ottla process the way its users do: real clients, raw frames, kill -9.
//!
//! `broker` starts, kills and restarts the process; `wire` speaks raw frames to it, `batch` and `codec` build and read
//! what they carry, `calls` wraps the requests that most tests need, `groups` and `consumer_groups` those of classic and
//! of KIP-848 groups; `kafka_tools` runs Apache Kafka's own command line tools; `skip` says what a machine lacks.
//!
//! `OTTLA_TEST_BOOTSTRAP=host:port` points the tests that need no process of their own at a broker that already runs
//! (a real Apache Kafka, say): a test that fails there is wrong.

#![allow(clippy::disallowed_methods)]

pub mod batch;
pub mod broker;
pub mod calls;
pub mod codec;
pub mod consumer_groups;
pub mod groups;
pub mod kafka_tools;
pub mod matrix;
pub mod options;
pub mod s3_server;
pub mod samples;
pub mod skip;
pub mod spawn;
pub mod wire;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A topic name nobody else uses, so that tests can share one external broker.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Wall clock in milliseconds since the epoch, as record timestamps have it.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis() as i64
}

/// Waits until `condition` holds and panics, saying what was awaited, when it does not within `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "after {limit:?} still not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sets its flag when it goes, in a panic too: the threads of a scope that wait for the flag then end as well.
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A small seeded generator (splitmix64): the same seed gives the same test.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }
}
