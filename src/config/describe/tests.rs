use std::sync::Arc;

use super::*;
use crate::config::broker::BrokerConfigBuilder;
use crate::config::defaults;

/// What a Kafka 4.2.1 with the properties below answered, one key a line: resource type, name, key, value, source,
/// ro/rw, sens/-, type, doc/nodoc, synonyms.
const KAFKA: &str = include_str!("../testdata/kafka-4.2.1-describe.tsv");

const PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:19397
listeners=PLAINTEXT://127.0.0.1:19396,CONTROLLER://127.0.0.1:19397
advertised.listeners=PLAINTEXT://127.0.0.1:19396
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=/tmp/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.hours=5
num.partitions=4
zookeeper.connect=x
log.retention.bytes= 77\\u0020
log.cleanup.policy=compact, delete
group.consumer.session.timeout.ms=50000
listener.name.plaintext.max.connections=9
log.roll.hours=3
nokey=v
min.insync.replicas=1
log.cleaner.min.cleanable.ratio=0.25
share.coordinator.threads=2
message.max.bytes=2000000
log.flush.interval.ms=5
group.share.record.lock.duration.ms=25000
";

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
    }
}

/// The synonyms as the admin client's names print them, separated by spaces.
pub(crate) fn synonyms(entry: &ConfigEntry) -> String {
    let own = defaults::own_default(&entry.name).is_some();
    let shown = entry.synonyms.iter().filter(|one| !(own && one.source == ConfigSource::Default));
    let text = |one: &ConfigSynonym| {
        format!("{}={}@{}", one.name, one.value.as_deref().unwrap_or("null"), source_name(one.source))
    };
    shown.map(text).collect::<Vec<_>>().join(" ")
}

fn line(kind: &str, resource: &str, entry: &ConfigEntry) -> String {
    [
        kind,
        resource,
        &entry.name,
        &entry.value.as_deref().map_or_else(|| "<NULL>".to_owned(), |value| format!("[{value}]")),
        source_name(entry.source),
        if entry.read_only { "ro" } else { "rw" },
        if entry.sensitive { "sens" } else { "-" },
        entry.kind.name(),
        if entry.doc.is_empty() { "nodoc" } else { "doc" },
        &synonyms(entry),
    ]
    .join("\t")
}

#[test]
fn every_entry_is_what_kafka_answers() {
    let (fixed, _) = BrokerConfigBuilder::new().properties(PROPERTIES).unwrap().build().unwrap();
    let config = DynamicBrokerConfig::new(Arc::new(fixed));
    let over = overrides(&[
        ("retention.ms", "1000"),
        ("cleanup.policy", "compact,delete"),
        ("segment.ms", " 5000 "),
        ("min.insync.replicas", "2"),
    ]);
    let mut ours = Vec::new();
    for (kind, name, entries) in [
        ("BROKER", "1", broker(&config)),
        ("BROKER", "-", cluster_default(&config)),
        ("TOPIC", "plain", topic(&config, &BTreeMap::new())),
        ("TOPIC", "over", topic(&config, &over)),
        ("GROUP", "g", group(&config, &BTreeMap::new())),
        ("CLIENT_METRICS", "m", client_metrics(&BTreeMap::new())),
    ] {
        ours.extend(entries.iter().map(|entry| line(kind, name, entry)));
    }
    ours.retain(|line| !line.contains("queued.max.request.bytes"));
    ours.sort();
    let kafka_default = |name: &str| defaults::own_default(name).is_some();
    let mut kafkas: Vec<String> = KAFKA
        .lines()
        .filter(|line| !line.contains("queued.max.request.bytes"))
        .map(|line| {
            let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
            fields.resize(10, String::new());
            if kafka_default(&fields[2]) {
                let kept = fields[9].split(' ').filter(|one| !one.ends_with("@DEFAULT_CONFIG"));
                fields[9] = kept.collect::<Vec<_>>().join(" ");
            }
            fields.join("\t")
        })
        .collect();
    kafkas.sort();
    assert_eq!(ours.len(), kafkas.len());
    for (our, kafka) in ours.iter().zip(&kafkas) {
        assert_eq!(our, kafka);
    }
}

#[test]
fn a_key_set_for_a_group_or_a_subscription_says_so() {
    let config = DynamicBrokerConfig::new(Arc::new(crate::config::BrokerConfig::defaults()));
    let entries = group(&config, &overrides(&[("consumer.session.timeout.ms", "50000")]));
    let entry = entries.iter().find(|entry| entry.name == "consumer.session.timeout.ms").unwrap();
    assert_eq!((entry.value.as_deref(), entry.source), (Some("50000"), ConfigSource::Group));
    assert_eq!(entry.synonyms.len(), 1);
    let entries = client_metrics(&overrides(&[("metrics", "*")]));
    let entry = entries.iter().find(|entry| entry.name == "metrics").unwrap();
    assert_eq!((entry.value.as_deref(), entry.source), (Some("*"), ConfigSource::ClientMetrics));
}

#[test]
fn our_own_defaults_are_described_as_defaults() {
    let config = DynamicBrokerConfig::new(Arc::new(crate::config::BrokerConfig::defaults()));
    let entries = broker(&config);
    let entry = entries.iter().find(|entry| entry.name == "queued.max.request.bytes").unwrap();
    assert_eq!((entry.value.as_deref(), entry.source), (Some("134217728"), ConfigSource::Default));
}
