//! `--describe`: offsets and lag, members, or the state of groups of both protocols.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::{Buf, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DescribeGroupsRequest, GroupId,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::{ToolError, chosen, committed};
use crate::cli::tools::options::Options;
use crate::cli::tools::partitions::{self, Partition};
use crate::cli::tools::{failed, output, print_json, print_table};
use crate::client::{Client, ClientError, To};

struct Member {
    id: String,
    host: String,
    client: String,
    assigned: Vec<Partition>,
}

struct Group {
    state: String,
    assignor: String,
    epoch: String,
    members: Vec<Member>,
}

pub fn run(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let mut out = output();
    let mut json = Vec::new();
    let mut missing = Vec::new();
    for name in chosen(client, options)? {
        let Some(group) = describe(client, &name)? else {
            missing.push(format!("Error: Consumer group '{name}' does not exist."));
            continue;
        };
        let offsets = committed(client, &name)?;
        let ends = ends(client, &offsets, &group)?;
        if options.has("json") {
            json.push(as_json(&name, &group, &offsets, &ends));
            continue;
        }
        if group.members.is_empty() && !options.has("state") {
            eprintln!("\nConsumer group '{name}' has no active members.");
        }
        writeln!(out)?;
        let rows = if options.has("members") {
            members(&name, &group, options.has("verbose"))
        } else if options.has("state") {
            state(client, &name, &group)?
        } else {
            lags(&name, &group, &offsets, &ends)
        };
        if rows.len() > 1 {
            print_table(&mut out, &rows)?;
        }
    }
    if options.has("json") {
        print_json(&mut out, &json.into())?;
    }
    out.flush()?;
    if missing.is_empty() { Ok(()) } else { failed(missing.join("\n")) }
}

/// `None`: there is no such group.
fn describe(client: &mut Client, name: &str) -> Result<Option<Group>, ToolError> {
    let id = GroupId(StrBytes::from_string(name.to_owned()));
    let key = <ConsumerGroupDescribeRequest as kafka_protocol::protocol::Request>::KEY;
    if client.serves(To::CoordinatorOf(name), key, 0)? {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![id.clone()]);
        let answer = client.call(To::CoordinatorOf(name), i16::MAX, &request)?;
        if let Some(group) = answer.groups.first() {
            match ClientError::check(group.error_code, group.error_message.as_ref()) {
                Ok(()) => return Ok(Some(of_kip_848(group))),
                Err(error) if error.is(ResponseError::GroupIdNotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let request = DescribeGroupsRequest::default().with_groups(vec![id]);
    let answer = client.call(To::CoordinatorOf(name), i16::MAX, &request)?;
    let Some(group) = answer.groups.first() else { return Ok(None) };
    match ClientError::check(group.error_code, group.error_message.as_ref()) {
        Err(error) if error.is(ResponseError::GroupIdNotFound) => return Ok(None),
        other => other?,
    }
    if &*group.group_state == "Dead" {
        return Ok(None);
    }
    let members = group.members.iter().map(|member| Member {
        id: member.member_id.to_string(),
        host: member.client_host.to_string(),
        client: member.client_id.to_string(),
        assigned: classic_assignment(&member.member_assignment),
    });
    Ok(Some(Group {
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        epoch: String::new(),
        members: members.collect(),
    }))
}

fn of_kip_848(group: &kafka_protocol::messages::consumer_group_describe_response::DescribedGroup) -> Group {
    let members = group.members.iter().map(|member| Member {
        id: member.member_id.to_string(),
        host: member.client_host.to_string(),
        client: member.client_id.to_string(),
        assigned: member
            .assignment
            .topic_partitions
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic_name.0.to_string(), *p)))
            .collect(),
    });
    Group {
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        epoch: group.group_epoch.to_string(),
        members: members.collect(),
    }
}

/// Kafka's `ConsumerProtocolAssignment` behind its version; nothing where it is something else.
fn classic_assignment(bytes: &Bytes) -> Vec<Partition> {
    let mut bytes = bytes.clone();
    if bytes.len() < 2 {
        return Vec::new();
    }
    let version = bytes.get_i16();
    let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut bytes, version.clamp(0, 3)) else { return Vec::new() };
    let partitions = assignment.assigned_partitions.iter();
    partitions.flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic.0.to_string(), *p))).collect()
}

/// The ends of all partitions that have an offset or an owner. What is gone has none.
fn ends(
    client: &mut Client,
    offsets: &BTreeMap<Partition, i64>,
    group: &Group,
) -> Result<BTreeMap<Partition, i64>, ToolError> {
    let all: std::collections::BTreeSet<&Partition> =
        offsets.keys().chain(group.members.iter().flat_map(|member| &member.assigned)).collect();
    if all.is_empty() {
        return Ok(BTreeMap::new());
    }
    let metadata = client.metadata(None)?;
    let leaders: BTreeMap<Partition, i32> = metadata
        .topics
        .iter()
        .flat_map(|topic| {
            let name = partitions::name_of(topic);
            topic.partitions.iter().map(move |p| ((name.to_owned(), p.partition_index), p.leader_id.0))
        })
        .filter(|(partition, _)| all.contains(partition))
        .collect();
    partitions::offsets_at(client, &leaders, partitions::LATEST, false)
}

fn text(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn lags(
    name: &str,
    group: &Group,
    offsets: &BTreeMap<Partition, i64>,
    ends: &BTreeMap<Partition, i64>,
) -> Vec<Vec<String>> {
    let header =
        ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let owners: BTreeMap<&Partition, &Member> =
        group.members.iter().flat_map(|member| member.assigned.iter().map(move |p| (p, member))).collect();
    let all: std::collections::BTreeSet<&Partition> = offsets.keys().chain(owners.keys().copied()).collect();
    for partition in all {
        let (offset, end) = (offsets.get(partition).copied(), ends.get(partition).copied());
        let lag = offset.zip(end).map(|(offset, end)| end - offset);
        let owner = owners.get(partition);
        let of_owner = |get: fn(&Member) -> &String| owner.map_or_else(|| "-".to_owned(), |owner| get(owner).clone());
        rows.push(vec![
            name.to_owned(),
            partition.0.clone(),
            partition.1.to_string(),
            text(offset),
            text(end),
            text(lag),
            of_owner(|member| &member.id),
            of_owner(|member| &member.host),
            of_owner(|member| &member.client),
        ]);
    }
    rows
}

fn members(name: &str, group: &Group, verbose: bool) -> Vec<Vec<String>> {
    let mut rows = vec![["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"].map(str::to_owned).to_vec()];
    if verbose {
        rows[0].push("ASSIGNMENT".to_owned());
    }
    for member in &group.members {
        let count = member.assigned.len().to_string();
        let mut row = vec![name.to_owned(), member.id.clone(), member.host.clone(), member.client.clone(), count];
        if verbose {
            let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for (topic, partition) in &member.assigned {
                topics.entry(topic).or_default().push(partition.to_string());
            }
            let shown: Vec<_> = topics.iter().map(|(topic, list)| format!("{topic}({})", list.join(","))).collect();
            row.push(if shown.is_empty() { "-".to_owned() } else { shown.join(", ") });
        }
        rows.push(row);
    }
    rows
}

fn state(client: &mut Client, name: &str, group: &Group) -> Result<Vec<Vec<String>>, ToolError> {
    let coordinator = client.coordinator(name)?;
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    Ok(vec![
        ["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"].map(str::to_owned).to_vec(),
        vec![
            name.to_owned(),
            coordinator,
            or_dash(&group.assignor),
            group.state.clone(),
            group.members.len().to_string(),
        ],
    ])
}

fn as_json(
    name: &str,
    group: &Group,
    offsets: &BTreeMap<Partition, i64>,
    ends: &BTreeMap<Partition, i64>,
) -> serde_json::Value {
    let offsets: Vec<_> = offsets
        .iter()
        .map(|((topic, number), offset)| {
            let end = ends.get(&(topic.clone(), *number));
            serde_json::json!({
                "topic": topic, "partition": number, "currentOffset": offset, "logEndOffset": end,
                "lag": end.map(|end| end - offset),
            })
        })
        .collect();
    let members: Vec<_> = group
        .members
        .iter()
        .map(|member| {
            serde_json::json!({
                "memberId": member.id, "host": member.host, "clientId": member.client, "assignment": member.assigned,
            })
        })
        .collect();
    serde_json::json!({
        "group": name, "state": group.state, "assignor": group.assignor, "epoch": group.epoch, "offsets": offsets,
        "members": members,
    })
}
