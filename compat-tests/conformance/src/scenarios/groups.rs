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

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [
        lives::all(),
        join::all(),
        rejoin::all(),
        sync::all(),
        leave::all(),
        static_members::all(),
        expiry::all(),
        admin::all(),
    ]
    .concat()
}
