//! A Fetch waits at the end of partition 0, a record is produced on another connection: how long until the waiting
//! Fetch is answered.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Window;
use crate::client::Client;
use crate::options::Words;
use crate::{Result, wire};

/// Time for the Fetch to be read and parked before the record comes.
const PARK: Duration = Duration::from_millis(1);

pub fn run(words: &Words) -> Result<()> {
    let (port, topic) = (words.number("port")?, words.text("topic")?);
    let (mut producer, mut consumer) = (Client::connect(port)?, Client::connect(port)?);
    let (record, _) = wire::produce(topic, 0, -1, &wire::batch(1, 100));
    let mut end = offset_after(&producer.call(&record)?)?;
    let mut window = Window::new(words)?;
    while window.is_open_or_ahead()? {
        consumer.send(&wire::fetch(topic, 0, end, 1 << 20, 10_000))?;
        sleep(PARK);
        let sent = Instant::now();
        producer.send(&record)?;
        let answer = consumer.receive()?;
        let answer = wire::fetch_answer(&answer)?;
        window.answered(sent, answer.records.len());
        if answer.error != 0 || answer.records.is_empty() {
            let (error, bytes) = (answer.error, answer.records.len());
            return Err(format!("a waiting Fetch was answered with error {error} and {bytes} bytes").into());
        }
        end = offset_after(&producer.receive()?)?;
    }
    window.print()
}

fn offset_after(answer: &[u8]) -> Result<i64> {
    match wire::produce_answer(answer)? {
        (0, base) => Ok(base + 1),
        (error, _) => Err(format!("Produce answered error {error}").into()),
    }
}
