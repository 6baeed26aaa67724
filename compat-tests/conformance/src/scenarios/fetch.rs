//! Fetch (1).

mod long_polls;
mod offsets;
mod sessions;

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [offsets::all(), sessions::all(), long_polls::all()].concat()
}
