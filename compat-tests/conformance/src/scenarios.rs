//! The scenarios, one file for each area.

pub mod api_versions;
pub mod cleaning;
pub mod configs;
pub mod connections;
pub mod consumer;
pub mod coordinator;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod fetch;
pub mod groups;
pub mod leader_epochs;
pub mod lifecycle;
pub mod list_offsets;
pub mod metadata;
pub mod offsets;
pub mod placement;
pub mod produce;
pub mod producers;
pub mod requests;
pub mod retention;
pub mod topic_partitions;
pub mod transactions;

use kafka_protocol::messages::ApiKey;

use crate::run::Scenario;
use crate::server::Kind;

/// Scenarios that are recorded of Kafka and not played to an Ottla yet, each with an API that it lacks. The test asserts how many they are, and
/// that Ottla indeed does not advertise the API.
pub const NOT_YET: &[(&str, ApiKey)] = &[];

/// All of them. Names are unique, and begin with the area that is the golden file.
pub fn all() -> Vec<Scenario> {
    [
        api_versions::all(),
        cleaning::all(),
        configs::all(),
        connections::all(),
        consumer::all(),
        coordinator::all(),
        create_partitions::all(),
        create_topics::all(),
        delete_records::all(),
        delete_topics::all(),
        describe_cluster::all(),
        fetch::all(),
        groups::all(),
        leader_epochs::all(),
        lifecycle::all(),
        list_offsets::all(),
        metadata::all(),
        offsets::all(),
        placement::all(),
        produce::all(),
        producers::all(),
        retention::all(),
        topic_partitions::all(),
        transactions::all(),
    ]
    .concat()
}

/// Those for a broker of that kind whose names begin with one of the words; all of them without words.
pub fn chosen(kind: Kind, words: &[String]) -> Vec<Scenario> {
    let not_yet = |s: &Scenario| kind == Kind::Ottla && NOT_YET.iter().any(|(name, _)| *name == s.name);
    let named = |s: &Scenario| words.is_empty() || words.iter().any(|word| s.name.starts_with(word.as_str()));
    let chosen = |s: &Scenario| named(s) && !not_yet(s);
    all().into_iter().filter(chosen).collect()
}
