//! Waiting for data: one waiter registered on many places, woken by the first that changes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// One parked request. It may stand in many [`WaitList`]s at once; a wake-up before it waits is not lost.
#[derive(Debug, Default)]
pub struct Waiter {
    notify: Notify,
}

impl Waiter {
    pub fn new() -> Arc<Waiter> {
        Arc::new(Waiter::default())
    }

    pub fn wake(&self) {
        self.notify.notify_one();
    }

    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

/// Who waits for one place to change.
#[derive(Debug, Default)]
pub struct WaitList {
    waiters: Mutex<Vec<Arc<Waiter>>>,
}

impl WaitList {
    pub fn register(&self, waiter: &Arc<Waiter>) {
        self.lock().push(waiter.clone());
    }

    pub fn remove(&self, waiter: &Arc<Waiter>) {
        self.lock().retain(|w| !Arc::ptr_eq(w, waiter));
    }

    /// Wakes everybody; they stay registered until they remove themselves.
    pub fn wake_all(&self) {
        for waiter in self.lock().iter() {
            waiter.wake();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
