//! The floor: the least that a server can do and still take records and give them back. One thread reads frames, checks
//! each batch's CRC, appends it to a file of its partition and answers; a Fetch leaves by sendfile.
//!
//! It is no broker: it trusts its input, forgets everything when it ends, knows no groups and no limits, and a Fetch
//! asks for one partition. With `sync=1` it syncs a partition's file before each acknowledgement, file by file.

mod answer;
mod connection;
mod log;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use connection::Connection;
use log::Log;

use crate::options::Words;
use crate::sys::{self, Epoll};
use crate::{Result, wire};

/// Serves until it is killed.
pub fn run(words: &Words) -> Result<()> {
    sys::raise_descriptor_limit();
    let port = words.number("port")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let log = Log::new(words.text("dir")?.into(), words.number_or("partitions", 1)?, words.number_or("sync", 0)? != 0);
    let epoll = Epoll::new()?;
    epoll.watch(listener.as_raw_fd())?;
    Floor { listener, epoll, log, port, connections: HashMap::new(), waiting: Vec::new() }.serve()
}

struct Floor {
    listener: TcpListener,
    epoll: Epoll,
    log: Log,
    port: u16,
    connections: HashMap<RawFd, Connection>,
    /// Connections whose Fetch found nothing yet, in the order they came.
    waiting: Vec<RawFd>,
}

impl Floor {
    fn serve(&mut self) -> Result<()> {
        loop {
            let deadline = self.waiting.iter().filter_map(|fd| self.connections.get(fd)?.deadline()).min();
            let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let appends = self.log.appends;
            for index in 0..self.epoll.wait(timeout)? {
                match self.epoll.event(index) {
                    (fd, _) if fd == self.listener.as_raw_fd() => self.accept()?,
                    (fd, input) => self.advance(fd, input),
                }
            }
            if self.log.appends != appends || deadline.is_some_and(|at| at <= Instant::now()) {
                std::mem::take(&mut self.waiting).into_iter().for_each(|fd| self.advance(fd, false));
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.epoll.watch(stream.as_raw_fd())?;
        self.connections.insert(stream.as_raw_fd(), Connection::new(stream, self.port));
        Ok(())
    }

    /// Lets a connection go on as far as it can; one that ended or failed is dropped.
    fn advance(&mut self, fd: RawFd, input: bool) {
        let Some(connection) = self.connections.get_mut(&fd) else { return };
        if connection.advance(&mut self.log, &self.epoll, input).is_err() {
            self.connections.remove(&fd);
        } else if connection.deadline().is_some() && !self.waiting.contains(&fd) {
            self.waiting.push(fd);
        }
    }
}

/// What the floor serves, for ApiVersions: one version each, old enough to be written by hand.
const SERVED: [(i16, i16); 5] =
    [(wire::PRODUCE, 3), (wire::FETCH, 4), (wire::LIST_OFFSETS, 1), (wire::METADATA, 1), (wire::API_VERSIONS, 0)];
