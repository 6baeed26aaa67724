//! Connections with one request outstanding each: the next is sent when the answer is there.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Buf;

use super::Window;
use crate::Result;
use crate::options::Words;
use crate::sys::Epoll;

/// One connection, and the answer as far as it has come.
pub struct Turn {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    sent: Instant,
}

/// What is asked, again and again.
pub trait Asks {
    fn turn(&mut self) -> &mut Turn;

    fn ask(&mut self) -> Result<()>;

    /// Looks at a whole answer, without its length: bytes that count.
    fn answered(&mut self, answer: &[u8]) -> Result<usize>;
}

/// Asks on all connections until the window closes.
pub fn take_turns<T: Asks>(words: &Words, all: Vec<T>) -> Result<()> {
    let mut epoll = Epoll::new()?;
    let mut by_descriptor = HashMap::new();
    for mut one in all {
        let descriptor = one.turn().stream.as_raw_fd();
        epoll.watch(descriptor)?;
        by_descriptor.insert(descriptor, one);
    }
    let mut window = Window::new(words)?;
    by_descriptor.values_mut().try_for_each(T::ask)?;
    while window.is_open_or_ahead()? {
        for index in 0..epoll.wait(Some(Duration::from_millis(20)))? {
            let one = by_descriptor.get_mut(&epoll.event(index).0).ok_or("an event of no connection")?;
            if !one.turn().receive()? {
                continue;
            }
            let turn = one.turn();
            let (input, filled) = (std::mem::take(&mut turn.input), std::mem::take(&mut turn.filled));
            let bytes = one.answered(&input[4..filled])?;
            let turn = one.turn();
            turn.input = input;
            window.answered(turn.sent, bytes);
            one.ask()?;
        }
    }
    window.print()
}

impl Turn {
    /// The stream must not block; `input_bytes` is the largest answer.
    pub fn new(stream: TcpStream, input_bytes: usize) -> Turn {
        Turn { stream, input: vec![0; input_bytes], filled: 0, sent: Instant::now() }
    }

    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        Ok(self.stream.write_all(frame)?)
    }

    /// Reads what has come: whether the answer is whole.
    fn receive(&mut self) -> Result<bool> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(self.filled >= 4 && self.filled >= (&self.input[..]).get_u32() as usize + 4)
    }
}
