//! The one source of time. A manual clock makes time stand still for tests.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock and monotonic time. Cheap to clone; clones of a manual clock share its time.
#[derive(Clone, Debug)]
pub struct Clock {
    manual: Option<Arc<AtomicI64>>,
    begun: Instant,
}

impl Clock {
    pub fn system() -> Clock {
        Clock { manual: None, begun: Instant::now() }
    }

    /// A clock that moves only by [`Clock::advance`], starting at `wall_ms` milliseconds since 1970.
    pub fn manual(wall_ms: i64) -> Clock {
        Clock { manual: Some(Arc::new(AtomicI64::new(wall_ms))), begun: Instant::now() }
    }

    /// Milliseconds since 1970, as record timestamps count.
    pub fn wall_ms(&self) -> i64 {
        match &self.manual {
            Some(manual) => manual.load(Ordering::Relaxed),
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64),
        }
    }

    /// Monotonic time, for deadlines of network waits: it runs on also when the wall clock is manual.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Milliseconds that only grow, for timers of groups: a manual clock's own, else since the clock was made.
    pub fn timer_ms(&self) -> i64 {
        match &self.manual {
            Some(manual) => manual.load(Ordering::Relaxed),
            None => self.begun.elapsed().as_millis() as i64,
        }
    }

    /// Moves a manual clock forward. Has no effect on the system clock.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.manual {
            manual.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
        }
    }
}
