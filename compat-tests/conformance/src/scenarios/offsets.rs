//! Offsets of consumer groups: OffsetCommit (8), OffsetFetch (9), OffsetDelete (47), and how groups and offsets lie in `__consumer_offsets`.

mod by_id;
mod commit;
mod delete;
mod fetch;
mod log;
pub mod requests;
mod retention;

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [by_id::all(), commit::all(), fetch::all(), delete::all(), retention::all(), log::all()].concat()
}
