//! Transactions of one record on one connection, by both protocols, and how soon a reader of committed records has it.
//!
//! With `flush.messages=1` the measure is a durable Produce of the same record in the same run: one sync and what goes with
//! it.

use std::time::{Duration, Instant};

use super::{Bench, Stage, median};
use crate::Result;
use crate::client::Client;
use crate::report::{Row, Target};
use crate::server::Contender;
use crate::wire::transactions::{self as wire, Producer};
use crate::wire::{batch, fetch_answer, fetch_at, in_transaction, next_offset};

const TRANSACTIONS: usize = 1_000;
const DURABLE: usize = 200;
const MS_MAX: f64 = 1.0;
/// Three syncs, of which the last is not waited for (`compat-tests/tests/failures.rs` counts them), and three requests.
const SYNCS_MAX: f64 = 4.0;
const SEEN_MS_MAX: f64 = 2.0;
const RECORD_BYTES: usize = 100;
const WAIT_MS: i32 = 10_000;

pub fn transactions(bench: &Bench) -> Result<Vec<Row>> {
    let stage = bench.stage(Contender::Ours, 1, &[])?;
    let mut rows = Vec::new();
    for protocol in [Protocol::First, Protocol::Second] {
        let times = Session::begin(&stage, protocol)?.transactions(TRANSACTIONS)?;
        let name = format!("begin, produce, commit, {}", protocol.name());
        rows.push(Row::alone(&name, "p50 ms", times, Target::AtMost(MS_MAX)));
    }
    let seen = seen_after(&stage)?;
    rows.push(Row::alone("committed record seen after EndTxn", "p50 ms", median(seen.iter().copied()), Target::None));
    let most = seen.iter().copied().fold(0.0, f64::max);
    rows.push(Row::alone(
        "committed record seen after EndTxn",
        "p99 ms",
        percentile_99(seen),
        Target::AtMost(SEEN_MS_MAX),
    ));
    rows.push(Row::alone("committed record seen after EndTxn", "most ms", most, Target::None));
    drop(stage);
    let stage = bench.stage(Contender::Ours, 1, &[("flush.messages", "1")])?;
    let one = plain(&stage, DURABLE)?;
    rows.push(Row::alone("flush.messages=1: one Produce", "p50 ms", one, Target::None));
    for protocol in [Protocol::First, Protocol::Second] {
        let times = Session::begin(&stage, protocol)?.transactions(DURABLE)?;
        let name = format!("flush.messages=1: {}", protocol.name());
        rows.push(Row::alone(&name, "p50 ms", times, Target::None));
        rows.push(Row::alone(&name, "times one Produce", times / one, Target::AtMost(SYNCS_MAX)));
    }
    Ok(rows)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    First,
    Second,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::First => "EndTxn v3",
            Protocol::Second => "EndTxn v5",
        }
    }
}

/// A producer on a connection of its own.
struct Session<'a> {
    client: Client,
    producer: Producer,
    topic: &'a str,
    protocol: Protocol,
    sequence: i32,
}

impl<'a> Session<'a> {
    fn begin(stage: &'a Stage, protocol: Protocol) -> Result<Session<'a>> {
        let mut client = Client::connect(stage.server.port)?;
        let transactional_id = format!("bench-{}", protocol.name());
        client.call(&wire::find_coordinator(&transactional_id))?;
        let (error, id, epoch) = wire::init_answer(&client.call(&wire::init(&transactional_id))?)?;
        expect("InitProducerId", error)?;
        let producer = Producer { transactional_id, id, epoch };
        Ok(Session { client, producer, topic: &stage.topic, protocol, sequence: 0 })
    }

    /// The median time of a transaction, in ms.
    fn transactions(&mut self, count: usize) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            self.produce()?;
            self.commit()?;
            times.push(ms(start.elapsed()));
        }
        Ok(median(times.into_iter()))
    }

    /// One record, in a transaction that it begins.
    fn produce(&mut self) -> Result<()> {
        let mut version = 12;
        if self.protocol == Protocol::First {
            version = 11;
            let answer = self.client.call(&wire::add_partition(&self.producer, self.topic))?;
            expect("AddPartitionsToTxn", wire::add_partition_answer(&answer)?)?;
        }
        let mut records = batch(1, RECORD_BYTES);
        in_transaction(&mut records, self.producer.id, self.producer.epoch, self.sequence);
        let answer = self.client.call(&wire::produce(Some(&self.producer), version, self.topic, &records))?;
        self.sequence += 1;
        expect("Produce", wire::produce_answer(&answer)?)
    }

    fn commit(&mut self) -> Result<()> {
        let version = if self.protocol == Protocol::First { 3 } else { 5 };
        let answer = self.client.call(&wire::end(&self.producer, version, true))?;
        let (error, after) = wire::end_answer(&answer, version)?;
        expect("EndTxn", error)?;
        if let Some((id, epoch)) = after {
            (self.producer.id, self.producer.epoch, self.sequence) = (id, epoch, 0);
        }
        Ok(())
    }
}

/// From the answer to EndTxn until a waiting reader of committed records has the record, in ms; 0 where it has it first.
fn seen_after(stage: &Stage) -> Result<Vec<f64>> {
    let mut session = Session::begin(stage, Protocol::Second)?;
    let port = stage.server.port;
    let mut offset = end_of(port, &stage.topic)?;
    let mut seen = Vec::new();
    for _ in 0..TRANSACTIONS {
        let mut reader = Client::connect(port)?;
        reader.send(&fetch_at(&stage.topic, 0, offset, 1 << 20, WAIT_MS, 1))?;
        session.produce()?;
        let reading = std::thread::spawn(move || -> Result<(Instant, i64), String> {
            let answer = reader.receive().map_err(|e| e.to_string())?;
            let seen = Instant::now();
            let fetched = fetch_answer(&answer).map_err(|e| e.to_string())?;
            Ok((seen, next_offset(fetched.records).ok_or("nothing was read")?))
        });
        session.commit()?;
        let committed = Instant::now();
        let (at, next) = reading.join().map_err(|_| "the reader has panicked")??;
        offset = next;
        seen.push(ms(at.saturating_duration_since(committed)));
    }
    Ok(seen)
}

/// The offset after the last record.
fn end_of(port: u16, topic: &str) -> Result<i64> {
    let mut client = Client::connect(port)?;
    let mut offset = 0;
    loop {
        let answer = client.call(&fetch_at(topic, 0, offset, 1 << 20, 0, 1))?;
        match next_offset(fetch_answer(&answer)?.records) {
            Some(next) => offset = next,
            None => return Ok(offset),
        }
    }
}

/// The median time of a Produce without a transaction, in ms.
fn plain(stage: &Stage, count: usize) -> Result<f64> {
    let mut client = Client::connect(stage.server.port)?;
    let mut times = Vec::new();
    for _ in 0..count {
        let frame = wire::produce(None, 12, &stage.topic, &batch(1, RECORD_BYTES));
        let start = Instant::now();
        let answer = client.call(&frame)?;
        times.push(ms(start.elapsed()));
        expect("Produce", wire::produce_answer(&answer)?)?;
    }
    Ok(median(times.into_iter()))
}

fn percentile_99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

fn expect(api: &str, error: i16) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(format!("{api} answered error {error}").into()) }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
