//! Prices Ottla against a floor: a bare server that only reads, checks each batch's CRC, appends to a file and answers.
//! Both run under the same load in alternating rounds of one run, because only ratios hold on a shared machine.
//!
//! The same binary is the floor and the load generators, each in a process of its own, so that the CPU time of the
//! server under test is its own and nobody else's. `README.md` says how to read the table.

#![allow(clippy::disallowed_methods)] // base::clock belongs to the broker: a benchmark needs the machine's own clock

mod client;
mod floor;
mod kafka;
mod load;
mod member;
mod options;
mod process;
mod report;
mod scenarios;
mod server;
mod sys;
mod wire;

use std::process::ExitCode;

use options::{Options, Words};
use scenarios::Bench;

pub type Error = Box<dyn std::error::Error>;
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words = || Words::parse(&arguments[1..]);
    let outcome = match arguments.first().map(String::as_str) {
        Some("floor") => words().and_then(|words| floor::run(&words)),
        Some("load-produce") => words().and_then(|words| load::produce::run(&words)),
        Some("load-fetch") => words().and_then(|words| load::fetch::run(&words)),
        Some("load-commit") => words().and_then(|words| load::commit::run(&words)),
        Some("load-latency") => words().and_then(|words| load::latency::run(&words)),
        _ => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    if options.help {
        print!("{}", options::HELP);
        scenarios::ALL.iter().for_each(|scenario| println!("  {:<12}{}", scenario.name, scenario.about));
        return Ok(());
    }
    if cfg!(debug_assertions) {
        eprintln!("bench: this is a debug build; `cargo run --release -p bench` gives figures that mean something");
    }
    scenarios::run(&Bench::prepare(options)?)
}
