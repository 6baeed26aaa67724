//! Memory of requests in flight, over all connections: counted as bytes arrive, never by what a frame claims.
//!
//! Frames up to [`SMALL_FRAME_BYTES`] need no grant, so that a few stalled large ones hold back nobody. A connection that
//! gets no grant stops reading until another gives some back; one that holds a grant, sends nothing and keeps others
//! waiting is closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Bytes that every connection may buffer without asking.
pub const SMALL_FRAME_BYTES: usize = 64 << 10;

/// The pool: `queued.max.request.bytes`.
#[derive(Debug)]
pub struct RequestMemory {
    bytes_max: usize,
    granted: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

/// What one connection holds; given back when dropped.
#[derive(Debug)]
pub struct Grant {
    memory: Arc<RequestMemory>,
    bytes: usize,
}

impl RequestMemory {
    pub fn new(bytes_max: usize) -> Arc<RequestMemory> {
        Arc::new(RequestMemory { bytes_max, granted: AtomicUsize::new(0), waiting: Mutex::default() })
    }

    pub fn grant(self: &Arc<Self>) -> Grant {
        Grant { memory: self.clone(), bytes: 0 }
    }

    /// Whether somebody waits for memory.
    pub fn is_short(&self) -> bool {
        !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take(&self, bytes: usize) -> bool {
        self.granted
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |granted| {
                // A single frame may exceed the pool when it is alone: it could never be served otherwise.
                let next = granted + bytes;
                (next <= self.bytes_max || granted == 0).then_some(next)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.granted.fetch_sub(bytes, Ordering::AcqRel);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
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
        let more = bytes - self.bytes;
        if !self.memory.take(more) {
            self.memory.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
            // Between the refusal and the registration somebody may have given back: look again.
            if !self.memory.take(more) {
                return false;
            }
        }
        self.bytes = bytes;
        true
    }

    pub fn is_short(&self) -> bool {
        self.memory.is_short()
    }

    pub fn release(&mut self) {
        if self.bytes > 0 {
            self.memory.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_bounded_and_given_back() {
        let memory = RequestMemory::new(100);
        let (mut a, mut b) = (memory.grant(), memory.grant());
        assert!(a.grow_to(60, Waker::noop()));
        assert!(!b.grow_to(50, Waker::noop()));
        assert!(memory.is_short());
        assert!(b.grow_to(40, Waker::noop()));
        drop(a);
        assert!(!memory.is_short(), "whoever waited was woken");
        assert!(b.grow_to(100, Waker::noop()));
        assert!(!memory.grant().grow_to(1, Waker::noop()));
    }

    #[test]
    fn a_frame_above_the_bound_is_served_alone() {
        let memory = RequestMemory::new(100);
        let mut a = memory.grant();
        assert!(a.grow_to(1000, Waker::noop()));
        let mut b = memory.grant();
        assert!(!b.grow_to(1, Waker::noop()));
    }
}
