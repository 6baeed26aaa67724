//! Runs last (test files run in the order of their names) and says what was skipped.

use compat_tests::skip::{may_be_skipped, skipped_so_far};

#[test]
fn count_of_skipped_tests() {
    let skipped = skipped_so_far();
    let list: String = skipped.iter().map(|line| format!("  {line}\n")).collect();
    let text = format!("\n{} tests skipped\n{list}", skipped.len());
    // SAFETY: writes a live buffer to standard error, past libtest's capture.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    let reason = |line: &str| line.split_once(": ").map_or("", |(_, reason)| reason).to_owned();
    assert!(skipped.iter().all(|line| may_be_skipped(&reason(line))), "nothing may be skipped here:\n{list}");
}
