//! Committers: `connections=`, each the only member of a classic group of its own with one OffsetCommit of one partition
//! outstanding, each for the offset after the last.

use super::turns::{Asks, Turn, take_turns};
use crate::Result;
use crate::member::{Member, expect_none};
use crate::options::Words;
use crate::wire::groups;

const INPUT_BYTES: usize = 1 << 10;

struct Committer {
    turn: Turn,
    frame: Vec<u8>,
    offset_at: usize,
    offset: i64,
}

pub fn run(words: &Words) -> Result<()> {
    let (port, topic) = (words.number("port")?, words.text("topic")?);
    // The groups of another run on the same server still have their members.
    let group = |number: u64| format!("commit-{}-{number}", std::process::id());
    let numbers = 0..words.number_or("connections", 1)?;
    let all: Result<Vec<_>> = numbers.map(|number| Committer::join(port, &group(number), topic)).collect();
    take_turns(words, all?)
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
        Ok(Committer { turn: Turn::new(stream, INPUT_BYTES), frame, offset_at, offset: 0 })
    }
}

impl Asks for Committer {
    fn turn(&mut self) -> &mut Turn {
        &mut self.turn
    }

    fn ask(&mut self) -> Result<()> {
        self.offset += 1;
        self.frame[self.offset_at..self.offset_at + 8].copy_from_slice(&self.offset.to_be_bytes());
        self.turn.send(&self.frame)
    }

    fn answered(&mut self, answer: &[u8]) -> Result<usize> {
        expect_none("OffsetCommit", groups::offset_commit_answer(answer)?)?;
        Ok(0)
    }
}
