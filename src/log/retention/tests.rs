use std::time::Duration;

use super::*;
use crate::log::tests::{Fixture, batch};
use crate::log::{OpenMode, Origin};

const UNLIMITED: Retention = Retention { ms: -1, bytes: -1 };

/// Segments of about 46 batches, of 3 records each, a millisecond apart from 1,000,000 on.
fn filled(fixture: &Fixture, batches: i64) -> Log {
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..batches {
        log.append(&batch(3, 1_000_000 + i), Origin::CLIENT).expect("append");
    }
    log
}

#[test] // S36
fn segments_go_by_the_time_of_their_records_and_not_before() {
    let fixture = Fixture::new();
    let mut log = filled(&fixture, 200);
    let bases: Vec<i64> = log.segments.iter().map(|s| s.base_offset()).collect();
    let by_age = Retention { ms: 1_000, bytes: -1 };
    assert_eq!(log.apply_retention(UNLIMITED, log.end()).expect("applied"), None);
    assert_eq!(log.apply_retention(by_age, log.end()).expect("applied"), None, "none is old");
    // The last record of the first segment is 1,000 ms old: not older.
    let newest = log.segments[0].newest_ms(&fixture.env.files).expect("known");
    assert_eq!(log.next_expiry_ms(by_age).expect("known"), newest + 1_000);
    fixture.env.clock.advance(Duration::from_millis((newest + 1_000 - 1_000_000) as u64));
    assert_eq!(log.apply_retention(by_age, log.end()).expect("applied"), None, "at the limit");
    fixture.env.clock.advance(Duration::from_millis(1));
    assert_eq!(log.apply_retention(by_age, bases[1] - 1).expect("applied"), None, "readers have not all of it");
    assert_eq!(log.apply_retention(by_age, log.end()).expect("applied"), Some(bases[1]));
    assert_eq!((log.log_start(), log.segments.len()), (bases[1], bases.len() - 1));
    // All of it: the log goes on at its end.
    fixture.env.clock.advance(Duration::from_secs(10));
    let end = log.end();
    assert_eq!(log.apply_retention(by_age, end).expect("applied"), Some(end));
    assert_eq!((log.log_start(), log.end(), log.size()), (end, end, 0));
    assert_eq!(log.apply_retention(by_age, end).expect("applied"), None, "an empty log has nothing to lose");
    log.append(&batch(3, 0), Origin::CLIENT).expect("append");
    drop(log);
    let log = fixture.open(OpenMode::ProcessDied);
    assert_eq!((log.log_start(), log.end()), (end, end + 3), "after a kill");
}

#[test] // S36
fn segments_go_while_the_rest_is_enough() {
    let fixture = Fixture::new();
    let mut log = filled(&fixture, 200);
    let (size, sizes) = (log.size(), log.segments.iter().map(|s| s.size()).collect::<Vec<_>>());
    let keep = |bytes: u64| Retention { ms: -1, bytes: bytes as i64 };
    let end = log.end();
    assert_eq!(log.apply_retention(keep(size - sizes[0] + 1), end).expect("applied"), None, "one byte too few");
    let second = log.segments[1].base_offset();
    assert_eq!(log.apply_retention(keep(size - sizes[0]), end).expect("applied"), Some(second));
    let last = log.segments.last().expect("one").base_offset();
    assert_eq!(log.apply_retention(keep(*sizes.last().expect("one")), end).expect("applied"), Some(last));
    assert_eq!(log.apply_retention(keep(0), end).expect("applied"), Some(end), "the active one as well");
    assert_eq!(log.size(), 0);
}

#[test]
fn records_without_time_are_as_old_as_their_file() {
    let mut fixture = Fixture::new();
    fixture.config.segment_bytes = 2_000;
    let mut log = fixture.open(OpenMode::Clean);
    for _ in 0..20 {
        log.append(&batch(1, -1), Origin::CLIENT).expect("append");
    }
    // The clock of this test stands in 1970, when no file was written yet.
    assert_eq!(log.apply_retention(Retention { ms: 1_000, bytes: -1 }, log.end()).expect("applied"), None);
    let old = std::time::UNIX_EPOCH + Duration::from_millis(1_000);
    for segment in log.segments.iter() {
        segment.file(&fixture.env.files).expect("open").set_modified(old).expect("set");
    }
    assert_eq!(log.apply_retention(Retention { ms: 1_000, bytes: -1 }, 20).expect("applied"), Some(20));
}

#[test] // S7
fn a_reader_that_was_there_before_reads_on() {
    let fixture = Fixture::new();
    let mut log = filled(&fixture, 200);
    let snapshot = log.snapshot(0);
    log.apply_retention(Retention { ms: -1, bytes: 0 }, log.end()).expect("applied");
    let found = snapshot.read(&fixture.env.files, 100, snapshot.end, 1 << 20, true).expect("read").expect("data");
    assert!(found.region.length > 1_000);
    let mut bytes = vec![0; found.region.length];
    let n = crate::log::files::read_at(&found.region.file, &mut bytes, found.region.position).expect("read");
    assert_eq!(n, bytes.len());
    assert!(crate::record::BatchHeader::read(&bytes).is_some_and(|h| h.base_offset == 99));
}
