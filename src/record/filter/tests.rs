use bytes::Bytes;

use super::*;
use crate::record::build::{BatchFields, NewRecord, build};

fn record(key: &str, value: Option<&str>, timestamp: i64) -> NewRecord {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    NewRecord { key: Some(bytes(key)), value: value.map(bytes), timestamp, headers: vec![("h".into(), None)] }
}

fn batch(codec: Codec, records: &[NewRecord]) -> Vec<u8> {
    let fields = BatchFields { codec, producer_id: 7, producer_epoch: 2, base_sequence: 40, ..BatchFields::default() };
    let mut batch = build(&fields, records).expect("built");
    let head: &mut [u8; HEADER_BYTES] = (&mut batch[..HEADER_BYTES]).try_into().expect("a header");
    batch::assign(head, 1_000, 3);
    batch
}

const ALL: Wanted = Wanted { records: true, empty: false, idle_marker: false };

fn filtered(bytes: &[u8], wanted: Wanted, keep: impl FnMut(i64, &Record<'_>) -> bool) -> Filtered {
    filter(bytes, &BatchHeader::read(bytes).expect("a header"), wanted, 9_000, keep).expect("readable")
}

/// Offset, timestamp, key, value and headers of what is in a batch.
type Row = (i64, i64, String, Option<String>, Vec<u8>);

fn rows(bytes: &[u8]) -> Vec<Row> {
    let header = BatchHeader::read(bytes).expect("a header");
    assert!(crc_matches(bytes));
    assert_eq!(header.size(), bytes.len());
    let body = open(bytes, &header).expect("opened");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    Records::new(&body, header.record_count)
        .map(|record| {
            let r = record.expect("well formed");
            let offset = header.base_offset + i64::from(r.offset_delta);
            let key = text(r.key.expect("a key"));
            (offset, record_timestamp(&header, &r), key, r.value.map(text), r.headers.to_vec())
        })
        .collect()
}

#[test] // S33
fn what_stays_keeps_offset_time_value_headers_and_codec() {
    let records: Vec<_> = (0..6).map(|i| record(&format!("k{i}"), Some(&format!("v{i}")), 500 + 10 * i)).collect();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = batch(codec, &records);
        let before = rows(&bytes);
        let Filtered::Changed { batch, records } =
            filtered(&bytes, ALL, |offset, _| offset == 1_001 || offset == 1_004)
        else {
            panic!("changed");
        };
        assert_eq!(records, 2);
        assert_eq!(rows(&batch), vec![before[1].clone(), before[4].clone()], "{codec:?}");
        let (old, new) = (BatchHeader::read(&bytes).expect("old"), BatchHeader::read(&batch).expect("new"));
        assert_eq!((new.base_offset, new.last_offset()), (old.base_offset, old.last_offset()));
        assert_eq!((new.base_sequence, new.last_sequence()), (40, 45));
        assert_eq!((new.producer_id, new.producer_epoch, new.leader_epoch), (7, 2, 3));
        assert_eq!((new.codec_bits(), new.max_timestamp, new.base_timestamp), (codec.bits(), 540, 510));
        assert_eq!(new.delete_horizon_ms(), None);
    }
}

#[test] // S33
fn a_batch_that_stays_as_it_is_is_not_touched_and_one_that_loses_all_goes() {
    let bytes = batch(Codec::Zstd, &[record("a", Some(""), 5), record("b", Some("x"), 6)]);
    assert_eq!(filtered(&bytes, ALL, |_, _| true), Filtered::Unchanged);
    assert_eq!(filtered(&bytes, ALL, |_, _| false), Filtered::Gone);
    let nothing = Wanted { records: false, empty: false, idle_marker: false };
    assert_eq!(filtered(&bytes, nothing, |_, _| panic!("not asked")), Filtered::Gone);
}

#[test] // S33
fn the_last_batch_of_a_producer_stays_without_its_records() {
    let bytes = batch(Codec::Gzip, &[record("a", None, 5), record("b", Some("x"), 6)]);
    let empty = Wanted { records: true, empty: true, idle_marker: false };
    let Filtered::Changed { batch, records: 0 } = filtered(&bytes, empty, |_, _| false) else { panic!("emptied") };
    let header = BatchHeader::read(&batch).expect("a header");
    assert!(crc_matches(&batch));
    assert_eq!((batch.len(), header.record_count, header.codec_bits()), (HEADER_BYTES, 0, 0));
    assert_eq!((header.base_offset, header.last_offset(), header.max_timestamp), (1_000, 1_001, 6));
    assert_eq!((header.producer_id, header.producer_epoch, header.last_sequence()), (7, 2, 41));
    assert_eq!(filtered(&batch, empty, |_, _| false), Filtered::Unchanged, "it is empty already");
    assert_eq!(filtered(&batch, ALL, |_, _| false), Filtered::Gone, "the producer is forgotten");
}

#[test] // S33
fn tombstones_get_a_horizon_once_and_keep_their_time() {
    for codec in [Codec::None, Codec::Lz4] {
        let bytes = batch(codec, &[record("a", None, 5), record("b", Some("x"), 60)]);
        let before = rows(&bytes);
        let Filtered::Changed { batch, records: 2 } = filtered(&bytes, ALL, |_, _| true) else { panic!("changed") };
        let header = BatchHeader::read(&batch).expect("a header");
        assert_eq!((header.delete_horizon_ms(), header.max_timestamp), (Some(9_000), 60));
        assert_eq!(rows(&batch), before);
        assert_eq!(filtered(&batch, ALL, |_, _| true), Filtered::Unchanged, "the horizon stays");
        let Filtered::Changed { batch, .. } = filtered(&batch, ALL, |_, r| r.value.is_none()) else {
            panic!("changed")
        };
        assert_eq!(BatchHeader::read(&batch).expect("a header").delete_horizon_ms(), Some(9_000));
        assert_eq!(rows(&batch), before[..1]);
    }
}

#[test]
fn what_cannot_be_read_is_said_and_not_passed_on() {
    let good = batch(Codec::Gzip, &[record("a", Some("x"), 5)]);
    let header = BatchHeader::read(&good).expect("a header");
    let mut flipped = good.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    assert!(filter(&flipped, &header, ALL, 0, |_, _| true).is_err(), "the CRC");
    let mut nonsense = good.clone();
    nonsense[HEADER_BYTES..].fill(0xee);
    batch::seal(&mut nonsense);
    assert!(filter(&nonsense, &BatchHeader::read(&nonsense).expect("a header"), ALL, 0, |_, _| true).is_err());
}
