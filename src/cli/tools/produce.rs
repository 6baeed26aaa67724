//! `ottla produce`, as kafka-console-producer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProducerId, TransactionalId};

use super::options::{Options, Spec};
use super::partitions;
use super::{ToolError, client_waiting, failed, properties, usage};
use crate::base::Clock;
use crate::client::{Client, ClientError, To, topic_name};
use crate::record::Codec;
use crate::record::batch::sequence_plus;
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
/// A batch is closed with the line that reaches this size: `batch.size` of Kafka's producers.
const BATCH_BYTES: usize = 16 << 10;
/// Pause before a batch is sent again.
const RETRY: Duration = Duration::from_millis(100);
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

/// An idempotent producer: what is sent again is there once.
struct Producer {
    id: i64,
    epoch: i16,
    /// The next sequence number of each partition.
    sequences: BTreeMap<i32, i32>,
}

impl Producer {
    fn new(client: &mut Client) -> Result<Producer, ToolError> {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_producer_id(ProducerId(-1));
        let answer = client.retried(|client| {
            let answer = client.call(To::Any, i16::MAX, &request)?;
            ClientError::check(answer.error_code, None)?;
            Ok(answer)
        })?;
        Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, sequences: BTreeMap::new() })
    }
}

struct Sender {
    client: Client,
    topic: String,
    leaders: BTreeMap<i32, i32>,
    codec: Codec,
    acks: i16,
    producer: Option<Producer>,
}

impl Sender {
    fn send(&mut self, waiting: BTreeMap<i32, Vec<NewRecord>>) -> Result<(), ToolError> {
        let size =
            |record: &NewRecord| [&record.key, &record.value].into_iter().flatten().map(Bytes::len).sum::<usize>();
        for (partition, records) in waiting {
            let mut rest = &records[..];
            while !rest.is_empty() {
                let (mut bytes, mut count) = (0, 0);
                while count < rest.len() && bytes < BATCH_BYTES {
                    bytes += size(&rest[count]);
                    count += 1;
                }
                let (batch, others) = rest.split_at(count);
                self.send_batch(partition, batch)?;
                rest = others;
            }
        }
        Ok(())
    }

    /// Sends a batch, and its halves where it is too large.
    fn send_batch(&mut self, partition: i32, records: &[NewRecord]) -> Result<(), ToolError> {
        match self.send_whole(partition, records) {
            Err(error) if error.is(ResponseError::MessageTooLarge) && records.len() > 1 => {
                let (first, second) = records.split_at(records.len() / 2);
                self.send_batch(partition, first)?;
                self.send_batch(partition, second)
            }
            other => Ok(other?),
        }
    }

    /// Until it is acknowledged, or the time is over: a broker may be away for a moment, or no longer lead the partition.
    fn send_whole(&mut self, partition: i32, records: &[NewRecord]) -> Result<(), ClientError> {
        let sequence = self.producer.as_ref().map(|producer| {
            let sequence = producer.sequences.get(&partition).copied().unwrap_or(0);
            (producer.id, producer.epoch, sequence)
        });
        let (producer_id, producer_epoch, base_sequence) = sequence.unwrap_or((-1, -1, -1));
        let fields =
            BatchFields { codec: self.codec, producer_id, producer_epoch, base_sequence, ..BatchFields::default() };
        let batch = Bytes::from(build::build(&fields, records).expect("a codec packs what is in memory"));
        let clock = Clock::system();
        let deadline = clock.instant() + self.client.timeout();
        loop {
            match self.attempt(partition, &batch) {
                Ok(()) => break,
                // It had arrived: only the answer was lost.
                Err(error) if sequence.is_some() && error.is(ResponseError::DuplicateSequenceNumber) => break,
                // Without a producer id a second copy might be one too many.
                Err(error @ ClientError::Unreachable { .. }) if sequence.is_none() => return Err(error),
                Err(error) if error.may_pass() && clock.instant() < deadline => {
                    std::thread::sleep(RETRY);
                    self.client.forget();
                    if let Ok(leaders) = partitions::leaders(&mut self.client, &[&self.topic]) {
                        self.leaders =
                            leaders.into_iter().map(|((_, partition), leader)| (partition, leader)).collect();
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(producer) = &mut self.producer {
            let next = sequence_plus(base_sequence, records.len() as i32);
            producer.sequences.insert(partition, next);
        }
        Ok(())
    }

    fn attempt(&mut self, partition: i32, batch: &Bytes) -> Result<(), ClientError> {
        let Some(leader) = self.leaders.get(&partition).copied() else {
            let message = format!("Topic {} not present in metadata: partition {partition}", self.topic);
            return Err(ClientError::Refused { error: ResponseError::InvalidPartitions, message: Some(message) });
        };
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.clone()));
        let topic = TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(None::<TransactionalId>)
            .with_acks(self.acks)
            .with_timeout_ms(self.client.timeout().as_millis().min(i32::MAX as u128) as i32)
            .with_topic_data(vec![topic]);
        if self.acks == 0 {
            return self.client.tell(To::Node(leader), VERSION_MAX, &request);
        }
        let answer = self.client.call(To::Node(leader), VERSION_MAX, &request)?;
        for result in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
            ClientError::check(result.error_code, result.error_message.as_ref())?;
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
