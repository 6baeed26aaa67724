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
use super::{ToolError, client_waiting, failed, output, properties, usage};
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
        "command-property",
        "formatter",
        "key-deserializer",
        "value-deserializer",
    ],
    flags: &["from-beginning", "skip-message-on-error", "json"],
    optional_values: &[],
};

/// How long a broker may wait for records: heartbeats and `--timeout-ms` are looked at in between.
const WAIT: Duration = Duration::from_millis(250);
/// For topics and partitions that come later.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(5);
const FETCH_BYTES: i32 = 8 << 20;
/// Topics go by name up to here.
const VERSION_MAX: i16 = 12;

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let set = properties(&options, &["group.id", "auto.offset.reset", "isolation.level"])?;
    let property = |key: &str| set.get(key).map(String::as_str);
    check_classes(&options)?;
    let idle = options.number::<u64>("timeout-ms")?.map(Duration::from_millis);
    // Negative is no limit, as in Kafka's tool.
    let left = options.number::<i64>("max-messages")?.and_then(|count| u64::try_from(count).ok());
    let read_committed = match options.get("isolation-level").or(property("isolation.level")) {
        None | Some("read_uncommitted") => false,
        Some("read_committed") => true,
        Some(other) => return usage(format!("Invalid value {other} for isolation-level")),
    };
    let from_beginning = options.has("from-beginning") || property("auto.offset.reset") == Some("earliest");
    if options.has("from-beginning") && property("auto.offset.reset").is_some_and(|reset| reset != "earliest") {
        return usage("Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest'");
    }
    let group = options.get("group").or(property("group.id"));
    if property("group.id").is_some_and(|other| group != Some(other)) {
        return usage("The group ids provided by '--group' and by properties do not match.");
    }
    if group.is_some() {
        options.refuse(&["partition", "offset"], "group")?;
    }
    if options.has("offset") {
        options.refuse(&["from-beginning"], "offset")?;
        options.required("partition")?;
    }
    // Here --timeout-ms is something else than the time for a request.
    let mut client = client_waiting(&options, None)?;
    let wanted = Wanted::new(&mut client, &options)?;
    let mut reader = Reader {
        client,
        wanted,
        positions: BTreeMap::new(),
        leaders: BTreeMap::new(),
        read_committed,
        reset: if from_beginning { partitions::EARLIEST } else { partitions::LATEST },
    };
    let mut member = match group {
        Some(group) => Some(Member::join(group)?),
        None => {
            reader.begin(options.get("offset"))?;
            None
        }
    };
    let format = Format::new(&options)?;
    let mut out = output();
    let mut session = Session { clock: Clock::system(), looked_up: Clock::system().instant(), count: 0 };
    let limits = Limits { count: left, idle };
    let stopped = super::super::stop_signal();
    let result = session.consume(&mut reader, member.as_mut(), &format, &mut out, &limits, &stopped);
    let left_group = member.map_or(Ok(()), |member| member.leave(&mut reader));
    eprintln!("Processed a total of {} messages", session.count);
    result.and(left_group)
}

/// Java classes of which only the one that does what we do can be asked for.
fn check_classes(options: &Options) -> Result<(), ToolError> {
    let known = [
        ("formatter", "DefaultMessageFormatter"),
        ("key-deserializer", "StringDeserializer"),
        ("value-deserializer", "StringDeserializer"),
    ];
    for (option, class) in known {
        if let Some(other) = options.get(option).filter(|name| name.rsplit('.').next() != Some(class)) {
            return failed(format!("--{option} {other} is not served, only {class}"));
        }
    }
    Ok(())
}

/// Which partitions are read: those of topics by name, also of topics and partitions that come later.
struct Wanted {
    topic: Option<String>,
    pattern: Option<regex::Regex>,
    partition: Option<i32>,
}

impl Wanted {
    fn new(client: &mut Client, options: &Options) -> Result<Wanted, ToolError> {
        let wanted = Wanted {
            topic: options.get("topic").map(str::to_owned),
            pattern: options.get("include").map(whole_name).transpose()?,
            partition: options.number("partition")?,
        };
        match (&wanted.topic, &wanted.pattern) {
            (Some(topic), None) => client.create_by_itself(topic)?,
            (None, Some(_)) => {}
            _ => return usage("Exactly one of --include/--topic is required."),
        }
        Ok(wanted)
    }

    fn topics(&self, client: &mut Client) -> Result<Vec<String>, ToolError> {
        let Some(pattern) = &self.pattern else { return Ok(self.topic.iter().cloned().collect()) };
        let metadata = client.metadata(None)?;
        let found = metadata.topics.iter().filter(|topic| !topic.is_internal && pattern.is_match(name_of(topic)));
        Ok(found.map(|topic| name_of(topic).to_owned()).collect())
    }
}

struct Limits {
    count: Option<u64>,
    /// Without any record.
    idle: Option<Duration>,
}

struct Session {
    clock: Clock,
    /// When topics and partitions were looked up last.
    looked_up: Instant,
    /// Printed so far.
    count: u64,
}

impl Session {
    /// Reads until a limit is reached. A broker that is away or not ready is waited for.
    fn consume(
        &mut self,
        reader: &mut Reader,
        mut member: Option<&mut Member>,
        format: &Format,
        out: &mut impl Write,
        limits: &Limits,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), ToolError> {
        let (mut last, mut well) = (self.clock.instant(), Some(self.clock.instant()));
        let mut troubled = self.clock.instant();
        while !stopped() && limits.count.is_none_or(|limit| self.count < limit) {
            if limits.idle.is_some_and(|idle| passed(&self.clock, last) >= idle) {
                eprintln!("no more records within --timeout-ms");
                return Ok(());
            }
            let before = self.count;
            match self.round(reader, member.as_deref_mut(), format, out, limits.count) {
                Ok(()) => well = Some(self.clock.instant()),
                Err(ToolError::Passing(why)) => {
                    if well.take().is_some() {
                        eprintln!("WARN: {why}: trying again");
                        troubled = self.clock.instant();
                    } else if passed(&self.clock, troubled) >= reader.client.timeout() {
                        return Err(ToolError::Passing(why));
                    }
                    std::thread::sleep(WAIT);
                    reader.client.forget();
                    self.looked_up = self.looked_up.checked_sub(LOOK_UP_AGAIN).unwrap_or(self.looked_up);
                }
                Err(error) => return Err(error),
            }
            if self.count > before {
                last = self.clock.instant();
            }
        }
        Ok(())
    }

    /// Heartbeat, fetch, print, commit: in that order, so that nothing counts as processed that was not printed.
    fn round(
        &mut self,
        reader: &mut Reader,
        mut member: Option<&mut Member>,
        format: &Format,
        out: &mut impl Write,
        limit: Option<u64>,
    ) -> Result<(), ToolError> {
        if passed(&self.clock, self.looked_up) >= LOOK_UP_AGAIN {
            match member.as_deref_mut() {
                Some(member) => member.look_up(reader)?,
                None => {
                    let new = reader.look_up()?;
                    // Records of a partition that has come since are all new.
                    reader.place(&new, partitions::EARLIEST)?;
                }
            }
            self.looked_up = self.clock.instant();
        }
        if let Some(member) = member.as_deref_mut() {
            member.beat(reader, &self.clock)?;
        }
        let mut printed = Vec::new();
        let mut rest = limit.map_or(u64::MAX, |limit| limit - self.count);
        for (partition, record) in reader.poll()? {
            if rest == 0 {
                break;
            }
            format.write(out, &partition, &record)?;
            rest -= 1;
            printed.push((partition, record.offset + 1));
        }
        out.flush()?;
        self.count += printed.len() as u64;
        if let Some(member) = member {
            member.processed(printed);
            member.commit(reader)?;
        }
        Ok(())
    }
}

fn passed(clock: &Clock, since: Instant) -> Duration {
    clock.instant().duration_since(since)
}

/// Reads partitions from positions of its own.
struct Reader {
    client: Client,
    wanted: Wanted,
    positions: BTreeMap<Partition, i64>,
    leaders: BTreeMap<Partition, i32>,
    read_committed: bool,
    /// Where to read what has no position.
    reset: i64,
}

impl Reader {
    /// Places every partition: at an offset that is asked for, or where the reset says.
    fn begin(&mut self, offset: Option<&str>) -> Result<(), ToolError> {
        self.look_up()?;
        let all: Vec<Partition> = self.leaders.keys().cloned().collect();
        match offset {
            Some("earliest") => self.reset = partitions::EARLIEST,
            Some("latest") => self.reset = partitions::LATEST,
            Some(number) => {
                let Some(offset) = number.parse::<i64>().ok().filter(|offset| *offset >= 0) else {
                    return usage(format!("The provided offset value '{number}' is incorrect."));
                };
                self.positions.extend(all.into_iter().map(|partition| (partition, offset)));
                return Ok(());
            }
            None => {}
        }
        self.place(&all, self.reset)
    }

    /// Looks up who leads what is wanted; answers the partitions that are new.
    fn look_up(&mut self) -> Result<Vec<Partition>, ToolError> {
        let names = self.wanted.topics(&mut self.client)?;
        let mut leaders = partitions::leaders(&mut self.client, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        if let Some(only) = self.wanted.partition {
            leaders.retain(|(_, partition), _| *partition == only);
            if leaders.is_empty() {
                return failed(format!("partition {only} does not exist"));
            }
        }
        let new = leaders.keys().filter(|partition| !self.leaders.contains_key(partition)).cloned().collect();
        self.leaders = leaders;
        Ok(new)
    }

    /// Puts these at a timestamp, or at the beginning or the end.
    fn place(&mut self, these: &[Partition], at: i64) -> Result<(), ToolError> {
        let of_these = |partition: &Partition| these.contains(partition);
        let leaders = self.leaders.iter().filter(|(partition, _)| of_these(partition));
        let leaders = leaders.map(|(partition, leader)| (partition.clone(), *leader)).collect();
        let offsets = partitions::offsets_at(&mut self.client, &leaders, at, self.read_committed)?;
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
            Err(error) if error.is(ResponseError::OffsetOutOfRange) => return self.place(&[partition], self.reset),
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
