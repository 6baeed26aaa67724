//! A crash after each step of a swap leaves the old or the new records, and nothing else.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::*;
use crate::log::OpenMode;
use crate::log::cleaner::tests::{batch_of, clean, in_transaction, put, record, rules, table_of};
use crate::log::tests::{ENDS, Fixture, VERIFIED, marker};

type AtCrashPoint = Box<dyn FnMut(&str)>;

thread_local! {
    static AT_CRASH_POINT: RefCell<Option<AtCrashPoint>> = const { RefCell::new(None) };
}

pub fn crash_point(step: &str) {
    AT_CRASH_POINT.with_borrow_mut(|at| {
        if let Some(at) = at {
            at(step);
        }
    });
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test] // a crash with files of a compaction
fn a_crash_at_any_step_loses_no_live_key() {
    let mut fixture = Fixture::new();
    fixture.config.segment_bytes = 3_000;
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..120 {
        put(&mut log, &format!("k{}", i % 7), Some(&format!("{i}")));
        if i % 10 == 0 {
            put(&mut log, &format!("deleted-{i}"), Some("x"));
            put(&mut log, &format!("deleted-{i}"), None);
            let fields = in_transaction(i as i16);
            log.append(&batch_of(&fields, &[record("k1", Some("bad"), 0)]), VERIFIED).expect("append");
            log.append(&marker(7, i as i16 + 1, false), ENDS).expect("aborted");
        }
    }
    log.roll().expect("rolled");
    let wanted = table_of(&log);
    let producers = log.active_producers();
    assert!(log.segment_count() > 4, "several runs");
    let copies = tempfile::tempdir().expect("temporary directory");
    let taken: std::rc::Rc<RefCell<Vec<(String, PathBuf)>>> = std::rc::Rc::default();
    let (dir, root, list) = (fixture.dir(), copies.path().to_owned(), taken.clone());
    AT_CRASH_POINT.set(Some(Box::new(move |step| {
        let copy = root.join(list.borrow().len().to_string()).join("t-0");
        copy_dir(&dir, &copy);
        list.borrow_mut().push((step.to_owned(), copy));
    })));
    clean(&mut log, None, &rules());
    AT_CRASH_POINT.set(None);
    assert_eq!(table_of(&log), wanted);
    let taken = std::mem::take(&mut *taken.borrow_mut());
    assert!(taken.len() > 12, "{} crashes", taken.len());
    for (step, dir) in taken {
        let open = || Log::open(&dir, fixture.env.clone(), fixture.config.clone(), OpenMode::ProcessDied, 0, 0, None);
        for time in 0..2 {
            let (mut log, _) = open().unwrap_or_else(|error| panic!("after {step:?}: {error}"));
            assert_eq!(table_of(&log), wanted, "after {step:?}, start {time}");
            assert_eq!(log.active_producers(), producers, "after {step:?}, start {time}");
            let left = std::fs::read_dir(&dir).expect("listed").flatten().map(|entry| entry.path());
            let left: Vec<_> = left
                .filter(|path| {
                    path.extension().is_some_and(|e| ["cleaned", "swap", "replaced"].iter().any(|left| e == *left))
                })
                .collect();
            assert_eq!(left, Vec::<PathBuf>::new(), "after {step:?}");
            // And it can be cleaned from there.
            clean(&mut log, None, &rules());
            assert_eq!(table_of(&log), wanted, "after {step:?}, cleaned again");
        }
    }
}

#[test]
fn the_last_records_of_a_run_may_be_gone_and_so_are_its_segments() {
    let mut fixture = Fixture::new();
    fixture.config.segment_bytes = 500;
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..30 {
        put(&mut log, "key", Some(&format!("{i}")));
    }
    log.roll().expect("rolled");
    put(&mut log, "key", Some("last"));
    log.roll().expect("rolled");
    let before = log.segment_count();
    clean(&mut log, None, &rules());
    // All but the last is gone; the first segment stays for the log start, empty ones between are dropped.
    assert_eq!(table_of(&log)["key"].as_deref(), Some("last"));
    assert!(log.segment_count() <= 4 && before > 5, "{} of {before}", log.segment_count());
    assert_eq!(log.log_start(), 0);
    drop(log);
    let log = fixture.open(OpenMode::ProcessDied);
    assert_eq!((log.log_start(), log.end()), (0, 31), "after a kill too");
}
