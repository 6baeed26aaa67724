//! One socket of the floor: frames in, answers out in order.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut};

use super::answer::{self, Fetch};
use super::log::{Log, Region};
use crate::sys::{self, Epoll};
use crate::wire::{self, get_string};
use crate::{Error, Result};

const INPUT_BYTES: usize = 8 << 10;
/// Room left after a frame larger than the buffer, so that the next ones arrive in few reads.
const INPUT_BYTES_BESIDES: usize = 256 << 10;

pub struct Connection {
    stream: TcpStream,
    port: u16,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    sent: usize,
    /// Follows `output`; no request is begun before it is out.
    region: Option<Region>,
    /// A Fetch that waits for data, its correlation id and until when; no request is begun before it is answered.
    waiting: Option<(Fetch, i32, Instant)>,
    wants_output: bool,
}

impl Connection {
    pub fn new(stream: TcpStream, port: u16) -> Connection {
        Connection {
            stream,
            port,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            output: Vec::new(),
            sent: 0,
            region: None,
            waiting: None,
            wants_output: false,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|&(_, _, deadline)| deadline)
    }

    /// Reads what there is, answers what is whole, writes what the socket takes. An error ends the connection.
    pub fn advance(&mut self, log: &mut Log, epoll: &Epoll, input: bool) -> Result<()> {
        if input {
            self.fill()?;
        }
        if let Some((fetch, correlation, deadline)) = self.waiting.take() {
            self.fetch(log, fetch, correlation, Some(deadline));
        }
        loop {
            self.answer_frames(log)?;
            let held_back = self.region.is_some();
            let drained = self.flush()?;
            if drained == self.wants_output {
                self.wants_output = !drained;
                epoll.want_output(self.stream.as_raw_fd(), !drained)?;
            }
            if !(drained && held_back) {
                return Ok(());
            }
        }
    }

    fn fill(&mut self) -> Result<()> {
        if self.filled >= 4 {
            let frame = (&self.input[..]).get_u32() as usize + 4;
            if frame > self.input.len() {
                self.input.resize(frame + INPUT_BYTES_BESIDES, 0);
            }
        }
        if self.filled == self.input.len() {
            self.input.resize(self.filled * 2, 0);
        }
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => {
                self.filled += count;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn answer_frames(&mut self, log: &mut Log) -> Result<()> {
        let mut input = std::mem::take(&mut self.input);
        let mut start = 0;
        while self.region.is_none() && self.waiting.is_none() && self.filled - start >= 4 {
            let end = start + 4 + (&input[start..]).get_u32() as usize;
            if end > self.filled {
                break;
            }
            self.answer(log, &mut input[start + 4..end])?;
            start = end;
        }
        if start > 0 {
            input.copy_within(start..self.filled, 0);
            self.filled -= start;
        }
        self.input = input;
        Ok(())
    }

    fn answer(&mut self, log: &mut Log, frame: &mut [u8]) -> Result<()> {
        let mut rest: &[u8] = frame;
        let (key, version, correlation) = (rest.try_get_i16()?, rest.try_get_i16()?, rest.try_get_i32()?);
        get_string(&mut rest)?; // client id
        let body_at = frame.len() - rest.len();
        let body = &mut frame[body_at..];
        if key == wire::FETCH {
            self.fetch(log, answer::parse_fetch(body)?, correlation, None);
            return Ok(());
        }
        let start = self.begin(correlation);
        match key {
            wire::PRODUCE => answer::produce(log, body, &mut self.output)?,
            wire::LIST_OFFSETS => answer::list_offsets(log, body, &mut self.output)?,
            wire::METADATA => answer::metadata(log, body, self.port, &mut self.output)?,
            wire::API_VERSIONS => answer::api_versions(version, &mut self.output),
            _ => return Err(Error::from("an API that the floor does not have")),
        }
        self.finish(start, 0);
        Ok(())
    }

    fn fetch(&mut self, log: &mut Log, fetch: Fetch, correlation: i32, deadline: Option<Instant>) {
        let region = log.topic(&fetch.topic).get(fetch.partition).and_then(|p| p.region(fetch.offset, fetch.bytes_max));
        let now = Instant::now();
        let deadline = deadline.unwrap_or_else(|| now + Duration::from_millis(fetch.wait_ms));
        if region.is_none() && deadline > now {
            self.waiting = Some((fetch, correlation, deadline));
            return;
        }
        let start = self.begin(correlation);
        answer::fetch(log, &fetch, region.as_ref(), &mut self.output);
        self.finish(start, region.as_ref().map_or(0, |region| region.left));
        self.region = region;
    }

    fn begin(&mut self, correlation: i32) -> usize {
        let start = self.output.len();
        self.output.put_i32(0);
        self.output.put_i32(correlation);
        start
    }

    fn finish(&mut self, start: usize, bytes_to_follow: usize) {
        let length = self.output.len() - start - 4 + bytes_to_follow;
        self.output[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    }

    /// Whether everything is out.
    fn flush(&mut self) -> io::Result<bool> {
        let socket = self.stream.as_raw_fd();
        while self.sent < self.output.len() {
            match sys::send(socket, &self.output[self.sent..], self.region.is_some()) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        while let Some(region) = &mut self.region {
            match sys::sendfile(socket, region.file, &mut region.position, region.left) {
                Ok(count) => region.left -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if region.left == 0 {
                self.region = None;
            }
        }
        Ok(true)
    }
}
