//! The scenarios, one file for each area.

pub mod api_versions;
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
pub mod topic_partitions;

use crate::run::Scenario;

/// All of them. Names are unique, and begin with the area that is the golden file.
pub fn all() -> Vec<Scenario> {
    [
        api_versions::all(),
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
        topic_partitions::all(),
    ]
    .concat()
}

/// Those whose names begin with one of the words; all of them without words.
pub fn chosen(words: &[String]) -> Vec<Scenario> {
    let chosen = |s: &Scenario| words.is_empty() || words.iter().any(|word| s.name.starts_with(word.as_str()));
    all().into_iter().filter(chosen).collect()
}
