//! Transactions: InitProducerId (22) with a transactional id, AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26),
//! WriteTxnMarkers (27), TxnOffsetCommit (28), DescribeTransactions (65), ListTransactions (66), and what Produce, Fetch,
//! ListOffsets and OffsetFetch make of them.

mod add;
mod describe;
mod end;
mod init;
mod markers;
mod offsets;
mod produce;
mod read;
pub mod requests;

use crate::run::Scenario;

pub fn all() -> Vec<Scenario> {
    [init::all(), add::all(), end::all(), produce::all(), read::all(), offsets::all(), markers::all(), describe::all()]
        .concat()
}
