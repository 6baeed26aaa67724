//! What every other module may use and that knows nothing of Ottla: time, ids, waiting, stopping.
//!
//! Owns the only calls of the system clock. Never imports another module of this crate.

pub mod clock;
pub mod ids;
pub mod shutdown;
pub mod waiters;

use std::io;
use std::time::Duration;

pub use clock::Clock;
pub use ids::{DirectoryId, ProducerId, TopicId};

/// Pause between two attempts.
const RETRY: Duration = Duration::from_millis(100);

/// Tries again what fails, until `limit` has passed. Blocking.
pub fn retried<T>(limit: Duration, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let clock = Clock::system();
    let deadline = clock.instant() + limit;
    loop {
        match attempt() {
            Err(_) if clock.instant() + RETRY < deadline => std::thread::sleep(RETRY),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_within_the_limit() {
        let mut failures = 2;
        let second_last = retried(Duration::from_secs(60), || {
            failures -= 1;
            if failures >= 0 { Err(io::Error::other("not yet")) } else { Ok(7) }
        });
        assert_eq!(second_last.expect("the third attempt"), 7);
        let mut attempts = 0;
        let failed = retried(Duration::ZERO, || {
            attempts += 1;
            Err::<(), _>(io::Error::other("never"))
        });
        assert!(failed.is_err() && attempts == 1);
    }
}
