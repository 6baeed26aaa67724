//! Readers: `connections=`, each reading partition 0 from its start in fetches of `max=` bytes, and again from the start
//! when it is at the end. The records are copied out of the socket and thrown away.

use super::connect;
use super::turns::{Asks, Turn, take_turns};
use crate::options::Words;
use crate::{Result, wire};

const INPUT_BYTES_BESIDES: usize = 1 << 20;

struct Reader<'a> {
    turn: Turn,
    topic: &'a str,
    bytes_max: i32,
    offset: i64,
}

pub fn run(words: &Words) -> Result<()> {
    let (port, topic) = (words.number("port")?, words.text("topic")?);
    let bytes_max: i32 = words.number("max")?;
    let reader = |_: u64| {
        let turn = Turn::new(connect(port)?, bytes_max as usize + INPUT_BYTES_BESIDES);
        Ok(Reader { turn, topic, bytes_max, offset: 0 })
    };
    let all: Result<Vec<_>> = (0..words.number_or("connections", 1)?).map(reader).collect();
    take_turns(words, all?)
}

impl Asks for Reader<'_> {
    fn turn(&mut self) -> &mut Turn {
        &mut self.turn
    }

    fn ask(&mut self) -> Result<()> {
        self.turn.send(&wire::fetch(self.topic, 0, self.offset, self.bytes_max, 500))
    }

    fn answered(&mut self, answer: &[u8]) -> Result<usize> {
        let answer = wire::fetch_answer(answer)?;
        if answer.error != 0 {
            return Err(format!("Fetch answered error {}", answer.error).into());
        }
        let next = wire::next_offset(answer.records).ok_or("Fetch answered no whole batch")?;
        // Asking at the end would wait there, and measure that.
        self.offset = if next < answer.high_watermark { next } else { 0 };
        Ok(answer.records.len())
    }
}
