//! What the broker costs when it does little: start, memory, descriptors, idle CPU.

use std::thread::sleep;
use std::time::Duration;

use super::Bench;
use crate::Result;
use crate::report::{Row, Target};
use crate::server::Contender;

const SETTLE: Duration = Duration::from_secs(1);
pub const IDLE: Duration = Duration::from_secs(10);
/// "None", as far as a clock can tell: a thousandth of one core.
pub const IDLE_CPU_MS_MAX: f64 = 10.0;
const SEGMENTS: u64 = 128;
const SEGMENT_BYTES: u64 = 1 << 20;
const MB: f64 = 1e6;

pub fn start(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let started_in = match contender {
            Contender::Kafka => bench.kafka()?.started_in,
            _ => bench.server(contender, 1, false)?.started_in,
        };
        Ok(vec![started_in.as_secs_f64() * 1e3])
    })?;
    Ok(vec![rounds.row("empty, to the first Metadata answer", "ms", 0, Target::AtMost(15.0))])
}

pub fn memory(bench: &Bench) -> Result<Vec<Row>> {
    let stage = bench.stage(Contender::Ours, 1, &[])?;
    sleep(SETTLE);
    let idle = stage.server.resident_bytes()?;
    stage.fill(1_000_000_000)?;
    let written = stage.server.resident_bytes()?;
    Ok(vec![
        Row::alone("resident, idle", "MB", idle / MB, Target::AtMost(10.0)),
        Row::alone("resident, after 1 GB written", "MB", written / MB, Target::AtMost(40.0)),
    ])
}

/// How many descriptors more segments take. A cache of open files is filled by the first lot and takes none for the
/// second.
pub fn segments(bench: &Bench) -> Result<Vec<Row>> {
    let stage = bench.stage(Contender::Ours, 1, &[("segment.bytes", &SEGMENT_BYTES.to_string())])?;
    stage.fill(1)?;
    let lot = SEGMENTS * SEGMENT_BYTES;
    let mut open = vec![stage.server.open_descriptors()? as f64];
    for _ in 0..2 {
        stage.fill(lot)?;
        stage.load("fetch", &format!("max=1048576 warm=0 secs=5 bytes={}", lot * 2))?;
        sleep(Duration::from_millis(200)); // the reader's connection is gone by then
        open.push(stage.server.open_descriptors()? as f64);
    }
    Ok(vec![
        Row::alone("first 128 segments, written and read", "descriptors", open[1] - open[0], Target::None),
        Row::alone("128 more", "descriptors", open[2] - open[1], Target::AtMost(4.0)),
    ])
}

/// A broker that has worked and has 64 connections open does nothing when nobody asks.
pub fn idle(bench: &Bench) -> Result<Vec<Row>> {
    let stage = bench.stage(Contender::Ours, 1, &[])?;
    stage.load("produce", "connections=64 secs=0.5")?;
    let connections: Vec<_> = (0..64).map(|_| stage.server.client()).collect::<Result<_>>()?;
    sleep(SETTLE);
    let before = stage.server.cpu_seconds()?;
    sleep(IDLE);
    let cpu_ms = (stage.server.cpu_seconds()? - before) * 1e3;
    drop(connections);
    Ok(vec![Row::alone("10 s idle, 64 connections", "CPU ms", cpu_ms, Target::AtMost(IDLE_CPU_MS_MAX))])
}
