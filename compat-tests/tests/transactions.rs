//! Transactions by raw frames and by librdkafka: who is fenced, what outlives a crash, what a lost answer does, how many
//! there may be, and that nothing is ever half done.
//!
//! The long runs take one or two minutes each:
//!
//!     cargo test -p compat-tests --test transactions -- --ignored --nocapture --test-threads 1
//!
//! `OTTLA_BANK_SECONDS`, `OTTLA_BANK_SEED`, `OTTLA_COPY_RECORDS` and `OTTLA_COPY_SEED` make any of them longer or another
//! one.

#![allow(clippy::disallowed_methods)]

#[path = "transactions/librdkafka.rs"]
mod librdkafka;
#[path = "transactions/producer.rs"]
mod producer;
#[path = "transactions/readers.rs"]
mod readers;

#[path = "transactions/bank.rs"]
mod bank;
#[path = "transactions/copier.rs"]
mod copier;
#[path = "transactions/crash_rules.rs"]
mod crash_rules;
#[path = "transactions/expiry.rs"]
mod expiry;
#[path = "transactions/retries.rs"]
mod retries;
#[path = "transactions/sizes.rs"]
mod sizes;
#[path = "transactions/zombies.rs"]
mod zombies;
