//! `ottla consume`, as kafka-console-consumer.

mod format;
mod member;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest};

use super::get_offsets::whole_name;
use super::options::{Options, Spec};
use super::partitions::{self, Partition, name_of};
use super::{ToolError, client_waiting, failed, output, usage};
use crate::base::Clock;
use crate::client::{Client, ClientError, ConsumedRecord, To, records_of, topic_name};
use format::Format;
use member::Member;

const SPEC: Spec = Spec {
    help: "\
Usage: ottla consume --bootstrap-server HOST:PORT --topic NAME [OPTIONS]

Prints the value of each record as a line.
  --include PATTERN           topics whose names match
  --from-beginning            else what comes from now on (for a group: where it has committed nothing)
  --partition N [--offset N]  one partition, from an offset, `earliest` or `latest`
  --group GROUP               as a member of a consumer group (KIP-848); offsets are committed
  --max-messages N            ends after that many
  --timeout-ms MS             ends when nothing came for so long
  --isolation-level LEVEL     read_uncommitted (default) or read_committed
  --formatter-property K=V    print.timestamp, print.partition, print.offset, print.epoch, print.headers, print.key, print.value,
                              key.separator (a tab), line.separator, headers.separator (,), null.literal
  --property K=V              the same
  --json                      a line of JSON for each record",
    values: &[
        "topic",
        "include",
        "partition",
        "offset",
        "group",
        "max-messages",
        "isolation-level",
        "formatter-property",
        "property",
        "consumer-property",
        "consumer.config",
        "formatter",
        "key-deserializer",
        "value-deserializer",
    ],
    flags: &["from-beginning", "skip-message-on-error", "enable-systest-events", "json"],
    optional_values: &[],
};

/// How long a broker may wait for records: heartbeats and `--timeout-ms` are looked at in between.
const WAIT: Duration = Duration::from_millis(250);
const FETCH_BYTES: i32 = 8 << 20;
/// Topics go by name up to here.
const VERSION_MAX: i16 = 12;

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let idle = options.number::<u64>("timeout-ms")?.map(Duration::from_millis);
    let left = options.number::<u64>("max-messages")?;
    // Here --timeout-ms is something else than the time for a request.
    let mut client = client_waiting(&options, None)?;
    let names = topics(&mut client, &options)?;
    let committed = match options.get("isolation-level").or_else(|| property(&options, "isolation.level")) {
        None | Some("read_uncommitted") => false,
        Some("read_committed") => true,
        Some(other) => return usage(format!("Invalid value {other} for isolation-level")),
    };
    let from_beginning = options.has("from-beginning") || property(&options, "auto.offset.reset") == Some("earliest");
    let group = options.get("group").or_else(|| property(&options, "group.id"));
    if group.is_some() && options.has("partition") {
        return usage("Options group and partition cannot be specified together.");
    }
    let mut reader = Reader {
        client,
        positions: BTreeMap::new(),
        leaders: BTreeMap::new(),
        read_committed: committed,
        reset: if from_beginning { partitions::EARLIEST } else { partitions::LATEST },
    };
    let mut member = None;
    match group {
        Some(group) => member = Some(Member::join(group, names)?),
        None => {
            let mut leaders =
                partitions::leaders(&mut reader.client, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
            if let Some(only) = options.number::<i32>("partition")? {
                leaders.retain(|(_, partition), _| *partition == only);
                if leaders.is_empty() {
                    return failed(format!("partition {only} does not exist"));
                }
            }
            reader.leaders = leaders;
            let wanted: Vec<Partition> = reader.leaders.keys().cloned().collect();
            match options.get("offset") {
                None => reader.place(&wanted)?,
                Some("earliest") => {
                    reader.reset = partitions::EARLIEST;
                    reader.place(&wanted)?;
                }
                Some("latest") => {
                    reader.reset = partitions::LATEST;
                    reader.place(&wanted)?;
                }
                Some(_) if !options.has("partition") => {
                    return usage("The partition is required when offset is specified.");
                }
                Some(number) => {
                    let Ok(offset) = number.parse::<i64>() else {
                        return usage(format!("The provided offset value '{number}' is incorrect."));
                    };
                    reader.positions.extend(wanted.into_iter().map(|partition| (partition, offset)));
                }
            }
        }
    }
    let format = Format::new(&options)?;
    let mut out = output();
    let mut count = 0;
    let limits = Limits { count: left, idle };
    let stopped = super::super::stop_signal();
    let result = consume(&mut reader, member.as_mut(), &format, &mut out, &limits, &stopped, &mut count);
    let left_group = member.map_or(Ok(()), |member| member.leave(&mut reader));
    eprintln!("Processed a total of {count} messages");
    result.and(left_group)
}

struct Limits {
    count: Option<u64>,
    /// Without any record.
    idle: Option<Duration>,
}

fn property<'a>(options: &'a Options, key: &str) -> Option<&'a str> {
    let pairs = options.all("consumer-property").iter().filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).next_back()
}

fn topics(client: &mut Client, options: &Options) -> Result<Vec<String>, ToolError> {
    match (options.get("topic"), options.get("include")) {
        (Some(topic), None) => {
            client.create_by_itself(topic)?;
            Ok(vec![topic.to_owned()])
        }
        (None, Some(pattern)) => {
            let pattern = whole_name(pattern)?;
            let metadata = client.metadata(None)?;
            let names: Vec<String> = metadata
                .topics
                .iter()
                .filter(|topic| !topic.is_internal && pattern.is_match(name_of(topic)))
                .map(|topic| name_of(topic).to_owned())
                .collect();
            if names.is_empty() { failed("no topic matches") } else { Ok(names) }
        }
        _ => usage("Exactly one of --include/--topic is required."),
    }
}

/// Reads until a limit is reached, and counts.
fn consume(
    reader: &mut Reader,
    mut member: Option<&mut Member>,
    format: &Format,
    out: &mut impl Write,
    limits: &Limits,
    stopped: &dyn Fn() -> bool,
    count: &mut u64,
) -> Result<(), ToolError> {
    let clock = Clock::system();
    let mut last = clock.instant();
    let is_full = |count: u64| limits.count.is_some_and(|limit| count >= limit);
    while !stopped() && !is_full(*count) {
        if limits.idle.is_some_and(|idle| passed(&clock, last) >= idle) {
            eprintln!("no more records within --timeout-ms");
            return Ok(());
        }
        if let Some(member) = member.as_deref_mut() {
            member.beat(reader, &clock)?;
        }
        let found = reader.poll()?;
        if !found.is_empty() {
            last = clock.instant();
        }
        for (partition, record) in found {
            if is_full(*count) {
                break;
            }
            format.write(out, &partition, &record)?;
            *count += 1;
            if let Some(member) = member.as_deref_mut() {
                member.processed(partition, record.offset + 1);
            }
        }
        out.flush()?;
        if let Some(member) = member.as_deref_mut() {
            member.commit(reader)?;
        }
    }
    Ok(())
}

fn passed(clock: &Clock, since: Instant) -> Duration {
    clock.instant().duration_since(since)
}

/// Reads partitions from positions of its own.
struct Reader {
    client: Client,
    positions: BTreeMap<Partition, i64>,
    leaders: BTreeMap<Partition, i32>,
    read_committed: bool,
    /// Where to read what has no position.
    reset: i64,
}

impl Reader {
    /// Puts these where the reset says.
    fn place(&mut self, wanted: &[Partition]) -> Result<(), ToolError> {
        let leaders = self.leaders.iter().filter(|(partition, _)| wanted.contains(partition));
        let leaders = leaders.map(|(partition, leader)| (partition.clone(), *leader)).collect();
        let offsets = partitions::offsets_at(&mut self.client, &leaders, self.reset, self.read_committed)?;
        self.positions.extend(offsets);
        Ok(())
    }

    /// Records that are there, or come within a moment; in the order of their partitions.
    fn poll(&mut self) -> Result<Vec<(Partition, ConsumedRecord)>, ToolError> {
        if self.positions.is_empty() {
            std::thread::sleep(WAIT);
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let nodes: std::collections::BTreeSet<i32> =
            self.positions.keys().filter_map(|partition| self.leaders.get(partition)).copied().collect();
        let wait = WAIT.as_millis() as i32 / nodes.len().max(1) as i32;
        for node in nodes {
            let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
            for (partition, position) in &self.positions {
                if self.leaders.get(partition) == Some(&node) {
                    let wanted = FetchPartition::default()
                        .with_partition(partition.1)
                        .with_current_leader_epoch(-1)
                        .with_fetch_offset(*position)
                        .with_log_start_offset(-1)
                        .with_partition_max_bytes(FETCH_BYTES / 8);
                    topics.entry(&partition.0).or_default().push(wanted);
                }
            }
            let topics = topics
                .into_iter()
                .map(|(topic, list)| FetchTopic::default().with_topic(topic_name(topic)).with_partitions(list));
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_wait_ms(wait.max(1))
                .with_min_bytes(1)
                .with_max_bytes(FETCH_BYTES)
                .with_isolation_level(i8::from(self.read_committed))
                .with_session_id(0)
                .with_session_epoch(-1)
                .with_topics(topics.collect());
            let answer = self.client.call(To::Node(node), VERSION_MAX, &request)?;
            ClientError::check(answer.error_code, None)?;
            for topic in answer.responses {
                for data in topic.partitions {
                    let partition = (topic.topic.0.to_string(), data.partition_index);
                    self.take(partition, &data, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn take(
        &mut self,
        partition: Partition,
        data: &kafka_protocol::messages::fetch_response::PartitionData,
        found: &mut Vec<(Partition, ConsumedRecord)>,
    ) -> Result<(), ToolError> {
        match ClientError::check(data.error_code, None) {
            Err(error) if error.is(ResponseError::OffsetOutOfRange) => return self.place(&[partition]),
            other => other?,
        }
        let Some(position) = self.positions.get(&partition).copied() else { return Ok(()) };
        let mut aborted: Vec<(i64, i64)> =
            data.aborted_transactions.iter().flatten().map(|t| (t.first_offset, t.producer_id.0)).collect();
        aborted.sort_unstable();
        let mut open = std::collections::BTreeSet::new();
        let (records, next) = records_of(data.records.as_deref().unwrap_or_default(), position, |header| {
            // A transaction is aborted from its first offset up to its marker.
            while let Some((_, producer)) = aborted.first().filter(|(first, _)| *first <= header.last_offset()) {
                open.insert(*producer);
                aborted.remove(0);
            }
            match header.is_control() {
                true => open.remove(&header.producer_id),
                false => header.is_transactional() && open.contains(&header.producer_id),
            }
        })?;
        found.extend(records.into_iter().map(|record| (partition.clone(), record)));
        self.positions.insert(partition, next);
        Ok(())
    }
}
