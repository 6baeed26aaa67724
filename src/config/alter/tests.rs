use std::sync::Arc;

use super::*;
use crate::config::broker::BrokerConfigBuilder;
use crate::config::describe::tests::{source_name, synonyms};
use crate::config::describe::{self, ConfigEntry};

/// What a Kafka 4.2.1 answered to these requests, one after the other. Fields: request, resource name, operations,
/// answer; an answer to a change is the error code and message, or the first key as described afterwards.
///
/// Left out are resources that do not exist, and three answers of Java's own: the class names that
/// `principal.builder.class` and `metric.reporters` cannot load, and "/ by zero" for `log.cleaner.threads=0`.
const KAFKA: &str = include_str!("../testdata/kafka-4.2.1-alter.tsv");

/// What is set on the resources of the transcript.
struct Cluster {
    broker: DynamicBrokerConfig,
    topics: BTreeMap<String, BTreeMap<String, String>>,
    group: BTreeMap<String, String>,
    client_metrics: BTreeMap<String, String>,
}

impl Cluster {
    fn new() -> Self {
        let builder = BrokerConfigBuilder::new()
            .set("node.id", "1")
            .set("listeners", "PLAINTEXT://127.0.0.1:19392,CONTROLLER://127.0.0.1:19393");
        let broker = DynamicBrokerConfig::new(Arc::new(builder.build().unwrap().0));
        Self { broker, topics: BTreeMap::new(), group: BTreeMap::new(), client_metrics: BTreeMap::new() }
    }

    fn current(&self, target: AlterTarget, name: &str) -> BTreeMap<String, String> {
        match target {
            AlterTarget::Topic => self.topics.get(name).cloned().unwrap_or_default(),
            AlterTarget::Broker => self.broker.broker().clone(),
            AlterTarget::ClusterDefault => self.broker.cluster_default().clone(),
            AlterTarget::Group => self.group.clone(),
            AlterTarget::ClientMetrics => self.client_metrics.clone(),
        }
    }

    fn put(&mut self, target: AlterTarget, name: &str, next: BTreeMap<String, String>) {
        match target {
            AlterTarget::Topic => drop(self.topics.insert(name.to_owned(), next)),
            AlterTarget::Broker => self.broker = self.broker.with_broker(next),
            AlterTarget::ClusterDefault => self.broker = self.broker.with_cluster_default(next),
            AlterTarget::Group => self.group = next,
            AlterTarget::ClientMetrics => self.client_metrics = next,
        }
    }

    fn described(&self, target: AlterTarget, name: &str, key: &str) -> String {
        let entries = match target {
            AlterTarget::Topic => describe::topic(&self.broker, &self.current(target, name)),
            AlterTarget::Broker => describe::broker(&self.broker),
            AlterTarget::ClusterDefault => describe::cluster_default(&self.broker),
            AlterTarget::Group => describe::group(&self.broker, &self.group),
            AlterTarget::ClientMetrics => describe::client_metrics(&self.client_metrics),
        };
        entries.iter().find(|entry| entry.name == key).map_or_else(|| "absent".to_owned(), shown)
    }
}

fn shown(entry: &ConfigEntry) -> String {
    let value = entry.value.as_deref().unwrap_or("null");
    let sensitive = if entry.sensitive { " sens" } else { "" };
    let read_only = if entry.read_only { " ro" } else { "" };
    let synonyms = synonyms(entry);
    let space = if synonyms.is_empty() { "" } else { " " };
    let source = source_name(entry.source);
    format!("[{value}] {source}{sensitive}{read_only} {} {{{synonyms}{space}}}", entry.kind.name())
}

fn answer(cluster: &mut Cluster, request: &str, name: &str, operations: &str) -> String {
    let (verb, kind) = request.split_once(' ').unwrap_or(("ALTER", request));
    let target = match (kind, name) {
        ("TOPIC" | "CREATE", _) => AlterTarget::Topic,
        ("BROKER", "") => AlterTarget::ClusterDefault,
        ("BROKER", _) => AlterTarget::Broker,
        ("GROUP", _) => AlterTarget::Group,
        ("CLIENT_METRICS", _) => AlterTarget::ClientMetrics,
        _ => panic!("no such request: {request}"),
    };
    if verb == "SHOW" {
        return cluster.described(target, name, operations);
    }
    let pair = |text: &str| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    };
    let parts: Vec<&str> = operations.split(" ;; ").filter(|part| !part.is_empty()).collect();
    let current = cluster.current(target, name);
    let (first, changed) = if verb == "REPLACE" {
        let entries: Vec<(String, Option<String>)> = parts.iter().map(|part| pair(part)).collect();
        (entries.first().map(|entry| entry.0.clone()), replace_all(&cluster.broker, target, &current, &entries))
    } else {
        let alterations: Vec<Alteration> = parts
            .iter()
            .map(|part| {
                let (op, rest) = part.split_once(' ').unwrap();
                let op = match op {
                    "SET" => AlterOp::Set,
                    "DELETE" => AlterOp::Delete,
                    "APPEND" => AlterOp::Append,
                    _ => AlterOp::Subtract,
                };
                let (key, value) = pair(rest);
                Alteration { op, key, value }
            })
            .collect();
        let changed = apply_incremental(&cluster.broker, target, &current, &alterations);
        (Some(alterations[0].key.clone()), changed)
    };
    match changed {
        Ok(next) => {
            cluster.put(target, name, next);
            match first {
                Some(_) if kind == "CREATE" => "OK".to_owned(),
                Some(key) => format!("OK {}", cluster.described(target, name, &key)),
                None => "OK ".to_owned(),
            }
        }
        Err(error) => {
            let code = match error.error {
                ErrorName::InvalidConfig => 40,
                ErrorName::InvalidRequest => 42,
                ErrorName::UnknownServerError => -1,
            };
            format!("{code} {}", error.message)
        }
    }
}

#[test]
fn every_alteration_is_answered_as_kafka_answers_it() {
    let mut cluster = Cluster::new();
    let mut different = Vec::new();
    for line in KAFKA.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [request, name, operations, kafka] = fields[..] else { panic!("not four fields: {line}") };
        let ours = answer(&mut cluster, request, name, operations);
        if ours != kafka {
            different.push(format!("{request} {name} {operations}\n  kafka: {kafka}\n  ours:  {ours}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn a_value_past_the_size_limit_is_refused() {
    let cluster = Cluster::new();
    let value = (0..6000).map(|at| format!("1:{}", 10_000 + at)).collect::<Vec<_>>().join(",");
    let key = "leader.replication.throttled.replicas".to_owned();
    let alteration = Alteration { op: AlterOp::Append, key, value: Some(value) };
    let refused = apply_incremental(&cluster.broker, AlterTarget::Topic, &BTreeMap::new(), &[alteration]);
    let message = "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.";
    assert_eq!(refused, Err(AlterError::config(message)));
}

#[test]
fn unknown_operations_and_missing_names_have_kafkas_errors() {
    assert_eq!(AlterOp::from_code(4).unwrap_err().error, ErrorName::UnknownServerError);
    assert_eq!(AlterOp::from_code(3), Ok(AlterOp::Subtract));
    let refused = check_name(AlterTarget::Topic, "").unwrap_err();
    assert_eq!(refused, AlterError::request("Default topic resources are not allowed."));
    assert_eq!(check_name(AlterTarget::Broker, ""), Ok(()));
}
