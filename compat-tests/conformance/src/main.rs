//! The command: record, live, walk, table, accepted.

#![allow(clippy::disallowed_methods)] // Tests measure real time.

use std::process::ExitCode;

use conformance::server::{Kind, kafka, ottla};
use conformance::{accepted, apis, compare, golden, run, scenarios, walk};

const USAGE: &str = "conformance record [AREA…]       play to Apache Kafka and write golden/
conformance live [NAME…]         play to Apache Kafka and to Ottla, and print what differs
conformance compare [NAME…]      play to Ottla and compare with golden/
conformance walk [--seed S] [--walks N] [--steps M] [--restarts]
                                 random walks to both; prints the smallest that differs
conformance table                API × version × steps of golden/
conformance accepted             the accepted differences as docs/compatibility.md has them
--ours kafka plays a second Apache Kafka in Ottla's place";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if std::env::var_os(ottla::SERVE).is_some() {
        return ::ottla::cli::main();
    }
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let command = words.remove(0);
    let ours = match option(&mut words, "--ours").as_deref() {
        Some("kafka") => Kind::Kafka,
        _ => Kind::Ottla,
    };
    match dispatch(&command, words, ours) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing differs, or why the command could not be carried out.
fn dispatch(command: &str, mut words: Vec<String>, ours: Kind) -> Result<bool, String> {
    let text = |e: std::io::Error| e.to_string();
    if ["record", "live", "walk"].contains(&command) {
        kafka::available()?;
    }
    match command {
        "record" => {
            // A golden file is written whole, so an area is recorded whole.
            let words: Vec<String> = words.iter().map(|word| golden::area(word).to_string() + "/").collect();
            let chosen = scenarios::chosen(Kind::Kafka, &words);
            let transcripts = run::play_all(Kind::Kafka, &chosen).map_err(text)?;
            let mut whole = true;
            for (name, transcript) in &transcripts {
                if let Some(why) = &transcript.stopped {
                    eprintln!("{name} stopped after {} steps: {why}", transcript.steps.len());
                    whole = false;
                }
            }
            golden::write(&transcripts, words.is_empty()).map_err(text)?;
            println!("{}", apis::table(&run::count(&transcripts), &apis::served()).0);
            println!(
                "{} scenarios, {} steps",
                transcripts.len(),
                transcripts.values().map(|t| t.steps.len()).sum::<usize>()
            );
            Ok(whole)
        }
        "live" => {
            let chosen = scenarios::chosen(ours, &words);
            let (theirs, mine) = std::thread::scope(|scope| {
                let theirs = scope.spawn(|| run::play_all(Kind::Kafka, &chosen));
                let mine = run::play_all(ours, &chosen);
                (theirs.join().expect("playing does not panic"), mine)
            });
            let (theirs, mine) = (theirs.map_err(text)?, mine.map_err(text)?);
            let report = compare::compare(&golden::values(&theirs), &golden::values(&mine));
            println!("{}", compare::render(&report, &apis::table(&run::count(&theirs), &apis::served()).0));
            Ok(report.unexplained.is_empty())
        }
        "compare" => {
            let chosen = scenarios::chosen(ours, &words);
            let mut kept = golden::read().map_err(text)?;
            let mine = run::play_all(ours, &chosen).map_err(text)?;
            kept.retain(|name, _| chosen.iter().any(|s| s.name == name));
            let report = compare::compare(&kept, &golden::values(&mine));
            println!("{}", compare::render(&report, &apis::table(&run::count(&mine), &apis::served()).0));
            Ok(report.unexplained.is_empty())
        }
        "walk" => {
            let mut number = |name: &str, default: u64| match option(&mut words, name) {
                Some(value) => value.parse().map_err(|_| format!("{name} takes a number")),
                None => Ok(default),
            };
            let plan = walk::Plan {
                seed: number("--seed", 1)?,
                walks: number("--walks", 20)?,
                steps: number("--steps", 100)? as usize,
                restarts: words.iter().any(|word| word == "--restarts"),
            };
            walk::run(plan, ours).map_err(text)
        }
        "table" => {
            println!("{}", apis::table(&golden::count().map_err(text)?, &apis::served()).0);
            Ok(true)
        }
        "accepted" => {
            print!("{}", accepted::markdown());
            Ok(true)
        }
        _ => Err(USAGE.to_string()),
    }
}

/// Takes `--name value` out of the words.
fn option(words: &mut Vec<String>, name: &str) -> Option<String> {
    let at = words.iter().position(|word| word == name)?;
    words.remove(at);
    (at < words.len()).then(|| words.remove(at))
}
