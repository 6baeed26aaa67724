//! Offsets of consumer groups: OffsetCommit (8), OffsetFetch (9), OffsetDelete (47), and how groups and offsets lie in `__consumer_offsets`.

mod commit;
mod delete;
mod fetch;
mod log;
pub mod requests;
mod retention;

use kafka_protocol::messages::ApiKey;

use crate::run::Scenario;

const NEEDS: &[ApiKey] = &[ApiKey::JoinGroup, ApiKey::OffsetCommit, ApiKey::OffsetFetch, ApiKey::OffsetDelete];

pub fn all() -> Vec<Scenario> {
    let all = [commit::all(), fetch::all(), delete::all(), retention::all(), log::all()];
    let mut all: Vec<Scenario> = all.concat().into_iter().map(|scenario| scenario.needs(NEEDS)).collect();
    all.extend(fetch::with_transactions());
    all
}
