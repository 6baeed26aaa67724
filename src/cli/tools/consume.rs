//! `ottla consume`, as kafka-console-consumer.

mod format;
mod member;
mod reader;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use super::options::{Options, Spec};
use super::partitions;
use super::{ToolError, client_waiting, failed, output, properties, usage};
use crate::base::Clock;
use format::Format;
use member::Member;
use reader::{Reader, Wanted};

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
