//! The few system calls that std does not offer, each wrapped once.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

const EVENTS_MAX: usize = 256;

/// Level-triggered readiness of many sockets, for one thread.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; the descriptor returned is new and ours.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC) as isize)? as RawFd) };
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Watches a socket for input, under the number of its descriptor.
    pub fn watch(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, false)
    }

    /// Whether to say, besides, when the socket takes output again.
    pub fn want_output(&self, fd: RawFd, output: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, output)
    }

    fn control(&self, operation: i32, fd: RawFd, output: bool) -> io::Result<()> {
        let events = libc::EPOLLIN | if output { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
        // SAFETY: `event` outlives the call.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) } as isize).map(drop)
    }

    /// Waits for at least one event, at most `timeout`; returns how many there are for [`Epoll::event`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let milliseconds = timeout.map_or(-1, |t| t.as_micros().div_ceil(1000) as i32);
        // SAFETY: the kernel writes at most `events.len()` events.
        let count = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), self.events.len() as i32, milliseconds)
        };
        match check(count as isize) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other,
        }
    }

    /// The descriptor of event `index`, and whether there is input (or an end to be read) on it.
    pub fn event(&self, index: usize) -> (RawFd, bool) {
        let event = self.events[index];
        (event.u64 as RawFd, event.events & !(libc::EPOLLOUT as u32) != 0)
    }
}

/// Sends bytes; `more` holds a short packet back because a file's bytes follow at once.
pub fn send(socket: RawFd, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the kernel reads only within `bytes`.
    check(unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Sends a part of a file from the page cache, moving `position` on by what went out.
pub fn sendfile(socket: RawFd, file: RawFd, position: &mut i64, length: usize) -> io::Result<usize> {
    // SAFETY: `position` outlives the call.
    check(unsafe { libc::sendfile(socket, file, position, length) })
}

/// As many descriptors as the hard limit allows: a thousand connections are more than some soft limits.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls; a refusal leaves the limit as it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// CPU time of a process and all its threads, also those that ended, to the nanosecond.
pub fn cpu_seconds(process: u32) -> io::Result<f64> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers outlive their calls.
    unsafe {
        match libc::clock_getcpuclockid(process as i32, &mut clock) {
            0 => check(libc::clock_gettime(clock, &mut time) as isize)?,
            error => return Err(io::Error::from_raw_os_error(error)),
        };
    }
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

pub fn terminate(process: u32) {
    // SAFETY: no pointers; the process is a child that has not been waited for.
    unsafe { libc::kill(process as i32, libc::SIGTERM) };
}

/// Ends this process when its parent does: an interrupted benchmark leaves no server behind.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } as isize).map(drop)
}

fn check(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}
