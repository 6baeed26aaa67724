//! `ottla verify`: reads every batch of a data directory, changes nothing.

use std::io::IsTerminal;
use std::path::Path;

use super::options::{Options, Spec};
use super::{ToolError, failed, output, print_json};
use crate::log::{files, verify};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla verify --data-dir DIR [--json]

Reads every batch of a data directory, also beside a running broker, and names segment, position and offset of what is
damaged. Changes nothing. Exit code 0 when all is whole, 1 when something is damaged.",
    values: &["data-dir"],
    flags: &["json"],
    optional_values: &[],
};

/// Prints one line for each thing that is wrong, then a summary. Fails if there is any.
pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    use std::io::Write;
    let options = Options::parse(&SPEC, arguments)?;
    let data_dir = Path::new(options.required("data-dir")?);
    let entries =
        std::fs::read_dir(data_dir).map_err(|e| ToolError::Failed(format!("listing {}: {e}", data_dir.display())))?;
    let mut dirs: Vec<_> = entries.flatten().map(|e| e.path()).filter(|path| is_partition(path)).collect();
    dirs.sort();
    if dirs.is_empty() && !data_dir.join("meta.properties").exists() {
        return failed(format!("{} is no data directory", data_dir.display()));
    }
    let mut out = output();
    let (mut segments, mut batches, mut bytes) = (0, 0, 0);
    let mut damaged = Vec::new();
    let shows_progress = std::io::stderr().is_terminal();
    for (done, dir) in dirs.iter().enumerate() {
        if shows_progress {
            eprint!("\r{done} of {} partitions", dirs.len());
        }
        let first = damaged.len();
        match verify::verify_dir(dir) {
            Ok(verified) => {
                segments += verified.segments;
                batches += verified.batches;
                bytes += verified.bytes;
                damaged.extend(verified.damage.iter().map(|damage| {
                    let segment = damage.segment.display();
                    let text = format!(
                        "segment {segment} position {} offset {}: {}",
                        damage.position, damage.offset, damage.what
                    );
                    let json = serde_json::json!({
                        "segment": segment.to_string(), "position": damage.position, "offset": damage.offset,
                        "what": damage.what.to_string(),
                    });
                    (text, json)
                }));
            }
            Err(error) => {
                let json = serde_json::json!({"segment": dir.display().to_string(), "what": error.to_string()});
                damaged.push((format!("{}: {error}", dir.display()), json));
            }
        }
        if !options.has("json") {
            for (text, _) in &damaged[first..] {
                writeln!(out, "DAMAGED {text}")?;
            }
        }
    }
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    if options.has("json") {
        let list: Vec<_> = damaged.iter().map(|(_, json)| json).collect();
        let summary = serde_json::json!({
            "partitions": dirs.len(), "segments": segments, "batches": batches, "bytes": bytes, "damaged": list,
        });
        print_json(&mut out, &summary)?;
    } else {
        let (partitions, damaged) = (dirs.len(), damaged.len());
        writeln!(
            out,
            "{partitions} partitions, {segments} segments, {batches} batches, {bytes} bytes, {damaged} damaged"
        )?;
    }
    out.flush()?;
    if damaged.is_empty() { Ok(()) } else { failed("") }
}

/// Also one that has lost the file which says so.
fn is_partition(path: &Path) -> bool {
    let has_segments = || {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|file| file.extension().is_some_and(|e| e == "log"))
    };
    path.join(files::PARTITION_METADATA).exists() || has_segments()
}
