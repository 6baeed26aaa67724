//! Load generators, each a process of one thread: light, so that the server is the bound and not they.
//!
//! All take `port=`, `topic=` and `pid=` (the server's process, for its CPU time), count what happens within a window of
//! `secs=` after `warm=` seconds, and print one line of `key=value` figures.

pub mod commit;
pub mod fetch;
pub mod latency;
pub mod produce;
mod turns;

use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::options::Words;
use crate::{Result, sys};

/// A server that answers nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const LATENCIES_MAX: usize = 4_000_000;

/// The window in which things are counted.
struct Window {
    process: u32,
    opens: Instant,
    length: Duration,
    bytes_max: u64,
    count_max: u64,
    opened: Option<(Instant, f64)>,
    last_answer: Instant,
    pub count: u64,
    pub bytes: u64,
    latencies: Vec<Duration>,
}

impl Window {
    /// `bytes=` and `count=` close it early: a trial must not fill the memory with cached pages.
    fn new(words: &Words) -> Result<Window> {
        let now = Instant::now();
        Ok(Window {
            process: words.number("pid")?,
            opens: now + Duration::from_secs_f64(words.number_or("warm", 0.0)?),
            length: Duration::from_secs_f64(words.number("secs")?),
            bytes_max: words.number_or("bytes", u64::MAX)?,
            count_max: words.number_or("count", u64::MAX)?,
            opened: None,
            last_answer: now,
            count: 0,
            bytes: 0,
            latencies: Vec::new(),
        })
    }

    /// Opens the window when it is time; false once it is closed.
    fn is_open_or_ahead(&mut self) -> Result<bool> {
        let now = Instant::now();
        if now.duration_since(self.last_answer) > SILENCE_MAX {
            return Err(format!("no answer for {} s", SILENCE_MAX.as_secs()).into());
        }
        match self.opened {
            None if now >= self.opens => self.opened = Some((now, sys::cpu_seconds(self.process)?)),
            None => {}
            Some((since, _)) => {
                return Ok(now < since + self.length && self.count < self.count_max && self.bytes < self.bytes_max);
            }
        }
        Ok(true)
    }

    /// Whether one more request may be sent: exactly `count=` of them, however deep the pipeline.
    fn admits(&self, sent: u64) -> bool {
        sent < self.count_max
    }

    fn answered(&mut self, sent: Instant, bytes: usize) {
        self.last_answer = Instant::now();
        if self.opened.is_some() {
            self.count += 1;
            self.bytes += bytes as u64;
            if self.latencies.len() < LATENCIES_MAX {
                self.latencies.push(self.last_answer - sent);
            }
        }
    }

    fn print(mut self) -> Result<()> {
        let (since, cpu_before) = self.opened.ok_or("the window never opened")?;
        let (secs, cpu) = (since.elapsed().as_secs_f64(), sys::cpu_seconds(self.process)? - cpu_before);
        if self.count == 0 {
            return Err("nothing was answered".into());
        }
        self.latencies.sort_unstable();
        let at = |share: f64| self.latencies[(self.latencies.len() as f64 * share) as usize].as_secs_f64() * 1e6;
        println!(
            "secs={secs} count={} rate={} bytes={} mb_s={} p50_us={} p99_us={} cpu_us={} cpu_s_gb={}",
            self.count,
            self.count as f64 / secs,
            self.bytes,
            self.bytes as f64 / secs / 1e6,
            at(0.5),
            at(0.99),
            cpu * 1e6 / self.count as f64,
            cpu * 1e9 / self.bytes as f64,
        );
        Ok(())
    }
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
