//! `ottla verify`: reads every batch of a data directory, changes nothing.

use std::path::Path;
use std::process::ExitCode;

use crate::log::{files, verify};

/// Prints one line for each thing that is wrong, then a summary. Fails if there is any.
pub fn run(data_dir: &Path) -> ExitCode {
    let entries = match std::fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) => {
            eprintln!("ottla: listing {}: {error}", data_dir.display());
            return ExitCode::from(super::EXIT_FAILED);
        }
    };
    let mut dirs: Vec<_> =
        entries.flatten().map(|e| e.path()).filter(|p| p.join(files::PARTITION_METADATA).exists()).collect();
    dirs.sort();
    let (mut segments, mut batches, mut bytes, mut damaged) = (0, 0, 0, 0);
    for dir in &dirs {
        match verify::verify_dir(dir) {
            Ok(verified) => {
                segments += verified.segments;
                batches += verified.batches;
                bytes += verified.bytes;
                damaged += verified.damage.len();
                for damage in verified.damage {
                    println!(
                        "DAMAGED segment {} position {} offset {}: {}",
                        damage.segment.display(),
                        damage.position,
                        damage.offset,
                        damage.what
                    );
                }
            }
            Err(error) => {
                damaged += 1;
                println!("DAMAGED {}: {error}", dir.display());
            }
        }
    }
    println!("{} partitions, {segments} segments, {batches} batches, {bytes} bytes, {damaged} damaged", dirs.len());
    if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_FAILED) }
}
