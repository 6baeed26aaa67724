//! One request that waits for any of several partitions.

use std::sync::Arc;

use crate::base::waiters::Waiter;
use crate::topic::Partition;

/// Registered on all of them until dropped, however the request ends.
pub struct Waiting {
    waiter: Arc<Waiter>,
    partitions: Vec<Arc<Partition>>,
}

impl Waiting {
    pub fn on(partitions: Vec<Arc<Partition>>) -> Waiting {
        let waiter = Waiter::new();
        partitions.iter().for_each(|partition| partition.register(&waiter));
        Waiting { waiter, partitions }
    }

    /// Returns when one of them has changed, also if that was before this call.
    pub async fn woken(&self) {
        self.waiter.woken().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.partitions.iter().for_each(|partition| partition.unregister(&self.waiter));
    }
}
