//! Producers: `connections=`, each with `depth=` requests outstanding, each request one batch of `records=` records of
//! `size=` bytes with acks=all, each to the next of the `partitions=`. Every request goes out in a write of its own, as
//! clients do.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Buf;

use super::{Window, connect};
use crate::options::Words;
use crate::sys::{self, Epoll};
use crate::{Result, wire};

const INPUT_BYTES: usize = 16 << 10;

struct Connection {
    stream: TcpStream,
    frame: Vec<u8>,
    /// How much of `frame` is out.
    written: usize,
    /// Requests that may still go out before an answer must come.
    free: usize,
    sent: VecDeque<Instant>,
    input: Vec<u8>,
    filled: usize,
    wants_output: bool,
}

pub fn run(words: &Words) -> Result<()> {
    sys::raise_descriptor_limit();
    let (port, topic) = (words.number("port")?, words.text("topic")?);
    let connections: usize = words.number_or("connections", 1)?;
    let (records, size) = (words.number_or("records", 1)?, words.number_or("size", 1024)?);
    let partitions = words.number_or("partitions", 1)?;
    let (frame, partition_at) = wire::produce(topic, 0, -1, &wire::batch(records, size));
    let mut epoll = Epoll::new()?;
    let mut all = HashMap::new();
    for _ in 0..connections {
        let stream = connect(port)?;
        epoll.watch(stream.as_raw_fd())?;
        let connection = Connection {
            frame: frame.clone(),
            written: 0,
            free: words.number_or("depth", 1)?,
            sent: VecDeque::new(),
            input: vec![0; INPUT_BYTES],
            filled: 0,
            wants_output: false,
            stream,
        };
        all.insert(connection.stream.as_raw_fd(), connection);
    }
    let load = Load { partition_at, partitions, value_bytes: records * size };
    let mut window = Window::new(words)?;
    let mut sent = 0;
    for connection in all.values_mut() {
        load.send(connection, &epoll, &window, &mut sent)?;
    }
    while window.is_open_or_ahead()? {
        for index in 0..epoll.wait(Some(Duration::from_millis(20)))? {
            let (fd, input) = epoll.event(index);
            let connection = all.get_mut(&fd).ok_or("an event of no connection")?;
            if input {
                load.receive(connection, &mut window)?;
            }
            load.send(connection, &epoll, &window, &mut sent)?;
        }
    }
    window.print()
}

struct Load {
    partition_at: usize,
    partitions: u64,
    value_bytes: usize,
}

impl Load {
    fn send(&self, to: &mut Connection, epoll: &Epoll, window: &Window, sent: &mut u64) -> Result<()> {
        let mut blocked = false;
        while to.free > 0 && (to.written > 0 || window.admits(*sent)) {
            if to.written == 0 {
                let partition = ((*sent % self.partitions) as i32).to_be_bytes();
                to.frame[self.partition_at..self.partition_at + 4].copy_from_slice(&partition);
                to.sent.push_back(Instant::now());
                *sent += 1;
            }
            match to.stream.write(&to.frame[to.written..]) {
                Ok(count) => to.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    blocked = true;
                    // Not begun: it is timed, and given its partition, when it goes out.
                    if to.written == 0 {
                        to.sent.pop_back();
                        *sent -= 1;
                    }
                    break;
                }
                Err(error) => return Err(error.into()),
            }
            if to.written == to.frame.len() {
                to.written = 0;
                to.free -= 1;
            }
        }
        if blocked != to.wants_output {
            to.wants_output = blocked;
            epoll.want_output(to.stream.as_raw_fd(), blocked)?;
        }
        Ok(())
    }

    fn receive(&self, from: &mut Connection, window: &mut Window) -> Result<()> {
        match from.stream.read(&mut from.input[from.filled..]) {
            Ok(0) => return Err("the server closed a producer's connection".into()),
            Ok(count) => from.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut start = 0;
        while from.filled - start >= 4 {
            let end = start + 4 + (&from.input[start..]).get_u32() as usize;
            if end > from.filled {
                break;
            }
            let (error, _) = wire::produce_answer(&from.input[start + 4..end])?;
            if error != 0 {
                return Err(format!("Produce answered error {error}").into());
            }
            window.answered(from.sent.pop_front().ok_or("an answer to no request")?, self.value_bytes);
            from.free += 1;
            start = end;
        }
        from.input.copy_within(start..from.filled, 0);
        from.filled -= start;
        Ok(())
    }
}
