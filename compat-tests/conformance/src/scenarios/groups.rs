//! Classic consumer groups: JoinGroup (11), SyncGroup (14), Heartbeat (12), LeaveGroup (13), DescribeGroups (15), ListGroups (16), DeleteGroups (42).

mod admin;
mod expiry;
mod join;
mod leave;
mod lives;
pub mod member;
mod rejoin;
pub mod requests;
mod static_members;
mod sync;

use kafka_protocol::messages::ApiKey;

use crate::run::Scenario;

const NEEDS: &[ApiKey] = &[
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::DeleteGroups,
];

pub fn all() -> Vec<Scenario> {
    let all = [
        lives::all(),
        join::all(),
        rejoin::all(),
        sync::all(),
        leave::all(),
        static_members::all(),
        expiry::all(),
        admin::all(),
    ];
    all.concat().into_iter().map(|scenario| scenario.needs(NEEDS)).collect()
}
