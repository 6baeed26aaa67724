use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use std::path::PathBuf;

use super::*;
use crate::base::{Clock, TopicId};
use crate::record::build::{BatchFields, NewRecord, build};
use crate::record::{BatchHeader, Marker, PreparedBatch, TransactionVersion};

pub(crate) struct Fixture {
    root: tempfile::TempDir,
    pub env: LogEnv,
    pub config: LogConfig,
}

impl Fixture {
    pub fn new() -> Fixture {
        let root = tempfile::tempdir().expect("temporary directory");
        create_dir(&root.path().join("t-0"), TopicId::random()).expect("create");
        let env = LogEnv {
            clock: Clock::manual(1_000_000),
            files: Arc::new(FileCache::new(4)),
            sync: false,
            producer_expiration_ms: Arc::new(AtomicI64::new(86_400_000)),
        };
        let config = LogConfig {
            segment_bytes: 20_000,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            index_interval_bytes: 500,
            index_bytes_max: 10 << 20,
        };
        Fixture { root, env, config }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("t-0")
    }

    /// Writes 200 batches of 3 records over several segments: the file of the first.
    fn write_batches(&self) -> PathBuf {
        let mut log = self.open(OpenMode::Clean);
        for i in 0..200 {
            log.append(&batch(3, i), Origin::CLIENT).expect("append");
        }
        files::offset_file(&self.dir(), 0, "log")
    }

    pub fn open(&self, mode: OpenMode) -> Log {
        self.open_from(mode, 0).0
    }

    fn open_from(&self, mode: OpenMode, log_start: i64) -> (Log, RecoveryReport) {
        Log::open(&self.dir(), self.env.clone(), self.config.clone(), mode, log_start, 0, None).expect("open")
    }

    fn newest(&self, suffix: &str) -> PathBuf {
        let mut names: Vec<PathBuf> = std::fs::read_dir(self.dir())
            .expect("list")
            .map(|e| e.expect("entry").path())
            .filter(|p| p.extension().is_some_and(|e| e == suffix))
            .collect();
        names.sort();
        names.pop().expect("a file with that suffix")
    }
}

pub(crate) fn batch(n: usize, timestamp: i64) -> PreparedBatch {
    sequenced(n, timestamp, -1, -1, -1)
}

fn sequenced(n: usize, timestamp: i64, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> PreparedBatch {
    let records: Vec<NewRecord> = (0..n)
        .map(|i| NewRecord {
            value: Some(Bytes::from(vec![b'x'; 100])),
            timestamp: timestamp + i as i64,
            ..Default::default()
        })
        .collect();
    let fields = BatchFields { producer_id, producer_epoch, base_sequence, ..Default::default() };
    PreparedBatch::trusted(build(&fields, &records).expect("build").into()).expect("a batch")
}

/// Base offsets of all batches from `from` on, read as a consumer would.
fn read_all(log: &Log, env: &LogEnv, from: i64) -> Vec<i64> {
    let mut offsets = Vec::new();
    let mut next = from;
    while next < log.end() {
        let snapshot = log.snapshot(next);
        let region = snapshot.read(&env.files, next, log.end(), 700, true).expect("read").expect("data").region;
        let mut bytes = vec![0; region.length];
        region.file.read_exact_at(&mut bytes, region.position).expect("region");
        let mut at = 0;
        while let Some(header) = bytes.get(at..).and_then(BatchHeader::read) {
            if at + header.size() > bytes.len() {
                break;
            }
            offsets.push(header.base_offset);
            next = header.next_offset();
            at += header.size();
        }
    }
    offsets
}

#[test] // S6, S7
fn offsets_are_dense_across_segments_and_reads_find_the_batch_that_holds_an_offset() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..200 {
        let appended = log.append(&batch(3, i), Origin::CLIENT).expect("append");
        assert_eq!(appended.base_offset, i * 3);
    }
    assert!(log.segment_count() > 3, "rolled");
    let expected: Vec<i64> = (0..200).map(|i| i * 3).collect();
    assert_eq!(read_all(&log, &fixture.env, 0), expected);
    for offset in [0, 1, 2, 3, 100, 301, 302, 599] {
        assert_eq!(read_all(&log, &fixture.env, offset)[0], offset / 3 * 3, "the batch that holds {offset}");
    }
}

#[test]
fn a_clean_log_opens_at_its_end_and_a_torn_one_is_cut() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..100 {
        log.append(&batch(2, i), Origin::CLIENT).expect("append");
    }
    log.close().expect("close");
    drop(log);
    let log = fixture.open(OpenMode::Clean);
    assert_eq!(log.end(), 200);
    drop(log);
    // A torn last batch, as a crash in the middle of a write leaves it.
    let newest = fixture.newest("log");
    let file = std::fs::OpenOptions::new().write(true).open(&newest).expect("open");
    let length = file.metadata().expect("metadata").len();
    file.set_len(length - 10).expect("tear");
    let (mut log, report) = fixture.open_from(OpenMode::ProcessDied, 0);
    assert_eq!(log.end(), 198);
    assert!(report.truncated_bytes > 0);
    assert_eq!(log.append(&batch(2, 500), Origin::CLIENT).expect("append").base_offset, 198);
    let expected: Vec<i64> = (0..100).map(|i| i * 2).collect();
    assert_eq!(read_all(&log, &fixture.env, 0), expected);
}

#[test]
fn garbage_in_an_index_never_gives_a_wrong_answer_also_after_a_clean_stop() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..100 {
        log.append(&batch(2, i * 10), Origin::CLIENT).expect("append");
    }
    log.close().expect("close");
    for suffix in ["index", "timeindex"] {
        for entry in std::fs::read_dir(fixture.dir()).expect("list") {
            let path = entry.expect("entry").path();
            if path.extension().is_some_and(|e| e == suffix) {
                let length = std::fs::metadata(&path).expect("metadata").len() as usize;
                std::fs::write(&path, vec![0x5a; length + 120]).expect("garbage");
            }
        }
    }
    let log = fixture.open(OpenMode::Clean);
    assert_eq!(log.end(), 200);
    assert_eq!(read_all(&log, &fixture.env, 0).len(), 100);
    let snapshot = log.snapshot(0);
    for i in [0, 1, 50, 99] {
        let found = snapshot.first_at_or_after(&fixture.env.files, i * 10).expect("look up").expect("found");
        assert_eq!((found.offset, found.timestamp), (i * 2, i * 10));
    }
}

#[test] // S10
fn look_ups_by_time_are_exact_to_the_record() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..100 {
        log.append(&batch(5, i * 100), Origin::CLIENT).expect("append");
    }
    let at = |log: &Log, t: i64| log.snapshot(0).first_at_or_after(&fixture.env.files, t).expect("look up");
    assert_eq!(at(&log, -5).map(|f| f.offset), Some(0));
    assert_eq!(at(&log, 203).map(|f| (f.offset, f.timestamp)), Some((13, 203)));
    assert_eq!(at(&log, 250).map(|f| (f.offset, f.timestamp)), Some((15, 300)));
    assert_eq!(at(&log, 9_905), None);
    let max = log.snapshot(0).max_timestamp(&fixture.env.files).expect("look up").expect("found");
    assert_eq!((max.offset, max.timestamp), (499, 9_904));
    log.advance_log_start(250);
    assert_eq!(at(&log, 0).map(|f| f.offset), Some(250));
}

#[test] // S36
fn the_log_start_moves_and_frees_segments() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..200 {
        log.append(&batch(3, i), Origin::CLIENT).expect("append");
    }
    let before = log.size();
    let segments = log.segments.len();
    log.advance_log_start(300);
    assert!(log.segments.len() < segments);
    assert!(log.size() < before);
    assert_eq!(log.log_start(), 300);
    log.advance_log_start(100);
    assert_eq!(log.log_start(), 300, "never back");
    log.advance_log_start(600);
    assert_eq!((log.log_start(), log.end(), log.size()), (600, 600, 0));
    drop(log);
    let (mut log, _) = fixture.open_from(OpenMode::ProcessDied, 600);
    assert_eq!((log.log_start(), log.end()), (600, 600));
    assert_eq!(log.append(&batch(1, 0), Origin::CLIENT).expect("append").base_offset, 600);
}

#[test]
fn idempotence_survives_both_kinds_of_restart() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..8 {
        assert_eq!(
            log.append(&sequenced(2, i, 7, 0, i as i32 * 2), Origin::CLIENT).expect("append").base_offset,
            i * 2
        );
    }
    let duplicate = log.append(&sequenced(2, 3, 7, 0, 6), Origin::CLIENT).expect("append");
    assert_eq!((duplicate.base_offset, duplicate.duplicate), (6, true));
    assert!(
        matches!(log.append(&sequenced(2, 0, 7, 0, 0), Origin::CLIENT), Err(AppendError::OutOfOrderSequence(_))),
        "too old"
    );
    assert!(
        matches!(log.append(&sequenced(2, 0, 7, 0, 18), Origin::CLIENT), Err(AppendError::OutOfOrderSequence(_))),
        "a gap"
    );
    assert!(
        matches!(log.append(&sequenced(1, 0, 7, 1, 3), Origin::CLIENT), Err(AppendError::OutOfOrderSequence(_))),
        "new epoch"
    );
    assert_eq!(log.end(), 16, "refusals leave nothing");
    drop(log);
    let mut log = fixture.open(OpenMode::ProcessDied);
    assert!(log.append(&sequenced(2, 7, 7, 0, 14), Origin::CLIENT).expect("append").duplicate);
    assert_eq!(log.append(&sequenced(2, 8, 7, 0, 16), Origin::CLIENT).expect("append").base_offset, 16);
    log.close().expect("close");
    drop(log);
    let mut log = fixture.open(OpenMode::Clean);
    assert!(log.append(&sequenced(2, 8, 7, 0, 16), Origin::CLIENT).expect("append").duplicate);
    assert_eq!(log.append(&sequenced(1, 0, 7, 1, 0), Origin::CLIENT).expect("new epoch").base_offset, 18);
    assert!(matches!(
        log.append(&sequenced(1, 0, 7, 0, 18), Origin::CLIENT),
        Err(AppendError::InvalidProducerEpoch(_))
    ));
}

/// A snapshot has the last batch of each producer only.
#[test]
fn batches_in_flight_are_known_after_a_stop_in_order() {
    for roll in [false, true] {
        let fixture = Fixture::new();
        let mut log = fixture.open(OpenMode::Clean);
        for i in 0..40 {
            log.append(&sequenced(2, 0, 7, 0, i * 2), Origin::CLIENT).expect("in order");
            log.append(&sequenced(1, 0, 8, 0, i), Origin::CLIENT).expect("of another");
        }
        if roll {
            log.append(&batch(1, 3000), Origin::CLIENT).expect("append");
            log.append(&batch(1, 3000), Origin::CLIENT).expect("rolled");
        }
        log.close().expect("closed");
        drop(log);
        let mut log = fixture.open(OpenMode::Clean);
        for i in 35..40 {
            let again = log.append(&sequenced(2, 0, 7, 0, i * 2), Origin::CLIENT).expect("known");
            assert_eq!((again.duplicate, again.base_offset), (true, i64::from(i) * 3), "batch {i}");
        }
        assert!(
            matches!(log.append(&sequenced(2, 0, 7, 0, 68), Origin::CLIENT), Err(AppendError::OutOfOrderSequence(_))),
            "too old"
        );
        assert!(!log.append(&sequenced(2, 0, 7, 0, 80), Origin::CLIENT).expect("the next").duplicate);
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    log.append(&sequenced(2, 0, 9, 0, i32::MAX - 2), Origin::CLIENT).expect("any first sequence");
    log.append(&sequenced(3, 0, 9, 0, i32::MAX), Origin::CLIENT).expect("MAX, 0, 1");
    assert_eq!(log.append(&sequenced(1, 0, 9, 0, 2), Origin::CLIENT).expect("2").base_offset, 5);
    assert!(log.append(&sequenced(3, 0, 9, 0, i32::MAX), Origin::CLIENT).expect("duplicate").duplicate);
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_named_and_disturbs_nothing_else() {
    let fixture = Fixture::new();
    let first = fixture.write_batches();
    let mut bytes = std::fs::read(&first).expect("read");
    let second_batch = BatchHeader::read(&bytes).expect("header").size();
    bytes[second_batch + 80] ^= 1;
    std::fs::write(&first, &bytes).expect("write");
    let log = fixture.open(OpenMode::ProcessDied);
    assert_eq!(log.end(), 600);
    assert_eq!(read_all(&log, &fixture.env, 0).len(), 200);
    let verified = verify::verify_dir(&fixture.dir()).expect("verify");
    assert_eq!(verified.batches, 200);
    let [damage] = &verified.damage[..] else { panic!("{:?}", verified.damage) };
    assert_eq!((&damage.segment, damage.position, damage.offset), (&first, second_batch as u64, 3));
}

/// All of the header but the leader epoch, which nothing covers.
#[test]
fn a_wrong_byte_in_a_header_is_named_and_disturbs_no_other_segment() {
    let fixture = Fixture::new();
    let first = fixture.write_batches();
    let whole = std::fs::read(&first).expect("read");
    let size = BatchHeader::read(&whole).expect("header").size();
    let last = whole.len() - size;
    for (batch, at) in [size, last].into_iter().flat_map(|batch| (0..61).map(move |at| (batch, at))) {
        if (12..16).contains(&at) {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[batch + at] ^= 1;
        std::fs::write(&first, &bytes).expect("write");
        let verified = verify::verify_dir(&fixture.dir()).expect("verify");
        let damage = verified.damage.first().unwrap_or_else(|| panic!("byte {at} of the batch at {batch}"));
        assert_eq!((&damage.segment, damage.position), (&first, batch as u64), "byte {at}: {:?}", verified.damage);
        let log = fixture.open(OpenMode::ProcessDied);
        assert_eq!(log.end(), 600);
        let second = log.segments[1].base_offset();
        assert_eq!(read_all(&log, &fixture.env, second).len() as i64, (600 - second) / 3, "byte {at}");
    }
}

#[test]
fn a_machine_crash_between_segments_ends_the_log_at_the_gap_in_a_new_epoch() {
    let fixture = Fixture::new();
    let first = fixture.write_batches();
    let length = std::fs::metadata(&first).expect("metadata").len();
    std::fs::OpenOptions::new().write(true).open(&first).expect("open").set_len(length / 2).expect("cut");
    let (mut log, report) = fixture.open_from(OpenMode::MachineDied, 0);
    assert!(report.dropped_segments > 0);
    let offsets = read_all(&log, &fixture.env, 0);
    assert_eq!(offsets, (0..log.end() / 3).map(|i| i * 3).collect::<Vec<_>>());
    assert_eq!(log.begin_epoch().expect("begun"), 1);
    assert_eq!(log.epoch_end(0), Some(EpochEnd { epoch: 0, end_offset: log.end() }));
}

#[test]
fn a_page_that_a_machine_crash_lost_in_a_sealed_segment_ends_the_log_there() {
    let fixture = Fixture::new();
    let first = fixture.write_batches();
    let mut bytes = std::fs::read(&first).expect("read");
    let size = BatchHeader::read(&bytes).expect("header").size();
    bytes[5 * size + 100..5 * size + 200].fill(0);
    std::fs::write(&first, &bytes).expect("write");
    let (log, report) = fixture.open_from(OpenMode::MachineDied, 0);
    assert_eq!(log.end(), 15, "five batches before it");
    assert!(report.dropped_segments > 0);
}

#[test]
fn records_appended_after_a_clean_start_are_found_by_their_time() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    log.append(&batch(1, 100), Origin::CLIENT).expect("append");
    log.close().expect("closed");
    for (round, timestamp) in [200, 300, 400].into_iter().enumerate() {
        let mut log = fixture.open(OpenMode::Clean);
        log.append(&batch(1, timestamp), Origin::CLIENT).expect("append");
        let snapshot = log.snapshot(-1);
        let found = snapshot.first_at_or_after(&fixture.env.files, timestamp - 50).expect("looked up").expect("found");
        assert_eq!(found.offset, round as i64 + 1);
        assert_eq!(snapshot.max_timestamp(&fixture.env.files).expect("looked up").expect("found").timestamp, timestamp);
        log.close().expect("closed");
    }
    let log = fixture.open(OpenMode::Clean);
    let found = log.snapshot(-1).first_at_or_after(&fixture.env.files, 350).expect("looked up").expect("found");
    assert_eq!(found.offset, 3, "also after the last close");
}

#[test]
fn no_offset_below_the_start_on_record_is_given_again() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..10 {
        log.append(&batch(3, i), Origin::CLIENT).expect("append");
    }
    drop(log);
    // The start was moved to 50, and the machine lost what came after 30.
    let (mut log, _) = fixture.open_from(OpenMode::MachineDied, 50);
    assert_eq!((log.log_start(), log.end()), (50, 50));
    assert_eq!(log.append(&batch(3, 99), Origin::CLIENT).expect("append").base_offset, 50);
    drop(log);
    let (log, _) = fixture.open_from(OpenMode::ProcessDied, 50);
    assert_eq!(read_all(&log, &fixture.env, 50), [50]);
}

#[test]
fn epochs_are_found_in_the_batches_where_their_file_is_lost() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..30 {
        if i % 10 == 9 {
            log.begin_epoch().expect("begun");
        }
        log.append(&batch(1, i), Origin::CLIENT).expect("append");
    }
    let ends: Vec<_> = (0..=3).map(|epoch| log.epoch_end(epoch)).collect();
    drop(log);
    std::fs::write(fixture.dir().join(files::LEADER_EPOCHS), "garbage").expect("write");
    let log = fixture.open(OpenMode::ProcessDied);
    assert_eq!(log.leader_epoch(), 3);
    assert_eq!((0..=3).map(|epoch| log.epoch_end(epoch)).collect::<Vec<_>>(), ends);
}

fn transactional(timestamp: i64, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> PreparedBatch {
    let record = NewRecord { value: Some(Bytes::from_static(b"value")), timestamp, ..Default::default() };
    let fields =
        BatchFields { transactional: true, producer_id, producer_epoch, base_sequence, ..BatchFields::default() };
    PreparedBatch::trusted(build(&fields, &[record]).expect("build").into()).expect("a batch")
}

pub(super) fn marker(producer_id: i64, producer_epoch: i16, committed: bool) -> PreparedBatch {
    let marker = Marker { committed, coordinator_epoch: 0 };
    let batch = marker.batch(producer_id, producer_epoch, 1_000, false).expect("build");
    PreparedBatch::trusted(batch.into()).expect("a batch")
}

pub(super) const VERIFIED: Origin = Origin::Client { verified: Some(TransactionVersion::V2) };
pub(super) const ENDS: Origin = Origin::Marker(TransactionVersion::V2);

/// Producer ids and first offsets of the aborted transactions that a reader of `from..` is told of.
fn aborted(log: &Log, env: &LogEnv, from: i64) -> Vec<(i64, i64)> {
    let snapshot = log.snapshot(from);
    let found = snapshot.read(&env.files, from, log.end(), u64::MAX, true).expect("read").expect("data");
    snapshot.aborted(from, &found).iter().map(|a| (a.producer_id, a.first_offset)).collect()
}

#[test] // S30
fn transactions_are_verified_when_they_begin_and_end_with_their_marker() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    let refused = log.append(&transactional(0, 7, 0, 0), Origin::CLIENT);
    assert!(matches!(refused, Err(AppendError::InvalidTransactionState(_))));
    assert_eq!(log.end(), 0);
    log.append(&transactional(0, 7, 0, 0), VERIFIED).expect("the first");
    log.append(&transactional(0, 7, 0, 1), Origin::CLIENT).expect("goes on");
    assert_eq!(log.first_open_transaction(), Some(0));
    let plain = log.append(&sequenced(1, 0, 7, 0, 2), Origin::CLIENT);
    assert!(matches!(plain, Err(AppendError::InvalidTransactionState(_))), "not of the transaction");
    assert!(log.append(&transactional(0, 7, 0, 1), Origin::CLIENT).expect("again").duplicate);
    assert!(matches!(log.append(&marker(7, 0, true), ENDS), Err(AppendError::InvalidProducerEpoch(_))), "not raised");
    let ended = log.append(&marker(7, 1, true), ENDS).expect("ended").completed.expect("there was one");
    assert_eq!((ended.first_offset, ended.last_offset, ended.committed), (0, 2, true));
    assert_eq!(log.first_open_transaction(), None);
    assert_eq!(log.append(&marker(7, 1, true), ENDS).expect("the same marker").completed, None);
    let late = log.append(&transactional(0, 7, 0, 2), VERIFIED);
    assert!(matches!(late, Err(AppendError::InvalidProducerEpoch(_))), "its epoch is over");
    // A producer that begins anywhere but at 0 has lost something.
    let lost = log.append(&transactional(0, 8, 0, 3), VERIFIED);
    assert!(matches!(lost, Err(AppendError::OutOfOrderSequence(_))));
}

#[test]
fn nothing_comes_before_a_first_batch_that_was_refused() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    let v1 = Origin::Client { verified: Some(TransactionVersion::V1) };
    log.transaction_refused(&transactional(0, 7, 0, 0).header, TransactionVersion::V1);
    assert!(matches!(log.append(&transactional(0, 7, 0, 1), v1), Err(AppendError::OutOfOrderSequence(_))));
    log.append(&transactional(0, 7, 0, 0), v1).expect("the refused one");
    log.append(&transactional(0, 7, 0, 1), v1).expect("and the one behind it");
}

#[test]
fn aborted_transactions_are_known_after_every_kind_of_restart() {
    for mode in [OpenMode::Clean, OpenMode::ProcessDied, OpenMode::MachineDied] {
        let fixture = Fixture::new();
        let mut log = fixture.open(OpenMode::Clean);
        let mut expected = Vec::new();
        for (epoch, committed) in (0..300).map(|i| (i, i % 3 == 0)) {
            let at = log.append(&transactional(0, 7, epoch, 0), VERIFIED).expect("begun").base_offset;
            log.append(&sequenced(3, 0, 9, 0, i32::from(epoch) * 3), Origin::CLIENT).expect("of another");
            log.append(&marker(7, epoch + 1, committed), ENDS).expect("ended");
            if !committed {
                expected.push((7, at));
            }
        }
        let open = log.append(&transactional(0, 8, 0, 0), VERIFIED).expect("stays open").base_offset;
        assert!(log.segment_count() > 3, "several segments");
        let all_of = |log: &Log| {
            let (mut all, mut next) = (Vec::new(), 0);
            while next < log.end() {
                all.extend(aborted(log, &fixture.env, next));
                let snapshot = log.snapshot(next);
                let found = snapshot.read(&fixture.env.files, next, log.end(), u64::MAX, true);
                let region = found.expect("read").expect("data").region;
                let mut bytes = vec![0; region.length];
                region.file.read_exact_at(&mut bytes, region.position).expect("region");
                let mut at = 0;
                while let Some(header) = bytes.get(at..).and_then(BatchHeader::read) {
                    next = header.next_offset();
                    at += header.size();
                }
            }
            all.sort_unstable();
            all.dedup();
            all
        };
        assert_eq!(all_of(&log), expected);
        match mode {
            OpenMode::Clean => log.close().expect("closed"),
            // The list of the last segment is not what the batches say.
            _ => drop(std::fs::write(fixture.newest("log").with_extension("txnindex"), b"nonsense")),
        }
        drop(log);
        let mut log = fixture.open(mode);
        assert_eq!(all_of(&log), expected, "{mode:?}");
        assert_eq!(log.first_open_transaction(), Some(open), "{mode:?}");
        let ended = log.append(&marker(8, 1, false), ENDS).expect("ended").completed.expect("it was open");
        assert_eq!((ended.first_offset, ended.committed), (open, false));
        assert_eq!(log.first_open_transaction(), None);
    }
}

/// What ended between an old snapshot and the log's start can be seen no more: the snapshot says nothing then.
#[test]
fn a_producer_snapshot_from_before_the_start_opens_no_transaction() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    log.append(&transactional(0, 7, 0, 0), VERIFIED).expect("begun");
    log.finish().expect("a snapshot of it");
    let stale = std::fs::read(fixture.newest("snapshot")).expect("readable");
    log.append(&marker(7, 1, true), ENDS).expect("ended");
    let end = log.end();
    log.advance_log_start(end);
    log.append(&batch(1, 0), Origin::CLIENT).expect("append");
    log.close().expect("closed");
    drop(log);
    for entry in std::fs::read_dir(fixture.dir()).expect("listed").flatten() {
        if entry.path().extension().is_some_and(|e| e == "snapshot") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    std::fs::write(files::offset_file(&fixture.dir(), 1, "snapshot"), stale).expect("written");
    let log = fixture.open_from(OpenMode::MachineDied, end).0;
    assert_eq!(log.first_open_transaction(), None);
}
