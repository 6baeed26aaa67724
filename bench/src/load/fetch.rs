//! Readers: `connections=`, each reading partition 0 from its start in fetches of `max=` bytes, and again from the start
//! when it is at the end. The records are copied out of the socket and thrown away.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Buf;

use super::{Window, connect};
use crate::options::Words;
use crate::sys::Epoll;
use crate::{Result, wire};

const INPUT_BYTES_BESIDES: usize = 1 << 20;

struct Reader {
    stream: TcpStream,
    offset: i64,
    input: Vec<u8>,
    filled: usize,
    sent: Instant,
}

pub fn run(words: &Words) -> Result<()> {
    let (port, topic) = (words.number("port")?, words.text("topic")?);
    let bytes_max: i32 = words.number("max")?;
    let mut epoll = Epoll::new()?;
    let mut readers = HashMap::new();
    for _ in 0..words.number_or("connections", 1)? {
        let stream = connect(port)?;
        epoll.watch(stream.as_raw_fd())?;
        let input = vec![0; bytes_max as usize + INPUT_BYTES_BESIDES];
        let mut reader = Reader { stream, offset: 0, input, filled: 0, sent: Instant::now() };
        reader.ask(topic, bytes_max)?;
        readers.insert(reader.stream.as_raw_fd(), reader);
    }
    let mut window = Window::new(words)?;
    while window.is_open_or_ahead()? {
        for index in 0..epoll.wait(Some(Duration::from_millis(20)))? {
            let reader = readers.get_mut(&epoll.event(index).0).ok_or("an event of no connection")?;
            if let Some(bytes) = reader.receive()? {
                window.answered(reader.sent, bytes);
                reader.ask(topic, bytes_max)?;
            }
        }
    }
    window.print()
}

impl Reader {
    fn ask(&mut self, topic: &str, bytes_max: i32) -> Result<()> {
        self.sent = Instant::now();
        Ok(self.stream.write_all(&wire::fetch(topic, 0, self.offset, bytes_max, 500))?)
    }

    /// Bytes of records, once an answer is whole.
    fn receive(&mut self) -> Result<Option<usize>> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err("the server closed a reader's connection".into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        if self.filled < 4 || self.filled < (&self.input[..]).get_u32() as usize + 4 {
            return Ok(None);
        }
        let answer = wire::fetch_answer(&self.input[4..self.filled])?;
        if answer.error != 0 {
            return Err(format!("Fetch answered error {}", answer.error).into());
        }
        let next = wire::next_offset(answer.records).ok_or("Fetch answered no whole batch")?;
        // Asking at the end would wait there, and measure that.
        self.offset = if next < answer.high_watermark { next } else { 0 };
        self.filled = 0;
        Ok(Some(answer.records.len()))
    }
}
