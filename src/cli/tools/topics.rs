//! `ottla topics`, as kafka-topics.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::configs::{self, Resource};
use super::options::{Options, Spec};
use super::partitions::{name_of, whole_name};
use super::{ToolError, client, failed, output, print_json, usage};
use crate::client::{Client, ClientError, To, name_of as error_name, topic_name};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla topics --bootstrap-server HOST:PORT ACTION

Actions:
  --list                 names of all topics (--exclude-internal: without Kafka's own)
  --describe             of all topics, or of --topic; --under-replicated-partitions, --unavailable-partitions,
                         --under-min-isr-partitions, --at-min-isr-partitions, --topics-with-overrides show only those
  --create               --topic NAME [--partitions N] [--replication-factor N] [--replica-assignment 1,1]
                         [--config KEY=VALUE]... [--if-not-exists]
  --alter                --topic NAME --partitions N [--if-exists]
  --delete               --topic NAME [--if-exists]
--topic is a regular expression, but for --create. --json prints lists and descriptions as JSON.",
    values: &["topic", "topic-id", "partitions", "replication-factor", "replica-assignment", "config"],
    flags: &[
        "list",
        "describe",
        "create",
        "alter",
        "delete",
        "exclude-internal",
        "if-exists",
        "if-not-exists",
        "under-replicated-partitions",
        "unavailable-partitions",
        "under-min-isr-partitions",
        "at-min-isr-partitions",
        "topics-with-overrides",
        "json",
    ],
    optional_values: &[],
};

/// Which partitions of a description are shown.
const FILTERS: [&str; 4] =
    ["under-replicated-partitions", "unavailable-partitions", "under-min-isr-partitions", "at-min-isr-partitions"];

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let action = options.action(&["list", "describe", "create", "alter", "delete"])?;
    for (option, with) in [
        ("partitions", "create, alter"),
        ("replication-factor", "create"),
        ("if-not-exists", "create"),
        ("replica-assignment", "create"),
        ("config", "create"),
        ("if-exists", "alter, delete, describe"),
    ] {
        if !with.split(", ").any(|one| one == action) {
            options.refuse(&[option], action)?;
        }
    }
    let mut client = client(&options)?;
    match action {
        "list" => list(&mut client, &options),
        "describe" => describe(&mut client, &options),
        "create" => create(&mut client, &options),
        "alter" => alter(&mut client, &options),
        _ => delete(&mut client, &options),
    }
    .map_err(|error| match error {
        ToolError::Failed(why) | ToolError::Passing(why) if !why.is_empty() => {
            ToolError::Failed(format!("Error while executing topic command : {why}"))
        }
        other => other,
    })
}

/// The topics that `--topic` names, sorted. It is a mistake if there are none, unless `--if-exists`.
fn chosen<'a>(
    metadata: &'a MetadataResponse,
    options: &Options,
    excludes_internal: bool,
) -> Result<Vec<&'a MetadataResponseTopic>, ToolError> {
    let pattern = options.get("topic").map(whole_name).transpose()?;
    let id = options.get("topic-id");
    let mut topics: Vec<_> = metadata
        .topics
        .iter()
        .filter(|topic| !(excludes_internal && topic.is_internal))
        .filter(|topic| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name_of(topic))))
        .filter(|topic| id.is_none_or(|id| crate::base::TopicId(topic.topic_id).to_string() == id))
        .collect();
    topics.sort_by_key(|topic| name_of(topic));
    if topics.is_empty() && !options.has("if-exists") {
        if let Some(name) = options.get("topic") {
            return failed(format!("Topic '{name}' does not exist as expected"));
        }
        if let Some(id) = id {
            return failed(format!("TopicId '{id}' does not exist as expected"));
        }
    }
    Ok(topics)
}

fn list(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let metadata = client.metadata(None)?;
    let mut names: Vec<&str> = match options.get("topic") {
        Some(name) => {
            let pattern = whole_name(name)?;
            metadata.topics.iter().map(name_of).filter(|name| pattern.is_match(name)).collect()
        }
        None => chosen(&metadata, options, options.has("exclude-internal"))?.into_iter().map(name_of).collect(),
    };
    names.sort_unstable();
    let mut out = output();
    if options.has("json") {
        print_json(&mut out, &names.into())?;
    } else {
        for name in names {
            writeln!(out, "{name}")?;
        }
    }
    Ok(out.flush()?)
}

fn describe(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let metadata = client.metadata(None)?;
    let topics = chosen(&metadata, options, options.has("exclude-internal"))?;
    let mut out = output();
    let mut json = Vec::new();
    for topic in topics {
        let name = name_of(topic);
        let configs = configs::describe(client, &Resource::topic(name), false)?;
        let overrides: BTreeMap<_, _> =
            configs.iter().filter(|c| !c.is_default()).map(|c| (c.name.as_str(), c.shown())).collect();
        let id = crate::base::TopicId(topic.topic_id);
        let factor = topic.partitions.first().map_or(0, |p| p.replica_nodes.len());
        let min_isr =
            configs.iter().find(|c| c.name == "min.insync.replicas").and_then(|c| c.shown().parse().ok()).unwrap_or(1);
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|p| p.partition_index);
        let filters: Vec<&str> = FILTERS.into_iter().filter(|filter| options.has(filter)).collect();
        let filtered = !filters.is_empty();
        partitions.retain(|p| {
            !filtered
                || filters.iter().any(|filter| match *filter {
                    "under-replicated-partitions" => p.isr_nodes.len() < p.replica_nodes.len(),
                    "unavailable-partitions" => p.leader_id.0 < 0,
                    "under-min-isr-partitions" => p.isr_nodes.len() < min_isr,
                    _ => p.isr_nodes.len() == min_isr,
                })
        });
        if options.has("topics-with-overrides") && overrides.is_empty() {
            continue;
        }
        if options.has("json") {
            let partitions: Vec<_> = partitions
                .iter()
                .map(|p| {
                    serde_json::json!({
                        "partition": p.partition_index, "leader": p.leader_id.0,
                        "replicas": ids(&p.replica_nodes), "isr": ids(&p.isr_nodes),
                    })
                })
                .collect();
            json.push(serde_json::json!({
                "topic": name, "topicId": id.to_string(), "partitionCount": topic.partitions.len(),
                "replicationFactor": factor, "configs": overrides, "partitions": partitions,
            }));
            continue;
        }
        if !filtered {
            let configs: Vec<String> = overrides.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let count = topic.partitions.len();
            writeln!(
                out,
                "Topic: {name}\tTopicId: {id}\tPartitionCount: {count}\tReplicationFactor: {factor}\tConfigs: {}",
                configs.join(",")
            )?;
        }
        if options.has("topics-with-overrides") {
            continue;
        }
        for p in partitions {
            let leader = if p.leader_id.0 < 0 { "none".to_owned() } else { p.leader_id.0.to_string() };
            let list = |nodes: &[BrokerId]| ids(nodes).iter().map(i32::to_string).collect::<Vec<_>>().join(",");
            writeln!(
                out,
                "\tTopic: {name}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: \tLastKnownElr: ",
                p.partition_index,
                list(&p.replica_nodes),
                list(&p.isr_nodes)
            )?;
        }
    }
    if options.has("json") {
        print_json(&mut out, &json.into())?;
    }
    Ok(out.flush()?)
}

fn ids(nodes: &[BrokerId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

fn timeout_ms(client: &Client) -> i32 {
    client.timeout().min(Duration::from_secs(60)).as_millis() as i32
}

fn create(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let name = options.required("topic")?;
    for (option, what) in [("partitions", "partitions"), ("replication-factor", "replication factor")] {
        if options.number::<i32>(option)?.is_some_and(|n| n < 1) {
            return failed(format!("The {what} must be greater than 0"));
        }
    }
    if options.has("replica-assignment") {
        options.refuse(&["partitions", "replication-factor"], "replica-assignment")?;
    }
    let configs = options.pairs("config")?.into_iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(key))
            .with_value(Some(StrBytes::from_string(value)))
    });
    let mut topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(options.number("partitions")?.unwrap_or(-1))
        .with_replication_factor(options.number("replication-factor")?.unwrap_or(-1))
        .with_configs(configs.collect());
    if let Some(assignment) = options.get("replica-assignment") {
        let parse =
            |list: &str| list.split(':').map(|id| id.trim().parse().map(BrokerId)).collect::<Result<Vec<_>, _>>();
        for (partition, replicas) in assignment.split(',').enumerate() {
            let replicas = parse(replicas).map_err(|_| ToolError::Usage(format!("{assignment} is no assignment")))?;
            let one =
                CreatableReplicaAssignment::default().with_partition_index(partition as i32).with_broker_ids(replicas);
            topic.assignments.push(one);
        }
    }
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms(client));
    let answer = client.call(To::Controller, i16::MAX, &request)?;
    let Some(result) = answer.topics.first() else { return failed("the broker has answered for no topic") };
    match ClientError::check(result.error_code, result.error_message.as_ref()) {
        Err(error) if error.is(ResponseError::TopicAlreadyExists) && options.has("if-not-exists") => Ok(()),
        Err(ClientError::Refused { message: Some(message), .. }) => failed(message),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(writeln!(output(), "Created topic {name}.")?),
    }
}

fn alter(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let Some(count) = options.number::<i32>("partitions")? else {
        return usage("Missing required argument \"[partitions]\"");
    };
    options.required("topic")?;
    let metadata = client.metadata(None)?;
    let topics: Vec<_> = chosen(&metadata, options, false)?
        .into_iter()
        .map(|topic| {
            CreatePartitionsTopic::default()
                .with_name(topic_name(name_of(topic)))
                .with_count(count)
                .with_assignments(None)
        })
        .collect();
    if topics.is_empty() {
        return Ok(());
    }
    let request = CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(timeout_ms(client));
    let answer = client.call(To::Controller, i16::MAX, &request)?;
    for result in &answer.results {
        said(ClientError::check(result.error_code, result.error_message.as_ref()))?;
    }
    Ok(())
}

fn delete(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    options.required("topic")?;
    let metadata = client.metadata(None)?;
    let names: Vec<_> =
        chosen(&metadata, options, false)?.into_iter().map(|topic| topic_name(name_of(topic))).collect();
    if names.is_empty() {
        return Ok(());
    }
    let states = names.iter().map(|name| DeleteTopicState::default().with_name(Some(name.clone()))).collect();
    let request =
        DeleteTopicsRequest::default().with_topic_names(names).with_topics(states).with_timeout_ms(timeout_ms(client));
    // Up to version 5 there is one list of names, from 6 on another: each is encoded in its versions only.
    let newer = client.serves(To::Controller, <DeleteTopicsRequest as kafka_protocol::protocol::Request>::KEY, 6)?;
    let request = if newer { request.with_topic_names(Vec::new()) } else { request.with_topics(Vec::new()) };
    let answer = client.call(To::Controller, i16::MAX, &request)?;
    for result in &answer.responses {
        said(ClientError::check(result.error_code, result.error_message.as_ref()))?;
    }
    Ok(())
}

/// The message alone where there is one, as Kafka's tool prints it.
fn said(result: Result<(), ClientError>) -> Result<(), ToolError> {
    match result {
        Err(ClientError::Refused { error, message }) => failed(message.unwrap_or_else(|| error_name(error))),
        other => Ok(other?),
    }
}
