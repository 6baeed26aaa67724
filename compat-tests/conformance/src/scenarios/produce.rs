//! Produce (0).

mod idempotence;
mod malformed;
mod records;
mod refusals;

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [refusals::all(), malformed::all(), records::all(), idempotence::all()].concat()
}
