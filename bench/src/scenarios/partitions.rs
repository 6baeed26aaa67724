//! A topic of 10,000 partitions: made, described, written, left alone, and there again after a restart.

use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::footprint::{IDLE, IDLE_CPU_MS_MAX};
use super::{Bench, Stage, median};
use crate::Result;
use crate::report::{Row, Target};
use crate::server::{Contender, Server};

const PARTITIONS: usize = 10_000;
const METADATA_ASKED: usize = 9;
const START_MS_MAX: f64 = 200.0;
const PARTITION_BYTES_MAX: f64 = 2000.0;
const SETTLE: Duration = Duration::from_millis(500);

pub fn wide(bench: &Bench) -> Result<Vec<Row>> {
    let mut created_ms = Vec::new();
    for _ in 1..bench.options.rounds {
        created_ms.push(create(&bench.server(Contender::Ours, 1, false)?)?);
    }
    let mut server = bench.server(Contender::Ours, 1, false)?;
    sleep(SETTLE);
    let empty_bytes = server.resident_bytes()?;
    created_ms.push(create(&server)?);
    let metadata = metadata_ms(&server)?;
    let partition_bytes =
        |server: &Server| -> Result<f64> { Ok((server.resident_bytes()? - empty_bytes) / PARTITIONS as f64) };
    let mut rows = vec![
        Row::alone("creating 10,000 partitions", "ms", median(created_ms.into_iter()), Target::AtMost(300.0)),
        Row::alone("Metadata of 10,000 partitions", "ms", metadata, Target::AtMost(5.0)),
        per_partition("resident, created", partition_bytes(&server)?),
    ];
    server.restart()?;
    rows.push(start_row("start, none of 10,000 written", &server));
    rows.push(per_partition("resident, restarted", partition_bytes(&server)?));

    let server = write(bench, server, &mut rows)?;
    let mut server = Rc::into_inner(server).ok_or("no stage is left by now")?;
    sleep(SETTLE);
    let open = per_partition("resident, each written and open", partition_bytes(&server)?);
    rows.push(Row { target: Target::None, ..open });
    server.restart()?;
    let stopped_ms = server.stopped_in.as_secs_f64() * 1e3;
    rows.push(Row::alone("clean stop, all 10,000 written", "ms", stopped_ms, Target::None));
    rows.push(start_row("start, all 10,000 written", &server));
    sleep(SETTLE);
    rows.push(per_partition("resident, each written, restarted", partition_bytes(&server)?));
    let before = server.cpu_seconds()?;
    sleep(IDLE);
    let cpu_ms = (server.cpu_seconds()? - before) * 1e3;
    rows.push(Row::alone("10 s idle, 10,000 partitions", "CPU ms", cpu_ms, Target::AtMost(IDLE_CPU_MS_MAX)));
    Ok(rows)
}

/// The first pass makes directories and files, and is told apart; then the same load on 10,000 and on one, in turns.
fn write(bench: &Bench, server: Server, rows: &mut Vec<Row>) -> Result<Rc<Server>> {
    server.client()?.create_topic("narrow", 1, &[])?;
    let server = Rc::new(server);
    let stage = |topic: &str| Stage {
        server: server.clone(),
        topic: topic.to_owned(),
        contender: Contender::Ours,
        warm: 0.2,
        secs: bench.options.secs,
    };
    let (wide, narrow) = (stage("wide"), stage("narrow"));
    let spread = format!("connections=64 partitions={PARTITIONS}");
    let first = wide.load("produce", &format!("{spread} warm=0 secs=60 count={PARTITIONS}"))?;
    let mut rates = Vec::new();
    for _ in 0..bench.options.rounds {
        let on_wide = wide.load("produce", &spread)?.figure("rate")?;
        let on_narrow = narrow.load("produce", "connections=64")?.figure("rate")?;
        rates.push((on_wide, on_narrow));
    }
    let first_us = first.figure("secs")? * 1e6 / PARTITIONS as f64;
    rows.push(Row::alone("first record of each of 10,000", "us", first_us, Target::None));
    rows.push(Row {
        floor: Some(median(rates.iter().map(|&(_, narrow)| narrow))),
        ratio: Some(median(rates.iter().map(|&(wide, narrow)| wide / narrow))),
        ..Row::alone(
            "producing over 10,000 (floor: ours over one)",
            "/s",
            median(rates.iter().map(|&(wide, _)| wide)),
            Target::RatioAtLeast(0.8),
        )
    });
    Ok(server)
}

fn create(server: &Server) -> Result<f64> {
    let mut client = server.client()?;
    let start = Instant::now();
    client.create_topic("wide", PARTITIONS, &[])?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn metadata_ms(server: &Server) -> Result<f64> {
    let mut client = server.client()?;
    let mut asked = Vec::new();
    for _ in 0..METADATA_ASKED {
        let start = Instant::now();
        let (_, partitions) = client.metadata(Some("wide"))?;
        asked.push(start.elapsed().as_secs_f64() * 1e3);
        if partitions != PARTITIONS {
            return Err(format!("Metadata shows {partitions} partitions of {PARTITIONS}").into());
        }
    }
    Ok(median(asked.into_iter()))
}

fn start_row(name: &str, server: &Server) -> Row {
    Row::alone(name, "ms", server.started_in.as_secs_f64() * 1e3, Target::AtMost(START_MS_MAX))
}

fn per_partition(name: &str, bytes: f64) -> Row {
    Row::alone(name, "bytes/partition", bytes, Target::AtMost(PARTITION_BYTES_MAX))
}
