//! Reading what the page cache holds, and the way of a record to a Fetch that waits.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use crate::Result;
use crate::report::{Row, Target};

const CACHED_BYTES: u64 = 256_000_000;
/// More, since a kcat process needs some time to start.
const KCAT_BYTES: u64 = 512_000_000;
const CPU_S_GB_MAX: f64 = 0.35;

pub fn cached(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let stage = bench.stage(contender, 1, &[])?;
        stage.fill(CACHED_BYTES)?;
        let mut columns = Vec::new();
        for shape in ["connections=1 max=1048576", "connections=4 max=1048576", "connections=16 max=65536"] {
            let figures = stage.load("fetch", &format!("{shape} bytes=100000000000"))?;
            columns.extend([figures.figure("mb_s")?, figures.figure("cpu_s_gb")?]);
        }
        Ok(columns)
    })?;
    Ok(vec![
        rounds.row("one reader of 1 MiB", "MB/s", 0, Target::RatioAtLeast(0.85)),
        rounds.row("one reader of 1 MiB", "CPU s/GB", 1, Target::AtMost(CPU_S_GB_MAX)),
        rounds.row("four readers of 1 MiB", "MB/s", 2, Target::KafkaRatioAtLeast(1.0)),
        rounds.row("four readers of 1 MiB", "CPU s/GB", 3, Target::AtMost(CPU_S_GB_MAX)),
        rounds.row("16 readers of 64 KiB", "MB/s", 4, Target::None),
        rounds.row("16 readers of 64 KiB", "CPU s/GB", 5, Target::None),
    ])
}

/// kcat reads the whole topic into nowhere; its own start is part of the time, for all alike.
pub fn librdkafka(bench: &Bench) -> Result<Vec<Row>> {
    if Command::new("kcat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Err("kcat is not installed".into());
    }
    let rounds = bench.rounds(|contender| {
        let stage = bench.stage(contender, 1, &[])?;
        stage.fill(KCAT_BYTES)?;
        let server = format!("127.0.0.1:{}", stage.server.port);
        let (before, start) = (stage.server.cpu_seconds()?, Instant::now());
        let status = Command::new("kcat")
            .args(["-C", "-b", &server, "-t", &stage.topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o\n"])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("kcat ended with {status}").into());
        }
        let (secs, cpu) = (start.elapsed().as_secs_f64(), stage.server.cpu_seconds()? - before);
        Ok(vec![KCAT_BYTES as f64 / secs / 1e6, cpu * 1e9 / KCAT_BYTES as f64])
    })?;
    Ok(vec![
        rounds.row("one kcat", "MB/s", 0, Target::RatioAtLeast(0.85)),
        rounds.row("one kcat", "CPU s/GB", 1, Target::AtMost(CPU_S_GB_MAX)),
    ])
}

pub fn latency(bench: &Bench) -> Result<Vec<Row>> {
    let rounds = bench.rounds(|contender| {
        let figures = bench.stage(contender, 1, &[])?.load("latency", "")?;
        Ok(vec![figures.figure("p50_us")?, figures.figure("p99_us")?])
    })?;
    Ok(vec![
        rounds.row("Produce to a waiting Fetch", "p50 us", 0, Target::AtMost(500.0)),
        rounds.row("Produce to a waiting Fetch", "p99 us", 1, Target::None),
    ])
}
