//! Compaction against a model, and each of its rules by itself.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::log::tests::{ENDS, Fixture, VERIFIED, marker};
use crate::log::{OpenMode, Origin, Region, files};
use crate::record::build::{BatchFields, NewRecord, build};
use crate::record::{Codec, PreparedBatch};

/// A key's last value; `None` for a tombstone.
pub type Table = BTreeMap<String, Option<String>>;

pub fn rules() -> CleanerRules {
    CleanerRules {
        delete_retention_ms: 1_000,
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        map_bytes_max: 1 << 20,
        map_load_factor: 0.9,
    }
}

pub fn record(key: &str, value: Option<&str>, timestamp: i64) -> NewRecord {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    NewRecord { key: Some(bytes(key)), value: value.map(bytes), timestamp, ..NewRecord::default() }
}

pub fn batch_of(fields: &BatchFields, records: &[NewRecord]) -> PreparedBatch {
    PreparedBatch::trusted(build(fields, records).expect("build").into()).expect("a batch")
}

/// The first batch of producer 7 in an epoch, in a transaction.
pub fn in_transaction(producer_epoch: i16) -> BatchFields {
    BatchFields { transactional: true, producer_id: 7, producer_epoch, base_sequence: 0, ..BatchFields::default() }
}

pub fn put(log: &mut Log, key: &str, value: Option<&str>) -> i64 {
    let batch = batch_of(&BatchFields::default(), &[record(key, value, log.env.clock.wall_ms())]);
    log.append(&batch, Origin::CLIENT).expect("append").base_offset
}

/// Cleans whatever can be; answers what was done.
pub fn clean(log: &mut Log, first_dirty: Option<i64>, rules: &CleanerRules) -> Cleaned {
    let stable = log.first_open_transaction().unwrap_or(log.end());
    let cleanable = log.cleanable(first_dirty, stable, rules).expect("looked at");
    let cleaning = log.begin_cleaning(&cleanable);
    let mut pace = |_| ControlFlow::Continue(());
    cleaning.run(rules, &mut pace, &mut |new| Ok(log.replace(new)?.is_some())).expect("cleaned")
}

fn bytes_of(region: &Region) -> Vec<u8> {
    let mut bytes = vec![0; region.length];
    let n = files::read_at(&region.file, &mut bytes, region.position).expect("read");
    assert_eq!(n, bytes.len(), "all of the region is there");
    bytes
}

/// Offset, key and value of every record that a reader of committed records is shown, as clients read: the aborted
/// transactions come with what is fetched.
pub fn read_committed(log: &Log, bytes_max: u64) -> Vec<(i64, String, Option<String>)> {
    let stable = log.first_open_transaction().unwrap_or(log.end());
    let (mut shown, mut next, mut in_aborted) = (Vec::new(), log.log_start(), HashSet::new());
    while next < stable {
        let snapshot = log.snapshot(next);
        let Some(found) = snapshot.read(&log.env.files, next, stable, bytes_max, true).expect("read") else { break };
        let mut aborted = snapshot.aborted(next, &found);
        aborted.sort_by_key(|a| a.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        let bytes = bytes_of(&found.region);
        let mut at = 0;
        while let Some(header) = bytes.get(at..).and_then(BatchHeader::read).filter(|h| at + h.size() <= bytes.len()) {
            let batch = &bytes[at..at + header.size()];
            at += header.size();
            assert!(header.last_offset() >= next || at == header.size(), "offsets only grow");
            next = header.next_offset();
            while let Some(begun) = aborted.next_if(|a| a.first_offset <= header.last_offset()) {
                in_aborted.insert(begun.producer_id);
            }
            if header.is_control() {
                if Marker::read_batch(batch).is_some_and(|marker| !marker.committed) {
                    in_aborted.remove(&header.producer_id);
                }
                continue;
            }
            if header.is_transactional() && in_aborted.contains(&header.producer_id) {
                continue;
            }
            let body = filter::open(batch, &header).expect("opened");
            for record in Records::new(&body, header.record_count) {
                let record = record.expect("well formed");
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                let offset = header.base_offset + i64::from(record.offset_delta);
                shown.push((offset, text(record.key.expect("a key")), record.value.map(text)));
            }
        }
        assert!(at > 0, "something was read at {next}");
    }
    shown
}

/// What a reader has in the end, without what was deleted.
pub fn table_of(log: &Log) -> Table {
    let mut table = Table::new();
    for (_, key, value) in read_committed(log, 3_000) {
        table.insert(key, value);
    }
    table.retain(|_, value| value.is_some());
    table
}

/// Key, offset and value.
type Row = (String, i64, Option<String>);

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A log that is written at random, and what its readers must find.
struct Model {
    fixture: Fixture,
    log: Log,
    numbers: Numbers,
    /// Of each key the last committed value with its offset: what is committed later does not come later.
    table: BTreeMap<String, (i64, Option<String>)>,
    /// Per producer: its epoch, and what its open transaction has written.
    producers: Vec<(i16, Option<Vec<Row>>)>,
    first_dirty: Option<i64>,
    rules: CleanerRules,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut fixture = Fixture::new();
        let mut numbers = Numbers(seed);
        fixture.config.segment_bytes = 1_000 + numbers.below(8_000);
        fixture.config.index_interval_bytes = numbers.below(600);
        let log = fixture.open(OpenMode::Clean);
        let rules = CleanerRules {
            delete_retention_ms: numbers.below(3) as i64 * 500,
            // So few keys that a pass often ends early.
            map_bytes_max: 0,
            ..rules()
        };
        Model { fixture, log, numbers, table: BTreeMap::new(), producers: vec![(0, None); 3], first_dirty: None, rules }
    }

    fn step(&mut self) {
        match self.numbers.below(100) {
            0..60 => self.write(),
            60..75 => self.end(),
            75..78 => self.log.roll().expect("rolled"),
            78..82 => self.fixture.env.clock.advance(Duration::from_millis(300)),
            82..92 => self.clean(),
            92..96 => self.restart(),
            _ => self.check("in between"),
        }
    }

    fn write(&mut self) {
        let producer = self.numbers.below(4) as usize;
        let codec = [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy][self.numbers.below(5) as usize];
        let now = self.fixture.env.clock.wall_ms();
        let mut rows = Vec::new();
        for _ in 0..1 + self.numbers.below(5) {
            let key = format!("key-{}", self.numbers.below(30));
            let value = match self.numbers.below(6) {
                0 => None,
                1 => Some(String::new()),
                _ => Some(format!("{}-{}", self.log.end(), "x".repeat(self.numbers.below(90) as usize))),
            };
            rows.push((key, self.log.end() + rows.len() as i64, value));
        }
        let records: Vec<_> = rows.iter().map(|(key, _, value)| record(key, value.as_deref(), now)).collect();
        let Some((epoch, open)) = self.producers.get_mut(producer) else {
            let batch = batch_of(&BatchFields { codec, ..BatchFields::default() }, &records);
            self.log.append(&batch, Origin::CLIENT).expect("append");
            self.committed(rows);
            return;
        };
        let id = 100 + producer as i64;
        let last = self.log.producer(id).filter(|p| p.epoch == *epoch).map_or(-1, |p| p.last_sequence);
        let fields = BatchFields {
            codec,
            transactional: true,
            producer_id: id,
            producer_epoch: *epoch,
            base_sequence: last + 1,
            ..BatchFields::default()
        };
        self.log.append(&batch_of(&fields, &records), VERIFIED).expect("append");
        open.get_or_insert_default().extend(rows);
    }

    fn end(&mut self) {
        let producer = self.numbers.below(3) as usize;
        let committed = self.numbers.below(2) == 0;
        let (epoch, open) = &mut self.producers[producer];
        let Some(rows) = open.take() else { return };
        *epoch += 1;
        self.log.append(&marker(100 + producer as i64, *epoch, committed), ENDS).expect("ended");
        if committed {
            self.committed(rows);
        }
    }

    fn committed(&mut self, rows: Vec<Row>) {
        for (key, offset, value) in rows {
            if self.table.get(&key).is_none_or(|(before, _)| *before < offset) {
                self.table.insert(key, (offset, value));
            }
        }
    }

    fn clean(&mut self) {
        let cleaned = clean(&mut self.log, self.first_dirty, &self.rules);
        assert!(cleaned.records_after <= cleaned.records_before);
        self.first_dirty = Some(cleaned.first_dirty);
        self.check("after cleaning");
    }

    fn restart(&mut self) {
        let mode = if self.numbers.below(2) == 0 {
            self.log.close().expect("closed");
            OpenMode::Clean
        } else {
            OpenMode::ProcessDied
        };
        let (producers, open) = (self.log.active_producers(), self.log.first_open_transaction());
        self.log = self.fixture.open(mode);
        assert_eq!(self.log.first_open_transaction(), open, "{mode:?}");
        assert_eq!(self.log.active_producers(), producers, "{mode:?}");
        self.check("after a restart");
    }

    fn check(&mut self, when: &str) {
        let bytes_max = 500 + self.numbers.below(6_000);
        let open = self.log.first_open_transaction();
        let mut table = Table::new();
        for (_, key, value) in read_committed(&self.log, bytes_max) {
            table.insert(key, value);
        }
        table.retain(|_, value| value.is_some());
        if open.is_none() {
            let wanted = self.table.iter().map(|(key, (_, value))| (key.clone(), value.clone()));
            let wanted: Table = wanted.filter(|(_, value)| value.is_some()).collect();
            let differ: Vec<_> =
                table.keys().chain(wanted.keys()).filter(|k| table.get(*k) != wanted.get(*k)).collect();
            let rows = |key: &String| (key.clone(), table.get(key).cloned(), self.table.get(key).cloned());
            let differ: Vec<_> = differ.into_iter().map(rows).collect();
            assert_eq!(differ, [], "{when}: key, what was read, what the model has");
        }
    }

    fn finish(&mut self) {
        for producer in 0..3 {
            let (epoch, open) = &mut self.producers[producer];
            if let Some(rows) = open.take() {
                *epoch += 1;
                self.log.append(&marker(100 + producer as i64, *epoch, true), ENDS).expect("ended");
                self.committed(rows);
            }
        }
        self.log.roll().expect("rolled");
        self.clean();
        self.restart();
        let verified = crate::log::verify::verify_dir(&self.fixture.dir()).expect("verified");
        assert_eq!(verified.damage, [], "every batch is whole and in order");
    }
}

#[test] // S9, S33
fn readers_of_a_cleaned_log_find_what_the_model_says() {
    for seed in 0..25 {
        let result = std::panic::catch_unwind(|| {
            let mut model = Model::new(seed);
            for _ in 0..400 {
                model.step();
            }
            model.finish();
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test] // S33
fn the_last_record_of_each_key_stays_at_its_offset_and_the_active_segment_as_it_is() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..50 {
        put(&mut log, &format!("k{}", i % 5), Some(&format!("v{i}")));
    }
    log.roll().expect("rolled");
    put(&mut log, "k0", Some("first of the active"));
    put(&mut log, "k0", Some("last of the active"));
    let cleaned = clean(&mut log, None, &rules());
    assert_eq!((cleaned.first_dirty, cleaned.records_before, cleaned.records_after), (50, 50, 5));
    let offsets: Vec<i64> = read_committed(&log, 1 << 20).into_iter().map(|(offset, ..)| offset).collect();
    assert_eq!(offsets, [45, 46, 47, 48, 49, 50, 51]);
    assert_eq!((log.log_start(), log.end()), (0, 52));
    // A reader that asks for an offset that is gone gets the next there is.
    let snapshot = log.snapshot(3);
    let found = snapshot.read(&log.env.files, 3, log.end(), 1 << 20, true).expect("read").expect("data");
    assert_eq!(BatchHeader::read(&bytes_of(&found.region)).expect("a batch").base_offset, 45);
}

#[test] // S33: the winner must be one that was committed
fn an_aborted_record_never_takes_the_place_of_a_committed_one() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    put(&mut log, "key", Some("good"));
    let fields = in_transaction(0);
    log.append(&batch_of(&fields, &[record("key", Some("bad"), 0)]), VERIFIED).expect("append");
    log.append(&marker(7, 1, false), ENDS).expect("aborted");
    log.roll().expect("rolled");
    clean(&mut log, None, &rules());
    assert_eq!(read_committed(&log, 1 << 20), [(0, "key".into(), Some("good".into()))]);
    let path = files::offset_file(&fixture.dir(), 0, "log");
    let mut left = Vec::new();
    let file = std::fs::File::open(&path).expect("there");
    read_batches(&file, file.metadata().expect("there").len(), |_, header, _| {
        left.push((header.base_offset, header.record_count));
        Ok(ControlFlow::Continue(()))
    })
    .expect("read");
    // Its data is gone; the marker is the last that is known of the producer.
    assert_eq!(left, [(0, 1), (2, 1)]);
}

#[test] // S33
fn nothing_of_an_open_transaction_or_behind_it_is_cleaned() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    put(&mut log, "a", Some("1"));
    put(&mut log, "a", Some("2"));
    log.roll().expect("rolled");
    let fields = in_transaction(0);
    log.append(&batch_of(&fields, &[record("a", Some("3"), 0)]), VERIFIED).expect("append");
    put(&mut log, "a", Some("4"));
    log.roll().expect("rolled");
    let cleaned = clean(&mut log, None, &rules());
    assert_eq!(cleaned.first_dirty, 2);
    log.append(&marker(7, 1, true), ENDS).expect("committed");
    assert_eq!(read_committed(&log, 1 << 20).len(), 3);
    clean(&mut log, Some(2), &rules());
    assert_eq!(read_committed(&log, 1 << 20), [(3, "a".into(), Some("4".into()))]);
}

/// Else the cleaner would come again at once, for nothing.
#[test] // S33
fn nothing_is_dirty_up_to_a_transaction_in_the_middle_of_a_segment() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    put(&mut log, "a", Some("1"));
    put(&mut log, "a", Some("2"));
    let fields = in_transaction(0);
    log.append(&batch_of(&fields, &[record("a", Some("3"), 0)]), VERIFIED).expect("append");
    put(&mut log, "a", Some("4"));
    log.roll().expect("rolled");
    let stable = log.first_open_transaction().expect("one is open");
    let before = log.cleanable(None, stable, &rules()).expect("looked at");
    assert!(before.dirty_bytes > 0);
    let cleaned = clean(&mut log, None, &rules());
    assert_eq!(cleaned.first_dirty, 2);
    let after = log.cleanable(Some(2), stable, &rules()).expect("looked at");
    assert_eq!((after.dirty_bytes, after.ratio()), (0, 0.0));
    log.append(&marker(7, 1, true), ENDS).expect("committed");
    assert!(log.cleanable(Some(2), log.end(), &rules()).expect("looked at").dirty_bytes > 0);
}

#[test] // S33
fn a_tombstone_is_there_until_its_horizon_and_an_empty_value_for_ever() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    put(&mut log, "gone", Some("value"));
    put(&mut log, "empty", Some(""));
    put(&mut log, "gone", None);
    log.roll().expect("rolled");
    clean(&mut log, None, &rules());
    let both = [(1, "empty".into(), Some(String::new())), (2, "gone".into(), None)];
    assert_eq!(read_committed(&log, 1 << 20), both, "the horizon begins with the first cleaning");
    fixture.env.clock.advance(Duration::from_millis(999));
    put(&mut log, "other", Some("x"));
    log.roll().expect("rolled");
    clean(&mut log, None, &rules());
    assert_eq!(read_committed(&log, 1 << 20)[..2], both);
    fixture.env.clock.advance(Duration::from_millis(1));
    clean(&mut log, None, &rules());
    assert_eq!(read_committed(&log, 1 << 20).len(), 2, "past it the tombstone goes");
    assert_eq!(table_of(&log).len(), 2);
}

#[test] // S33
fn a_marker_outlives_its_data_until_a_horizon() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    let mut fields = in_transaction(0);
    log.append(&batch_of(&fields, &[record("a", Some("1"), 0)]), VERIFIED).expect("append");
    log.append(&marker(7, 1, true), ENDS).expect("committed");
    // The last of this producer is here, so that nothing before is kept for its sake.
    fields.producer_epoch = 1;
    log.append(&batch_of(&fields, &[record("a", Some("2"), 0)]), VERIFIED).expect("append");
    log.append(&marker(7, 2, true), ENDS).expect("committed");
    put(&mut log, "a", Some("3"));
    log.roll().expect("rolled");
    let offsets = |log: &Log| {
        let (mut offsets, segment) = (Vec::new(), &log.segments[0]);
        segment
            .walk(&log.env.files, 0, |_, header| {
                offsets.push((header.base_offset, header.record_count));
                ControlFlow::Continue(())
            })
            .expect("walked");
        offsets
    };
    clean(&mut log, None, &rules());
    assert_eq!(offsets(&log), [(1, 1), (3, 1), (4, 1)], "the data is gone, the markers had some until now");
    clean(&mut log, None, &rules());
    assert_eq!(offsets(&log), [(1, 1), (3, 1), (4, 1)], "seen idle for the first time");
    fixture.env.clock.advance(Duration::from_millis(1_000));
    clean(&mut log, None, &rules());
    assert_eq!(offsets(&log), [(3, 0), (4, 1)], "all that stays is what says the producer's epoch");
}

#[test]
fn the_lags_of_compaction_hold() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    put(&mut log, "a", Some("1"));
    log.roll().expect("rolled");
    fixture.env.clock.advance(Duration::from_millis(500));
    put(&mut log, "a", Some("2"));
    log.roll().expect("rolled");
    let slow = CleanerRules { min_lag_ms: 400, max_lag_ms: 1_000, ..rules() };
    let of = |log: &Log| log.cleanable(None, log.end(), &slow).expect("looked at");
    assert_eq!((of(&log).first_uncleanable, of(&log).overdue), (1, false), "the second is too young");
    fixture.env.clock.advance(Duration::from_millis(400));
    assert_eq!((of(&log).first_uncleanable, of(&log).overdue), (2, false));
    fixture.env.clock.advance(Duration::from_millis(101));
    assert!(of(&log).overdue, "the first has waited too long");
}

#[test]
fn a_full_map_makes_several_passes_of_it() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for round in 0..2 {
        for i in 0..3_000 {
            put(&mut log, &format!("k{i}"), Some(&format!("{round}")));
        }
    }
    log.roll().expect("rolled");
    let small = CleanerRules { map_bytes_max: 0, ..rules() };
    let (mut first_dirty, mut passes) = (None, 0);
    while first_dirty.is_none_or(|first_dirty| first_dirty < log.end()) {
        let cleaned = clean(&mut log, first_dirty, &small);
        assert!(first_dirty.is_none_or(|before| cleaned.first_dirty > before), "each goes further");
        first_dirty = Some(cleaned.first_dirty);
        passes += 1;
    }
    assert!(passes > 5, "{passes} passes");
    assert_eq!(read_committed(&log, 1 << 20).len(), 3_000);
    let before = log.segments.len();
    clean(&mut log, None, &rules());
    assert!(log.segments.len() < before, "small segments were merged");
    assert!(log.segments[..log.segments.len() - 1].iter().all(|s| s.size() <= fixture.config.segment_bytes));
    assert_eq!(read_committed(&log, 1 << 20).len(), 3_000);
}

#[test]
fn a_log_that_loses_a_segment_meanwhile_is_left_alone() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..400 {
        put(&mut log, &format!("k{}", i % 3), Some(&"x".repeat(100)));
    }
    let cleanable = log.cleanable(None, log.end(), &rules()).expect("looked at");
    let cleaning = log.begin_cleaning(&cleanable);
    let second = log.segments[1].base_offset();
    let mut pace = |_| ControlFlow::Continue(());
    let result = cleaning.run(&rules(), &mut pace, &mut |new| {
        log.advance_log_start(second);
        Ok(log.replace(new)?.is_some())
    });
    assert!(matches!(result, Err(CleanError::Abandoned)));
    let mut stop = |_| ControlFlow::Break(());
    let cleanable = log.cleanable(None, log.end(), &rules()).expect("looked at");
    let stopped = log.begin_cleaning(&cleanable).run(&rules(), &mut stop, &mut |_| panic!("nothing to replace"));
    assert!(matches!(stopped, Err(CleanError::Abandoned)));
    let left: Vec<_> = std::fs::read_dir(fixture.dir())
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| name.ends_with("cleaned") || name.ends_with("swap") || name.ends_with("replaced"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(table_of(&log).len(), 3);
}

#[test] // S7
fn a_reader_keeps_what_it_had_over_a_swap() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..600 {
        put(&mut log, &format!("k{}", i % 3), Some(&format!("{i}")));
    }
    log.roll().expect("rolled");
    let before = log.snapshot(0);
    clean(&mut log, None, &rules());
    for offset in [0, 1, 250, 599] {
        let found = before.read(&log.env.files, offset, 600, 1 << 20, true).expect("read").expect("data");
        let bytes = bytes_of(&found.region);
        assert_eq!(BatchHeader::read(&bytes).expect("a batch").base_offset, offset);
    }
    assert_eq!(read_committed(&log, 1 << 20).len(), 3);
    log.close().expect("closed");
    assert_eq!(read_committed(&fixture.open(OpenMode::Clean), 100).len(), 3);
}

#[test]
fn damage_is_told_and_not_cleaned_away() {
    let fixture = Fixture::new();
    let mut log = fixture.open(OpenMode::Clean);
    for i in 0..10 {
        put(&mut log, &format!("k{}", i % 3), Some(&format!("{i}")));
    }
    log.roll().expect("rolled");
    let path = files::offset_file(&fixture.dir(), 0, "log");
    let mut bytes = std::fs::read(&path).expect("read");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let cleanable = log.cleanable(None, log.end(), &rules()).expect("looked at");
    let mut pace = |_| ControlFlow::Continue(());
    let result = log.begin_cleaning(&cleanable).run(&rules(), &mut pace, &mut |_| panic!("nothing to replace"));
    let Err(CleanError::Log(error)) = result else { panic!("told") };
    assert!(error.to_string().contains("CRC"), "{error}");
}
