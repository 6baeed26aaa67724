//! Writing: rates beside the floor's, and server CPU time a request.

use super::Bench;
use crate::Result;
use crate::report::{Row, Target};

const CPU_US_MAX: f64 = 15.0;

pub fn sixty_four(bench: &Bench) -> Result<Vec<Row>> {
    small(bench, "64 connections x 1 KiB", "connections=64", 1)
}

pub fn thousand(bench: &Bench) -> Result<Vec<Row>> {
    small(bench, "1,000 connections, 64 partitions", "connections=1000 partitions=64", 64)
}

fn small(bench: &Bench, name: &str, shape: &str, partitions: usize) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let figures = bench.stage(contender, partitions, &[])?.load("produce", shape)?;
        Ok(vec![figures.figure("rate")?, figures.figure("cpu_us")?, figures.figure("p99_us")?])
    })?;
    Ok(vec![
        rounds.row(name, "requests/s", 0, Target::RatioAtLeast(0.7)),
        rounds.row(name, "CPU us/request", 1, Target::AtMost(CPU_US_MAX)),
        rounds.row(name, "p99 us", 2, Target::None),
    ])
}

pub fn tiny(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let figures = bench.stage(contender, 1, &[])?.load("produce", "depth=64 size=100")?;
        Ok(vec![figures.figure("rate")?, figures.figure("cpu_us")?])
    })?;
    Ok(vec![
        rounds.row("100-byte records, 64 deep", "requests/s", 0, Target::RatioAtLeast(0.6)),
        rounds.row("100-byte records, 64 deep", "CPU us/request", 1, Target::None),
    ])
}

pub fn bulk(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let figures = bench.stage(contender, 1, &[])?.load("produce", "depth=5 records=64")?;
        Ok(vec![figures.figure("mb_s")?, figures.figure("cpu_s_gb")?])
    })?;
    Ok(vec![
        rounds.row("64 x 1 KiB batches, 5 deep", "MB/s", 0, Target::RatioAtLeast(0.75)),
        rounds.row("64 x 1 KiB batches, 5 deep", "CPU s/GB", 1, Target::None),
    ])
}

/// Ours commits all partitions in one sync; the floor syncs each file by itself.
pub fn flush(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let stage = bench.stage(contender, 64, &[("flush.messages", "1")])?;
        let figures = stage.load("produce", "connections=64 partitions=64")?;
        Ok(vec![figures.figure("rate")?, figures.figure("p99_us")?])
    })?;
    Ok(vec![
        rounds.row("flush.messages=1, 64 partitions", "requests/s", 0, Target::RatioAtLeast(8.0)),
        rounds.row("flush.messages=1, 64 partitions", "p99 us", 1, Target::None),
    ])
}
