//! `ottla produce`, as kafka-console-producer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TransactionalId};

use super::options::{Options, Spec};
use super::partitions;
use super::{ToolError, client, failed, usage};
use crate::client::{Client, ClientError, To, topic_name};
use crate::record::Codec;
use crate::record::build::{self, BatchFields, NewRecord};

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
Exit code 1 if a record is refused; those before it are there.",
    values: &[
        "topic",
        "partition",
        "compression-codec",
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
        "line-reader",
    ],
    flags: &["sync"],
    optional_values: &[],
};

/// A request holds this much at most; lines that come alone go alone.
const BATCH_BYTES: usize = 256 << 10;
/// Kafka's versions up to which topics go by name.
const VERSION_MAX: i16 = 12;

struct Reader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
    ignore_error: bool,
}

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let topic = options.required("topic")?.to_owned();
    let reader = Reader::new(&options)?;
    let fixed = options.number::<i32>("partition")?;
    let codec =
        codec(options.get("compression-codec").or_else(|| property(&options, "compression.type")).unwrap_or("none"))?;
    let acks = options.get("request-required-acks").or_else(|| property(&options, "acks")).unwrap_or("all");
    let acks = match acks {
        "all" | "-1" => -1,
        "1" => 1,
        "0" => 0,
        other => return usage(format!("Invalid value {other} for request-required-acks")),
    };
    let mut client = client(&options)?;
    let leaders = leaders_of_new(&mut client, &topic)?;
    let clock = crate::base::Clock::system();
    let prompts = std::io::stdin().is_terminal();
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut sender = Sender { client, topic, leaders, codec, acks };
    let (mut chunk, mut pending, mut number) = (vec![0; BATCH_BYTES], Vec::new(), 0u64);
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
            let record = reader.record(line.strip_suffix(b"\r").unwrap_or(line), number);
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

fn property<'a>(options: &'a Options, key: &str) -> Option<&'a str> {
    ["producer-property", "command-property"]
        .iter()
        .flat_map(|option| options.all(option))
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .next_back()
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

struct Sender {
    client: Client,
    topic: String,
    leaders: BTreeMap<i32, i32>,
    codec: Codec,
    acks: i16,
}

impl Sender {
    fn send(&mut self, waiting: BTreeMap<i32, Vec<NewRecord>>) -> Result<(), ToolError> {
        for (partition, records) in waiting {
            let Some(leader) = self.leaders.get(&partition).copied() else {
                return failed(format!("Topic {} not present in metadata: partition {partition}", self.topic));
            };
            let batch = build::build(&BatchFields { codec: self.codec, ..BatchFields::default() }, &records)?;
            let data = PartitionProduceData::default().with_index(partition).with_records(Some(Bytes::from(batch)));
            let topic = TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
            let request = ProduceRequest::default()
                .with_transactional_id(None::<TransactionalId>)
                .with_acks(self.acks)
                .with_timeout_ms(self.client.timeout().as_millis().min(i32::MAX as u128) as i32)
                .with_topic_data(vec![topic]);
            if self.acks == 0 {
                self.client.tell(To::Node(leader), VERSION_MAX, &request)?;
                continue;
            }
            let answer = self.client.call(To::Node(leader), VERSION_MAX, &request)?;
            for result in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
                ClientError::check(result.error_code, result.error_message.as_ref())?;
            }
        }
        Ok(())
    }
}

impl Reader {
    fn new(options: &Options) -> Result<Reader, ToolError> {
        let mut pairs: BTreeMap<String, String> = options.pairs("property")?.into_iter().collect();
        pairs.extend(options.pairs("reader-property")?);
        let text = |key: &str, default: &str| pairs.get(key).cloned().unwrap_or_else(|| default.to_owned());
        let flag = |key: &str| pairs.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        Ok(Reader {
            parse_key: flag("parse.key"),
            key_separator: text("key.separator", "\t"),
            parse_headers: flag("parse.headers"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: text("headers.separator", ","),
            headers_key_separator: text("headers.key.separator", ":"),
            null_marker: pairs.get("null.marker").cloned(),
            ignore_error: flag("ignore.error"),
        })
    }

    /// A line as headers, key and value, as far as they are asked for.
    fn record(&self, line: &[u8], number: u64) -> Result<NewRecord, ToolError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut rest = line;
        let mut record = NewRecord::default();
        if self.parse_headers
            && let Some(headers) = self.part(&mut rest, &self.headers_delimiter, "headers delimiter", number)?
        {
            for header in text(headers).split(&self.headers_separator).filter(|header| !header.is_empty()) {
                let Some((name, value)) = header.split_once(&self.headers_key_separator) else {
                    if self.ignore_error {
                        continue;
                    }
                    return failed(format!("No header key separator found in pair '{header}' on line number {number}"));
                };
                record.headers.push((name.to_owned(), self.value(value.as_bytes())));
            }
        }
        if self.parse_key
            && let Some(key) = self.part(&mut rest, &self.key_separator, "key separator", number)?
        {
            record.key = self.value(key);
        }
        record.value = self.value(rest);
        Ok(record)
    }

    /// What stands before the separator. Without one the line is a mistake, or all of it is the rest.
    fn part<'a>(
        &self,
        rest: &mut &'a [u8],
        separator: &str,
        what: &str,
        number: u64,
    ) -> Result<Option<&'a [u8]>, ToolError> {
        let at = rest.windows(separator.len().max(1)).position(|window| window == separator.as_bytes());
        match at {
            Some(at) => {
                let part = &rest[..at];
                *rest = &rest[at + separator.len()..];
                Ok(Some(part))
            }
            None if self.ignore_error => Ok(None),
            None => failed(format!("No {what} found on line number {number}: '{}'", String::from_utf8_lossy(rest))),
        }
    }

    fn value(&self, bytes: &[u8]) -> Option<Bytes> {
        match &self.null_marker {
            Some(marker) if marker.as_bytes() == bytes => None,
            _ => Some(Bytes::copy_from_slice(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &str) -> Reader {
        let arguments: Vec<String> =
            properties.split_whitespace().flat_map(|one| ["--property".to_owned(), one.to_owned()]).collect();
        Reader::new(&Options::parse(&SPEC, &arguments).expect("options")).expect("properties")
    }

    #[test]
    fn lines_are_taken_apart_as_kafka_does() {
        let plain = reader("").record(b"a:b", 1).expect("a record");
        assert_eq!((plain.key, plain.value), (None, Some(Bytes::from("a:b"))));
        let all = reader("parse.key=true key.separator=: parse.headers=true headers.delimiter=| null.marker=NULL");
        let record = all.record(b"h1:v1,h2:|k:v:w", 1).expect("a record");
        assert_eq!(record.headers, [("h1".to_owned(), Some(Bytes::from("v1"))), ("h2".to_owned(), Some(Bytes::new()))]);
        assert_eq!((record.key, record.value), (Some(Bytes::from("k")), Some(Bytes::from("v:w"))));
        assert_eq!(all.record(b"|k:NULL", 1).expect("a record").value, None);
        assert!(
            all.record(b"k:v", 7).is_err_and(|e| matches!(e, ToolError::Failed(why) if why.contains("line number 7")))
        );
        let lenient = reader("parse.key=true ignore.error=true").record(b"value", 1).expect("a record");
        assert_eq!((lenient.key, lenient.value), (None, Some(Bytes::from("value"))));
    }

    #[test]
    fn keys_go_where_kafkas_clients_send_them() {
        // Values of org.apache.kafka.common.utils.Utils.murmur2.
        for (key, hash) in [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
