//! Memory of requests in flight, over all connections: counted as bytes arrive, never by what a frame claims.
//!
//! Frames up to [`SMALL_FRAME_BYTES`] need no grant, so that a few stalled large ones hold back nobody. A connection that
//! gets no grant stops reading until another gives some back; one that holds a grant, sends nothing and keeps others
//! waiting is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Bytes that every connection may buffer without asking.
pub const SMALL_FRAME_BYTES: usize = 64 << 10;

/// The pool: `queued.max.request.bytes`.
#[derive(Debug)]
pub struct RequestMemory {
    bytes_max: usize,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    granted: usize,
    /// One grant may go past the bound, so that among frames that fill the pool half-read there is always one that ends.
    overdrawn: bool,
    waiting: Vec<Waker>,
}

/// What one connection holds; given back when dropped.
#[derive(Debug)]
pub struct Grant {
    memory: Arc<RequestMemory>,
    bytes: usize,
    overdraws: bool,
}

impl RequestMemory {
    /// `bytes_max` bounds all grants together but for one, which may be as large as a frame.
    pub fn new(bytes_max: usize) -> Arc<RequestMemory> {
        Arc::new(RequestMemory { bytes_max, pool: Mutex::default() })
    }

    pub fn grant(self: &Arc<Self>) -> Grant {
        Grant { memory: self.clone(), bytes: 0, overdraws: false }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows the grant to `bytes`; false, and a wake-up later, if there is no room.
    pub fn grow_to(&mut self, bytes: usize, waker: &Waker) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        let mut pool = self.memory.pool();
        let granted = pool.granted + (bytes - self.bytes);
        if granted > self.memory.bytes_max && !self.overdraws {
            if pool.overdrawn {
                if !pool.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
                    pool.waiting.push(waker.clone());
                }
                return false;
            }
            (pool.overdrawn, self.overdraws) = (true, true);
        }
        pool.granted = granted;
        self.bytes = bytes;
        true
    }

    /// Whether somebody waits for memory.
    pub fn is_short(&self) -> bool {
        !self.memory.pool().waiting.is_empty()
    }

    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if self.bytes <= bytes {
            return;
        }
        let waiting = {
            let mut pool = self.memory.pool();
            pool.granted -= self.bytes - bytes;
            self.bytes = bytes;
            if self.overdraws && (bytes == 0 || pool.granted <= self.memory.bytes_max) {
                (pool.overdrawn, self.overdraws) = (false, false);
            }
            std::mem::take(&mut pool.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_bounded_and_given_back() {
        let memory = RequestMemory::new(100);
        let (mut a, mut b, mut c) = (memory.grant(), memory.grant(), memory.grant());
        assert!(a.grow_to(60, Waker::noop()));
        assert!(b.grow_to(50, Waker::noop()), "one may overdraw");
        assert!(!c.grow_to(1, Waker::noop()));
        assert!(!a.grow_to(61, Waker::noop()));
        assert!(c.is_short());
        drop(b);
        assert!(!c.is_short(), "whoever waited was woken");
        assert!(c.grow_to(40, Waker::noop()));
    }

    #[test]
    fn of_frames_that_fill_the_pool_half_read_one_ends() {
        let memory = RequestMemory::new(100);
        let (mut a, mut b) = (memory.grant(), memory.grant());
        let mut ended = 0;
        for step in 1..=10 {
            let bytes = step * 10;
            let grown = [a.grow_to(bytes, Waker::noop()), b.grow_to(bytes, Waker::noop())];
            ended = grown.iter().filter(|grown| **grown).count();
        }
        assert_eq!(ended, 1, "the other one waits");
        a.shrink_to(0);
        assert!(b.grow_to(100, Waker::noop()));
        assert_eq!(memory.pool().granted, 100);
    }

    #[test]
    fn a_frame_above_the_bound_is_served_in_steps() {
        let memory = RequestMemory::new(100);
        let mut a = memory.grant();
        assert!((1..=20).all(|step| a.grow_to(step * 50, Waker::noop())));
        assert!(!memory.grant().grow_to(1, Waker::noop()));
        a.shrink_to(0);
        assert!(memory.grant().grow_to(100, Waker::noop()));
    }
}
