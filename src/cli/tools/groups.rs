//! `ottla groups`, as kafka-consumer-groups.

mod describe;
mod reset;

use std::collections::BTreeMap;
use std::io::Write;

use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, GroupId, ListGroupsRequest, OffsetDeleteRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::options::{Options, Spec};
use super::partitions::Partition;
use super::{ToolError, client_waiting, failed, output, print_json, print_table, properties, usage};
use crate::client::{Client, ClientError, To, topic_name};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla groups --bootstrap-server HOST:PORT ACTION

Actions:
  --list [--state [STATES]] [--type [TYPES]]
  --describe GROUPS [--offsets|--members [--verbose]|--state]
  --reset-offsets GROUPS --topic T[:0,1]...|--all-topics TO [--execute|--dry-run|--export]
      TO: --to-earliest, --to-latest, --to-current, --to-offset N, --shift-by N, --to-datetime 2026-01-31T12:00:00.000,
      --by-duration PT1H30M, --from-file FILE (lines topic,partition,offset)
  --delete GROUPS
  --delete-offsets --group G --topic T[:0,1]...
GROUPS: --group G (may be repeated) or --all-groups. --json prints lists and descriptions as JSON.",
    values: &["group", "topic", "to-offset", "shift-by", "to-datetime", "by-duration", "from-file", "timeout"],
    flags: &[
        "list",
        "describe",
        "reset-offsets",
        "delete",
        "delete-offsets",
        "all-groups",
        "all-topics",
        "offsets",
        "members",
        "verbose",
        "to-earliest",
        "to-latest",
        "to-current",
        "execute",
        "dry-run",
        "export",
        "json",
    ],
    optional_values: &["state", "type"],
};

/// Groups go by name, and topics too, up to here.
const OFFSETS_VERSION_MAX: i16 = 9;

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let action = options.action(&["list", "describe", "reset-offsets", "delete", "delete-offsets"])?;
    if action == "describe" {
        options.refuse(&["topic", "type"], action)?;
        if ["offsets", "members", "state"].iter().filter(|name| options.has(name)).count() > 1 {
            return usage("Option [describe] takes at most one of these options: [members], [offsets], [state]");
        }
    }
    if action == "reset-offsets" && ["execute", "dry-run"].iter().all(|name| options.has(name)) {
        return usage("Option [reset-offsets] only accepts one of [execute], [dry-run]");
    }
    properties(&options, &[])?;
    let mut client = client_waiting(&options, options.number("timeout")?.or(options.number("timeout-ms")?))?;
    match action {
        "list" => list(&mut client, &options),
        "describe" => describe::run(&mut client, &options),
        "reset-offsets" => reset::run(&mut client, &options),
        "delete" => delete(&mut client, &options),
        _ => delete_offsets(&mut client, &options),
    }
}

/// In small letters.
const STATES: [&str; 7] =
    ["assigning", "completingrebalance", "dead", "empty", "preparingrebalance", "reconciling", "stable"];

struct Listed {
    id: String,
    state: String,
    kind: String,
}

/// Consumer groups, sorted. Groups of other protocols are not Kafka's tool's either.
fn listed(client: &mut Client) -> Result<Vec<Listed>, ToolError> {
    let mut found = Vec::new();
    for node in client.brokers()?.into_keys() {
        let answer = client.call(To::Node(node), i16::MAX, &ListGroupsRequest::default())?;
        ClientError::check(answer.error_code, None)?;
        found.extend(
            answer
                .groups
                .iter()
                .filter(|group| group.protocol_type.is_empty() || &*group.protocol_type == "consumer")
                .map(|group| Listed {
                    id: group.group_id.0.to_string(),
                    state: group.group_state.to_string(),
                    kind: group.group_type.to_string(),
                }),
        );
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

fn list(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let mut groups = listed(client)?;
    let wanted = |option: &str| -> Option<Vec<String>> {
        options.get(option).map(|list| list.split(',').map(|one| one.trim().to_lowercase()).collect())
    };
    if let Some(states) = wanted("state") {
        if let Some(unknown) = states.iter().find(|state| !STATES.contains(&state.as_str())) {
            return usage(format!("Invalid state list '{unknown}'. Valid states are: {}", STATES.join(", ")));
        }
        groups.retain(|group| states.contains(&group.state.to_lowercase()));
    }
    if let Some(types) = wanted("type") {
        groups.retain(|group| types.contains(&group.kind.to_lowercase()));
    }
    let mut out = output();
    if options.has("json") {
        let list: Vec<_> = groups
            .iter()
            .map(|group| serde_json::json!({"group": group.id, "type": group.kind, "state": group.state}))
            .collect();
        print_json(&mut out, &list.into())?;
    } else if options.has("state") || options.has("type") {
        let mut rows = vec![vec!["GROUP".to_owned()]];
        let (kinds, states) = (options.has("type"), options.has("state"));
        rows[0].extend(kinds.then(|| "TYPE".to_owned()));
        rows[0].extend(states.then(|| "STATE".to_owned()));
        for group in groups {
            let mut row = vec![group.id];
            row.extend(kinds.then(|| capitalised(&group.kind)));
            row.extend(states.then_some(group.state));
            rows.push(row);
        }
        print_table(&mut out, &rows)?;
    } else {
        for group in groups {
            writeln!(out, "{}", group.id)?;
        }
    }
    Ok(out.flush()?)
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The groups that the options name.
fn chosen(client: &mut Client, options: &Options) -> Result<Vec<String>, ToolError> {
    match (options.all("group"), options.has("all-groups")) {
        ([], true) => Ok(listed(client)?.into_iter().map(|group| group.id).collect()),
        ([], false) => usage("Option requires --group or --all-groups"),
        (groups, _) => Ok(groups.to_vec()),
    }
}

/// Committed offsets of a group.
pub fn committed(client: &mut Client, group: &str) -> Result<BTreeMap<Partition, i64>, ToolError> {
    let id = GroupId(StrBytes::from_string(group.to_owned()));
    let newer =
        client.serves(To::CoordinatorOf(group), <OffsetFetchRequest as kafka_protocol::protocol::Request>::KEY, 8)?;
    let request = if newer {
        let wanted = OffsetFetchRequestGroup::default().with_group_id(id).with_topics(None).with_member_epoch(-1);
        OffsetFetchRequest::default().with_groups(vec![wanted])
    } else {
        OffsetFetchRequest::default().with_group_id(id).with_topics(None)
    };
    let found = client.retried(|client| {
        let answer = client.call(To::CoordinatorOf(group), OFFSETS_VERSION_MAX, &request)?;
        ClientError::check(answer.error_code, None)?;
        let mut found = BTreeMap::new();
        for group in &answer.groups {
            ClientError::check(group.error_code, None)?;
            for topic in &group.topics {
                for partition in &topic.partitions {
                    found.insert((topic.name.0.to_string(), partition.partition_index), partition.committed_offset);
                }
            }
        }
        for topic in &answer.topics {
            for partition in &topic.partitions {
                found.insert((topic.name.0.to_string(), partition.partition_index), partition.committed_offset);
            }
        }
        Ok(found)
    })?;
    Ok(found.into_iter().filter(|(_, offset)| *offset >= 0).collect())
}

fn delete(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let mut failures = Vec::new();
    let mut deleted = Vec::new();
    for group in chosen(client, options)? {
        let request =
            DeleteGroupsRequest::default().with_groups_names(vec![GroupId(StrBytes::from_string(group.clone()))]);
        let answer = client.call(To::CoordinatorOf(&group), i16::MAX, &request)?;
        let code = answer.results.first().map_or(0, |result| result.error_code);
        match ClientError::check(code, None) {
            Ok(()) => deleted.push(group),
            Err(error) => failures.push(format!("* Group '{group}' could not be deleted due to: {error}")),
        }
    }
    let mut out = output();
    if failures.is_empty() {
        let names: Vec<String> = deleted.iter().map(|group| format!("'{group}'")).collect();
        writeln!(out, "Deletion of requested consumer groups ({}) was successful.", names.join(", "))?;
        return Ok(out.flush()?);
    }
    if !deleted.is_empty() {
        writeln!(out, "These consumer groups were deleted successfully: {}", deleted.join(", "))?;
        out.flush()?;
    }
    failed(format!("Error: Deletion of some consumer groups failed:\n{}", failures.join("\n")))
}

/// `topic` or `topic:0,1`; all partitions where none are named.
fn named_partitions(client: &mut Client, options: &Options) -> Result<Vec<Partition>, ToolError> {
    let mut found = Vec::new();
    for text in options.all("topic") {
        match text.split_once(':') {
            Some((topic, list)) => {
                for number in list.split(',') {
                    let Ok(partition) = number.trim().parse() else {
                        return usage(format!("Invalid topic arg '{text}'"));
                    };
                    found.push((topic.to_owned(), partition));
                }
            }
            None => found.extend(super::partitions::leaders(client, &[text])?.into_keys()),
        }
    }
    Ok(found)
}

fn delete_offsets(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let group = options.required("group")?.to_owned();
    options.required("topic")?;
    let mut topics: BTreeMap<String, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for (topic, partition) in named_partitions(client, options)? {
        let one = OffsetDeleteRequestPartition::default().with_partition_index(partition);
        topics.entry(topic).or_default().push(one);
    }
    let topics = topics
        .into_iter()
        .map(|(topic, list)| OffsetDeleteRequestTopic::default().with_name(topic_name(&topic)).with_partitions(list));
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.clone())))
        .with_topics(topics.collect());
    let answer = client.call(To::CoordinatorOf(&group), i16::MAX, &request)?;
    ClientError::check(answer.error_code, None)?;
    let mut rows = vec![["TOPIC", "PARTITION", "STATUS"].map(str::to_owned).to_vec()];
    let mut all_well = true;
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let status = match ClientError::check(partition.error_code, None) {
                Ok(()) => "Successful".to_owned(),
                Err(error) => {
                    all_well = false;
                    format!("Error: {error}")
                }
            };
            rows.push(vec![topic.name.0.to_string(), partition.partition_index.to_string(), status]);
        }
    }
    let mut out = output();
    if all_well {
        writeln!(out, "Request succeed for deleting offsets from group {group}.\n")?;
    } else {
        writeln!(out, "\nEncountered some partition-level error, see the follow-up details.\n")?;
    }
    print_table(&mut out, &rows)?;
    out.flush()?;
    if all_well { Ok(()) } else { failed("") }
}
