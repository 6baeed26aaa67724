//! Committers: `connections=`, each the only member of a classic group of its own with one OffsetCommit of one partition
//! outstanding, each for the offset after the last.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Buf;

use super::Window;
use crate::Result;
use crate::member::{Member, expect_none};
use crate::options::Words;
use crate::sys::Epoll;
use crate::wire::groups;

const INPUT_BYTES: usize = 1 << 10;

struct Committer {
    stream: TcpStream,
    frame: Vec<u8>,
    offset_at: usize,
    offset: i64,
    input: Vec<u8>,
    filled: usize,
    sent: Instant,
}

pub fn run(words: &Words) -> Result<()> {
    let (port, topic) = (words.number("port")?, words.text("topic")?);
    let mut epoll = Epoll::new()?;
    let mut committers = HashMap::new();
    for number in 0..words.number_or("connections", 1)? {
        // The groups of another run on the same server still have their members.
        let committer = Committer::join(port, &format!("commit-{}-{number}", std::process::id()), topic)?;
        epoll.watch(committer.stream.as_raw_fd())?;
        committers.insert(committer.stream.as_raw_fd(), committer);
    }
    let mut window = Window::new(words)?;
    committers.values_mut().try_for_each(Committer::commit)?;
    while window.is_open_or_ahead()? {
        for index in 0..epoll.wait(Some(Duration::from_millis(20)))? {
            let committer = committers.get_mut(&epoll.event(index).0).ok_or("an event of no connection")?;
            if committer.receive()? {
                window.answered(committer.sent, 0);
                committer.commit()?;
            }
        }
    }
    window.print()
}

impl Committer {
    fn join(port: u16, group: &str, topic: &str) -> Result<Committer> {
        let mut member = Member::connect(port, group, topic)?;
        member.find_coordinator()?;
        member.ask_for_id()?;
        member.join()?;
        member.sync()?;
        let (frame, offset_at) = groups::offset_commit(&member.identity(), topic);
        let stream = member.client.into_stream();
        stream.set_nonblocking(true)?;
        let input = vec![0; INPUT_BYTES];
        Ok(Committer { stream, frame, offset_at, offset: 0, input, filled: 0, sent: Instant::now() })
    }

    fn commit(&mut self) -> Result<()> {
        self.offset += 1;
        self.frame[self.offset_at..self.offset_at + 8].copy_from_slice(&self.offset.to_be_bytes());
        self.sent = Instant::now();
        Ok(self.stream.write_all(&self.frame)?)
    }

    /// Whether the answer is whole.
    fn receive(&mut self) -> Result<bool> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err("the server closed a committer's connection".into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if self.filled < 4 || self.filled < (&self.input[..]).get_u32() as usize + 4 {
            return Ok(false);
        }
        expect_none("OffsetCommit", groups::offset_commit_answer(&self.input[4..self.filled])?)?;
        self.filled = 0;
        Ok(true)
    }
}
