//! What a machine lacks is skipped, and everyone sees it: a line past libtest's capture, and a count at the end
//! (`tests/zz_skipped.rs`). `OTTLA_NO_SKIPS=1`, which `.ci/run` sets, turns a skip into a failure, but for reasons that begin with
//! `OTTLA_MAY_SKIP`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Notes that a test did not run, and why. Fails the test where nothing may be skipped.
pub fn skipped(test: &str, reason: &str) {
    assert!(may_be_skipped(reason), "{test} may not be skipped here, but: {reason}");
    let line = format!("SKIPPED {test}: {reason}\n");
    // SAFETY: writes a live buffer to standard error.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    let file = record_file();
    std::fs::create_dir_all(file.parent().expect("has a parent")).expect("the target directory is writable");
    let mut file = OpenOptions::new().create(true).append(true).open(file).expect("skips can be recorded");
    file.write_all(line.as_bytes()).expect("skips can be recorded");
}

/// Whether a test may be skipped here for this reason.
pub fn may_be_skipped(reason: &str) -> bool {
    let excuse = std::env::var("OTTLA_MAY_SKIP").unwrap_or_default();
    std::env::var_os("OTTLA_NO_SKIPS").is_none() || (!excuse.is_empty() && reason.starts_with(&excuse))
}

/// What was skipped so far in this run of `cargo test`.
pub fn skipped_so_far() -> Vec<String> {
    std::fs::read_to_string(record_file()).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether a program is on the PATH and answers.
pub fn has_program(name: &str, version_flag: &str) -> bool {
    Command::new(name)
        .arg(version_flag)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// One file per run: cargo is the parent of every test binary it runs. Its start time is in the name, for process ids
/// come again.
fn record_file() -> PathBuf {
    let cargo = std::os::unix::process::parent_id();
    let stat = std::fs::read_to_string(format!("/proc/{cargo}/stat")).unwrap_or_default();
    let started = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)).unwrap_or("0").to_owned();
    crate::broker::target_directory().join("tmp").join("skipped").join(format!("{cargo}-{started}"))
}

/// Ends the test, visibly, unless the condition holds: `needs!(has_kcat(), "kcat is not installed")`.
#[macro_export]
macro_rules! needs {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            $crate::skip::skipped(&test, &format!($($reason)+));
            return;
        }
    };
}
