//! `ottla dump-log`, as kafka-dump-log: what the files of a partition hold, ours and Kafka's alike.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use bytes::Buf;

use super::options::{Options, Spec};
use super::{ToolError, failed, output};
use crate::log::aborted::AbortedTransaction;
use crate::log::files;
use crate::log::index::{Entry, OffsetEntry, TimeEntry};
use crate::record::batch::{BatchHeader, HEADER_BYTES, crc_matches};
use crate::record::compress::{self, Codec};
use crate::record::control::Marker;
use crate::record::iter::Records;

const SPEC: Spec = Spec {
    help: "\
Usage: ottla dump-log --files FILE,FILE... [--print-data-log] [--deep-iteration] [--json]

Prints the batches of .log files (and their records with --print-data-log or --deep-iteration) and the entries of .index,
.timeindex, .txnindex and .snapshot files. Exit code 1 if a batch is damaged.",
    values: &["files", "max-bytes", "max-message-size"],
    flags: &[
        "print-data-log",
        "deep-iteration",
        "skip-record-metadata",
        "json",
    ],
    optional_values: &[],
};

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let mut out = output();
    let mut damaged = 0;
    for file in options.required("files")?.split(',').map(str::trim) {
        let path = Path::new(file);
        if !options.has("json") {
            writeln!(out, "Dumping {file}")?;
        }
        let bytes = || std::fs::read(path).map_err(|e| ToolError::Failed(format!("{file}: {e}")));
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension {
            "log" => damaged += dump_batches(&mut out, path, &options)?,
            "index" if bytes()?.is_empty() => writeln!(out, "{file} is empty.")?,
            "index" => dump_index(&mut out, &bytes()?, base_offset(path)?, |entry: OffsetEntry| {
                format!("offset: {} position: {}", entry.offset, entry.position)
            })?,
            "timeindex" => dump_index(&mut out, &bytes()?, base_offset(path)?, |entry: TimeEntry| {
                format!("timestamp: {} offset: {}", entry.timestamp, entry.offset)
            })?,
            "txnindex" => dump_aborted(&mut out, &bytes()?)?,
            "snapshot" => dump_producers(&mut out, &bytes()?)?,
            _ => eprintln!("Ignoring unknown file {file}"),
        }
    }
    out.flush()?;
    if damaged == 0 { Ok(()) } else { failed(format!("{damaged} damaged")) }
}

fn base_offset(path: &Path) -> Result<i64, ToolError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    // Offsets of entries are counted from it.
    let offset = stem.parse().ok().filter(|offset| (0..=i64::MAX - i64::from(u32::MAX)).contains(offset));
    offset.ok_or_else(|| ToolError::Failed(format!("{} is not named by an offset", path.display())))
}

/// Answers how many batches are damaged.
fn dump_batches(out: &mut impl Write, path: &Path, options: &Options) -> Result<u64, ToolError> {
    let named = |e: std::io::Error| ToolError::Failed(format!("{}: {e}", path.display()));
    let file = File::open(path).map_err(named)?;
    let end = file.metadata().map_err(named)?.len();
    let limit = options.number::<u64>("max-bytes")?.unwrap_or(u64::MAX);
    let records = options.has("print-data-log") || options.has("deep-iteration");
    if !options.has("json") {
        writeln!(out, "Log starting offset: {}", base_offset(path)?)?;
    }
    let (mut position, mut damaged) = (0u64, 0);
    let mut batch = vec![0; HEADER_BYTES];
    while position < end.min(limit) {
        batch.resize(HEADER_BYTES, 0);
        let head = files::read_at(&file, &mut batch, position).map_err(named)?;
        let header = BatchHeader::read(&batch[..head]);
        let Some(header) = header.filter(|h| h.is_plausible() && position + h.size() as u64 <= end) else {
            writeln!(out, "Found {} invalid bytes at the end of {}", end - position, path.display())?;
            return Ok(damaged + 1);
        };
        batch.resize(header.size(), 0);
        files::read_at(&file, &mut batch, position).map_err(named)?;
        let is_valid = crc_matches(&batch);
        damaged += u64::from(!is_valid);
        dump_batch(out, &header, &batch, position, is_valid, options)?;
        if records && is_valid {
            dump_records(out, &header, &batch, options)?;
        }
        position += header.size() as u64;
    }
    Ok(damaged)
}

fn codec_name(header: &BatchHeader) -> &'static str {
    match Codec::from_bits(header.codec_bits()) {
        Some(Codec::None) => "none",
        Some(Codec::Gzip) => "gzip",
        Some(Codec::Snappy) => "snappy",
        Some(Codec::Lz4) => "lz4",
        Some(Codec::Zstd) => "zstd",
        None => "unknown",
    }
}

fn time_kind(header: &BatchHeader) -> &'static str {
    if header.is_log_append_time() { "LogAppendTime" } else { "CreateTime" }
}

fn dump_batch(
    out: &mut impl Write,
    h: &BatchHeader,
    batch: &[u8],
    position: u64,
    is_valid: bool,
    options: &Options,
) -> Result<(), ToolError> {
    let size = batch.len();
    if options.has("json") {
        let json = serde_json::json!({
            "baseOffset": h.base_offset, "lastOffset": h.last_offset(), "count": h.record_count,
            "baseSequence": h.base_sequence, "producerId": h.producer_id, "producerEpoch": h.producer_epoch,
            "partitionLeaderEpoch": h.leader_epoch, "isTransactional": h.is_transactional(),
            "isControl": h.is_control(), "deleteHorizonMs": h.delete_horizon_ms(), "position": position,
            "timestamp": h.max_timestamp, "size": size, "compresscodec": codec_name(h), "crc": h.crc,
            "isvalid": is_valid,
        });
        return Ok(writeln!(out, "{json}")?);
    }
    let horizon = h.delete_horizon_ms().map_or("OptionalLong.empty".to_owned(), |at| format!("OptionalLong[{at}]"));
    let last_sequence = if h.base_sequence < 0 { -1 } else { h.last_sequence() };
    writeln!(
        out,
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {last_sequence} producerId: {} \
         producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} \
         position: {position} {}: {} size: {size} magic: {} compresscodec: {} crc: {} isvalid: {is_valid}",
        h.base_offset,
        h.last_offset(),
        h.record_count,
        h.base_sequence,
        h.producer_id,
        h.producer_epoch,
        h.leader_epoch,
        h.is_transactional(),
        h.is_control(),
        time_kind(h),
        h.max_timestamp,
        h.magic,
        codec_name(h),
        h.crc,
    )?;
    Ok(())
}

fn dump_records(out: &mut impl Write, header: &BatchHeader, batch: &[u8], options: &Options) -> Result<(), ToolError> {
    let opened = compress::open(batch, header)?;
    for (at, record) in Records::new(&opened, header.record_count).enumerate() {
        let record = record.map_err(|malformed| ToolError::Failed(malformed.0.to_owned()))?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        let timestamp = match header.is_log_append_time() {
            true => header.max_timestamp,
            false => header.base_timestamp + record.timestamp_delta,
        };
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if options.has("json") {
            let json = serde_json::json!({
                "offset": offset, "timestamp": timestamp, "key": text(record.key), "value": text(record.value),
            });
            writeln!(out, "{json}")?;
            continue;
        }
        let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        if !options.has("skip-record-metadata") {
            let sequence = if header.base_sequence < 0 { -1 } else { header.base_sequence.wrapping_add(at as i32) };
            let headers: Vec<String> = record.named_headers()?.into_iter().map(|(name, _)| name).collect();
            write!(
                out,
                "| offset: {offset} {}: {timestamp} keySize: {} valueSize: {} sequence: {sequence} headerKeys: [{}]",
                time_kind(header),
                size(record.key),
                size(record.value),
                headers.join(",")
            )?;
        } else {
            write!(out, "|")?;
        }
        if header.is_control() {
            match Marker::read(&opened) {
                Some(marker) => {
                    let kind = if marker.committed { "COMMIT" } else { "ABORT" };
                    write!(out, " endTxnMarker: {kind} coordinatorEpoch: {}", marker.coordinator_epoch)?;
                }
                None => write!(out, " controlType: unknown")?,
            }
        } else if options.has("print-data-log") {
            if let Some(key) = text(record.key) {
                write!(out, " key: {key}")?;
            }
            if let Some(value) = text(record.value) {
                write!(out, " payload: {value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// An entry that is cut short is damage; zeros are room that was made ahead.
fn whole(rest: &[u8]) -> Result<(), ToolError> {
    if rest.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        failed(format!("{} bytes behind the last entry", rest.len()))
    }
}

/// Entries as `line` shows them, up to the room that an open file has been given ahead, which is zero.
fn dump_index<E: Entry>(
    out: &mut impl Write,
    bytes: &[u8],
    base: i64,
    line: impl Fn(E) -> String,
) -> Result<(), ToolError> {
    let entries = bytes.chunks_exact(E::BYTES);
    let rest = entries.remainder();
    for (at, entry) in entries.enumerate() {
        if at > 0 && entry.iter().all(|byte| *byte == 0) {
            break;
        }
        writeln!(out, "{}", line(E::decode(entry, base)))?;
    }
    whole(rest)
}

fn dump_aborted(out: &mut impl Write, bytes: &[u8]) -> Result<(), ToolError> {
    let entries = bytes.chunks_exact(AbortedTransaction::BYTES);
    let rest = entries.remainder();
    for entry in entries {
        let Some(one) = AbortedTransaction::decode(entry) else { return failed("an entry is damaged") };
        writeln!(
            out,
            "version: 0 producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            one.producer_id, one.first_offset, one.last_offset, one.last_stable_offset
        )?;
    }
    whole(rest)
}

/// Version, CRC, and entries: Kafka's `ProducerStateManager`.
fn dump_producers(out: &mut impl Write, mut bytes: &[u8]) -> Result<(), ToolError> {
    const ENTRY_BYTES: usize = 46;
    if bytes.len() < 10 || bytes.get_i16() != 1 {
        return failed("this is no producer snapshot of version 1");
    }
    let crc = bytes.get_u32();
    if crc32c::crc32c(bytes) != crc {
        return failed("the snapshot is damaged: its CRC is another");
    }
    let count = bytes.get_i32();
    for _ in 0..count {
        if bytes.len() < ENTRY_BYTES {
            return failed("the snapshot ends early");
        }
        let (producer, epoch) = (bytes.get_i64(), bytes.get_i16());
        let (sequence, offset, delta) = (bytes.get_i32(), bytes.get_i64(), bytes.get_i32());
        let (timestamp, coordinator, open) = (bytes.get_i64(), bytes.get_i32(), bytes.get_i64());
        let open = if open < 0 { "OptionalLong.empty".to_owned() } else { format!("OptionalLong[{open}]") };
        let first = sequence.wrapping_sub(delta);
        writeln!(
            out,
            "producerId: {producer} producerEpoch: {epoch} coordinatorEpoch: {coordinator} currentTxnFirstOffset: {open} \
             lastTimestamp: {timestamp} firstSequence: {first} lastSequence: {sequence} lastOffset: {offset} offsetDelta: \
             {delta} timestamp: {timestamp}"
        )?;
    }
    Ok(())
}
