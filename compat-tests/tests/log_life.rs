//! The life of a log as clients see it: retention, compaction, `flush.ms`, through kills.

#![allow(clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "transactions/producer.rs"]
mod producer;
#[allow(dead_code)]
#[path = "transactions/readers.rs"]
mod readers;

#[path = "log_life/clients.rs"]
mod clients;
#[path = "log_life/compaction.rs"]
mod compaction;
#[path = "log_life/flush.rs"]
mod flush;
#[path = "log_life/latency.rs"]
mod latency;
#[path = "log_life/mixed.rs"]
mod mixed;
#[path = "log_life/retention.rs"]
mod retention;
#[path = "log_life/rolls.rs"]
mod rolls;
#[path = "log_life/transactions.rs"]
mod transactions;

use std::path::Path;
use std::time::Duration;

use compat_tests::broker::Options;

/// For anything that the broker does by itself.
const LIMIT: Duration = Duration::from_secs(30);

/// A broker that looks after its logs all the time.
fn busy_options() -> Options {
    Options::new()
        .set("log.cleaner.backoff.ms", 50)
        .set("log.initial.task.delay.ms", 0)
        .set("log.retention.check.interval.ms", 50)
        .set("log.cleaner.min.cleanable.ratio", 0.01)
}

/// Bytes of the `.log` files in a partition's directory.
fn bytes_on_disk(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "log"));
    logs.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}
