//! DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44), ListConfigResources (74).

mod alter;
mod errors;
mod incremental;
mod tables;

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [tables::all(), alter::all(), incremental::all(), errors::all()].concat()
}
