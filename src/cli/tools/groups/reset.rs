//! `--reset-offsets`: moves the committed offsets of a group that has no members.

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, NaiveDateTime, Utc};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;

use super::{OFFSETS_VERSION_MAX, ToolError, chosen, committed, listed, named_partitions};
use crate::cli::tools::options::Options;
use crate::cli::tools::partitions::{self, Partition};
use crate::cli::tools::{failed, output, print_table, usage};
use crate::client::{Client, ClientError, To, topic_name};

const TARGETS: [&str; 8] =
    ["to-earliest", "to-latest", "to-current", "to-offset", "shift-by", "to-datetime", "by-duration", "from-file"];

pub fn run(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let target = options.action(&TARGETS)?;
    let mut out = output();
    let groups = chosen(client, options)?;
    let rows = match options.get("from-file") {
        Some(path) => Some(from_file(path, groups.len() > 1)?),
        None => None,
    };
    for group in &groups {
        let state = listed(client)?.into_iter().find(|one| one.id == *group).map(|one| one.state);
        if let Some(state) = state.filter(|state| state != "Empty" && state != "Dead") {
            return failed(format!(
                "Error: Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            ));
        }
        let current = committed(client, group)?;
        let asked: BTreeMap<Partition, i64> = rows
            .iter()
            .flatten()
            .filter(|row| row.group.as_ref().is_none_or(|name| name == group))
            .map(|row| (row.partition.clone(), row.offset))
            .collect();
        let scope = match (options.has("all-topics"), options.has("topic")) {
            _ if rows.is_some() => asked.keys().cloned().collect(),
            (true, false) => current.keys().cloned().collect(),
            (false, true) => named_partitions(client, options)?,
            _ => return usage("One of the reset scopes should be defined: --all-topics, --topic."),
        };
        let wanted = offsets(client, options, target, &scope, &current, &asked)?;
        if options.has("execute") {
            commit(client, group, &wanted)?;
        } else if !options.has("export") && !options.has("dry-run") {
            eprintln!("WARN: No action will be performed as the --execute option is missing.");
        }
        if options.has("export") {
            for ((topic, partition), offset) in &wanted {
                let group = if groups.len() > 1 { format!("{group},") } else { String::new() };
                writeln!(out, "{group}{topic},{partition},{offset}")?;
            }
            continue;
        }
        let mut rows = vec![["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"].map(str::to_owned).to_vec()];
        for ((topic, partition), offset) in &wanted {
            rows.push(vec![group.clone(), topic.clone(), partition.to_string(), offset.to_string()]);
        }
        writeln!(out)?;
        print_table(&mut out, &rows)?;
    }
    Ok(out.flush()?)
}

/// Where each partition is to go, within what is there. `asked` is what a file asks for.
fn offsets(
    client: &mut Client,
    options: &Options,
    target: &str,
    scope: &[Partition],
    current: &BTreeMap<Partition, i64>,
    asked: &BTreeMap<Partition, i64>,
) -> Result<BTreeMap<Partition, i64>, ToolError> {
    if scope.is_empty() {
        return Ok(BTreeMap::new());
    }
    let topics: std::collections::BTreeSet<&str> = scope.iter().map(|(topic, _)| topic.as_str()).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let mut leaders = partitions::leaders(client, &topics)?;
    if let Some((topic, partition)) = scope.iter().find(|partition| !leaders.contains_key(partition)) {
        return failed(format!("Error: partition {topic}-{partition} does not exist"));
    }
    leaders.retain(|partition, _| scope.contains(partition));
    let earliest = partitions::offsets_at(client, &leaders, partitions::EARLIEST, false)?;
    let latest = partitions::offsets_at(client, &leaders, partitions::LATEST, false)?;
    let at = match target {
        "to-datetime" => Some(datetime_ms(options.required("to-datetime")?)?),
        "by-duration" => {
            Some(crate::base::Clock::system().wall_ms().saturating_sub(duration_ms(options.required("by-duration")?)?))
        }
        _ => None,
    };
    let by_time = match at {
        Some(at) => partitions::offsets_at(client, &leaders, at, false)?,
        None => BTreeMap::new(),
    };
    let mut found = BTreeMap::new();
    for partition in leaders.keys() {
        let (first, last) = (earliest[partition], latest[partition]);
        let now = current.get(partition).copied();
        let offset = match target {
            "to-earliest" => first,
            "to-latest" => last,
            "to-current" => now.unwrap_or(last),
            "from-file" => asked[partition],
            "to-offset" => options.number::<i64>("to-offset")?.unwrap_or(0),
            "shift-by" => match now {
                Some(now) => now.saturating_add(options.number::<i64>("shift-by")?.unwrap_or(0)),
                None => {
                    return failed(format!(
                        "Cannot shift offset for partition {}-{} since there is no current committed offset",
                        partition.0, partition.1
                    ));
                }
            },
            _ => by_time.get(partition).copied().filter(|offset| *offset >= 0).unwrap_or(last),
        };
        if offset < first {
            eprintln!(
                "WARN: New offset ({offset}) is lower than earliest offset for topic partition {}-{}. Value will be set to {first}",
                partition.0, partition.1
            );
        } else if offset > last {
            eprintln!(
                "WARN: New offset ({offset}) is higher than latest offset for topic partition {}-{}. Value will be set to {last}",
                partition.0, partition.1
            );
        }
        found.insert(partition.clone(), offset.clamp(first, last));
    }
    Ok(found)
}

struct Row {
    /// Of a file for several groups.
    group: Option<String>,
    partition: Partition,
    offset: i64,
}

/// Lines `topic,partition,offset`, as `--export` writes them; for several groups with the group in front.
fn from_file(path: &str, several: bool) -> Result<Vec<Row>, ToolError> {
    let text = std::fs::read_to_string(path).map_err(|e| ToolError::Failed(format!("{path}: {e}")))?;
    let wrong = |line: &str| {
        let form = if several { "group,topic,partition,offset" } else { "topic,partition,offset" };
        ToolError::Failed(format!("{path}: '{line}' is not {form}"))
    };
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let (group, fields) = match &fields[..] {
            [group, rest @ ..] if several => (Some((*group).to_owned()), rest),
            all => (None, all),
        };
        let [topic, partition, offset] = fields else { return Err(wrong(line)) };
        let (partition, offset): (i32, i64) =
            partition.parse().ok().zip(offset.parse().ok()).ok_or_else(|| wrong(line))?;
        if offset < 0 {
            return failed(format!("{path}: Invalid negative offset: '{line}'"));
        }
        rows.push(Row { group, partition: ((*topic).to_owned(), partition), offset });
    }
    Ok(rows)
}

fn commit(client: &mut Client, group: &str, wanted: &BTreeMap<Partition, i64>) -> Result<(), ToolError> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in wanted {
        let one = OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(topic).or_default().push(one);
    }
    let topics = topics
        .into_iter()
        .map(|(topic, list)| OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(list));
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect());
    let answer = client.call(To::CoordinatorOf(group), OFFSETS_VERSION_MAX, &request)?;
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        ClientError::check(partition.error_code, None)?;
    }
    Ok(())
}

/// `2026-01-31T12:00:00.000`, with a zone (`Z`, `+01:00`) or in UTC.
fn datetime_ms(text: &str) -> Result<i64, ToolError> {
    if let Ok(zoned) = DateTime::parse_from_rfc3339(text) {
        return Ok(zoned.timestamp_millis());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|naive| naive.and_utc().timestamp_millis())
        .or_else(|| text.parse::<DateTime<Utc>>().ok().map(|at| at.timestamp_millis()))
        .ok_or_else(|| ToolError::Usage(format!("{text} is no date and time (2026-01-31T12:00:00.000)")))
}

/// An ISO 8601 duration of days, hours, minutes and seconds, as Java's `Duration` reads it.
fn duration_ms(text: &str) -> Result<i64, ToolError> {
    let wrong = || ToolError::Usage(format!("{text} is no duration (P1DT2H3M4.5S)"));
    let rest = text.strip_prefix('P').ok_or_else(wrong)?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total = 0.0;
    for (part, units) in
        [(days, &[('D', 86_400_000.0)][..]), (time, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1000.0)])]
    {
        let mut rest = part;
        for (unit, ms) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                total += number.parse::<f64>().map_err(|_| wrong())? * ms;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return Err(wrong());
        }
    }
    if rest.is_empty() { Err(wrong()) } else { Ok(total as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_java_does() {
        assert_eq!(datetime_ms("1970-01-01T00:00:01.500").expect("a time"), 1500);
        assert_eq!(datetime_ms("1970-01-01T01:00:00+01:00").expect("a time"), 0);
        assert_eq!(datetime_ms("1970-01-01T00:01").expect("a time"), 60_000);
        assert!(datetime_ms("yesterday").is_err());
        assert_eq!(duration_ms("PT1H30M").expect("a duration"), 5_400_000);
        assert_eq!(duration_ms("P1DT0.5S").expect("a duration"), 86_400_500);
        for wrong in ["P", "1H", "PT1X", "P1H"] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }
}
