//! Groups of the consumer protocol (KIP-848): ConsumerGroupHeartbeat (68), ConsumerGroupDescribe (69), their commits, their configuration, and the way
//! from classic groups to them and back.

mod assignors;
mod configs;
mod describe;
mod epochs;
mod expiry;
mod log;
mod metadata;
mod migration;
mod offsets;
mod reconcile;
mod refusals;
mod regex;
pub mod requests;
mod static_members;

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [
        assignors::all(),
        configs::all(),
        describe::all(),
        epochs::all(),
        expiry::all(),
        log::all(),
        metadata::all(),
        migration::all(),
        offsets::all(),
        reconcile::all(),
        refusals::all(),
        regex::all(),
        static_members::all(),
    ]
    .concat()
}
