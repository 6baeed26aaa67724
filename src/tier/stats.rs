//! What was said to the store since the start.

use crate::metrics::Counter;

#[derive(Debug, Default)]
pub struct Stats {
    /// Segments, whatever became of them.
    pub copies: Counter,
    pub copied_bytes: Counter,
    pub copy_errors: Counter,
    /// Pieces, whatever became of them.
    pub fetches: Counter,
    pub fetched_bytes: Counter,
    pub fetch_errors: Counter,
    /// Objects, whatever became of them.
    pub deletes: Counter,
    pub delete_errors: Counter,
}
