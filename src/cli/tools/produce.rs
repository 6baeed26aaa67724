//! `ottla produce`, as kafka-console-producer.

mod lines;
mod sender;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;

use super::options::{Options, Spec};
use super::{ToolError, client_waiting, partitions, properties, usage};
use crate::base::Clock;
use crate::client::Client;
use crate::record::Codec;
use crate::record::build::NewRecord;
use lines::Lines;
use sender::{Producer, Sender};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla produce --bootstrap-server HOST:PORT --topic NAME [OPTIONS] < lines

Each line of standard input is the value of a record.
  --partition N                         where records go; else by the hash of their key, and all without a key to one
  --compression-codec CODEC             none, gzip, snappy, lz4 or zstd
  --request-required-acks 0|1|-1|all    default all
  --reader-property KEY=VALUE           parse.key, key.separator (a tab), parse.headers, headers.delimiter (a tab),
                                        headers.separator (,), headers.key.separator (:), null.marker, ignore.error
  --property                            the same
Sizes and times of Kafka's option list (--batch-size and the like) are accepted and change nothing. What cannot be sent now is
sent again within --timeout-ms (60,000), once only: the producer is idempotent where acks are all.
Exit code 1 if a record is refused; those before it are there.",
    values: &[
        "topic",
        "partition",
        "request-required-acks",
        "reader-property",
        "property",
        "producer-property",
        "command-property",
        "producer.config",
        "batch-size",
        "max-block-ms",
        "max-memory-bytes",
        "max-partition-memory-bytes",
        "message-send-max-retries",
        "metadata-expiry-ms",
        "request-timeout-ms",
        "retry-backoff-ms",
        "socket-buffer-size",
        "timeout",
    ],
    flags: &["sync"],
    optional_values: &["compression-codec"],
};

/// Of standard input at once.
const READ_BYTES: usize = 256 << 10;

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let topic = options.required("topic")?.to_owned();
    let lines = Lines::new(&options)?;
    let fixed = options.number::<i32>("partition")?;
    let set = properties(&options, &["acks", "compression.type"])?;
    let asked = options.get("compression-codec").or(options.has("compression-codec").then_some("gzip"));
    let codec = codec(asked.or(set.get("compression.type").map(String::as_str)).unwrap_or("none"))?;
    let acks = options.get("request-required-acks").or(set.get("acks").map(String::as_str)).unwrap_or("all");
    let acks = match acks {
        "all" | "-1" => -1,
        "1" => 1,
        "0" => 0,
        other => return usage(format!("Invalid value {other} for request-required-acks")),
    };
    let mut client = client_waiting(&options, options.number("timeout-ms")?)?;
    let leaders = leaders_of_new(&mut client, &topic)?;
    let producer = if acks == -1 { Some(Producer::new(&mut client)?) } else { None };
    let clock = Clock::system();
    let prompts = std::io::stdin().is_terminal();
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut sender = Sender { client, topic, leaders, codec, acks, producer };
    let (mut chunk, mut pending, mut number) = (vec![0; READ_BYTES], Vec::new(), 0u64);
    loop {
        if prompts {
            let _ = write!(std::io::stderr(), ">");
        }
        // What is at hand goes together; who types waits for nobody.
        let read = input.read(&mut chunk)?;
        pending.extend_from_slice(&chunk[..read]);
        if read == 0 && !pending.is_empty() {
            pending.push(b'\n');
        }
        let whole = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut waiting: BTreeMap<i32, Vec<NewRecord>> = BTreeMap::new();
        for line in pending[..whole].split_inclusive(|byte| *byte == b'\n') {
            number += 1;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let record = lines.record(line.strip_suffix(b"\r").unwrap_or(line), number);
            let mut record = match record {
                Ok(record) => record,
                Err(error) => {
                    // Those before it are the user's, as where each goes alone.
                    sender.send(waiting)?;
                    return Err(error);
                }
            };
            record.timestamp = clock.wall_ms();
            let partition = fixed.unwrap_or_else(|| partition_of(&record, &sender.leaders));
            waiting.entry(partition).or_default().push(record);
        }
        pending.drain(..whole);
        sender.send(waiting)?;
        if read == 0 {
            return Ok(());
        }
    }
}

fn codec(name: &str) -> Result<Codec, ToolError> {
    match name {
        "none" | "uncompressed" => Ok(Codec::None),
        "gzip" => Ok(Codec::Gzip),
        "snappy" => Ok(Codec::Snappy),
        "lz4" => Ok(Codec::Lz4),
        "zstd" => Ok(Codec::Zstd),
        other => usage(format!("Unknown compression name: {other}")),
    }
}

/// The leaders of a topic, which is created if the broker creates topics by itself.
fn leaders_of_new(client: &mut Client, topic: &str) -> Result<BTreeMap<i32, i32>, ToolError> {
    client.create_by_itself(topic)?;
    let leaders = partitions::leaders(client, &[topic])?;
    Ok(leaders.into_iter().map(|((_, partition), leader)| (partition, leader)).collect())
}

/// The same key always goes to the same partition, the one that Kafka's clients choose; what has no key stays together, in a
/// partition that differs from call to call.
fn partition_of(record: &NewRecord, leaders: &BTreeMap<i32, i32>) -> i32 {
    let count = leaders.len().max(1) as u32;
    match &record.key {
        Some(key) => (murmur2(key) & 0x7fff_ffff) as i32 % count as i32,
        None => (std::process::id() % count) as i32,
    }
}

/// Kafka's `Utils.murmur2`, by which its clients choose partitions.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut h: u32 = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (at, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafkas_clients_send_them() {
        // Values of org.apache.kafka.common.utils.Utils.murmur2.
        for (key, hash) in [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
