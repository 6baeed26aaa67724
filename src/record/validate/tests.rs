use super::*;
use crate::record::build::{BatchFields, NewRecord, build};

fn rules() -> Rules<'static> {
    Rules {
        partition: &"t-0",
        max_message_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        stored_codec: None,
        now_ms: 1_000_000,
    }
}

fn records(n: usize) -> Vec<NewRecord> {
    (0..n)
        .map(|i| NewRecord {
            key: Some(format!("k{i}").into()),
            value: Some(vec![b'v'; 100].into()),
            timestamp: 1_000 + i as i64,
            ..NewRecord::default()
        })
        .collect()
}

fn batch(codec: Codec, records: &[NewRecord]) -> Bytes {
    build(&BatchFields { codec, ..BatchFields::default() }, records).expect("build").into()
}

fn check(bytes: Bytes, rules: &Rules<'_>) -> Result<PreparedBatch, Rejection> {
    prepare(sole_batch(&bytes)?, rules)
}

#[test]
fn an_ordinary_batch_is_stored_as_it_came() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let sent = batch(codec, &records(5));
        let prepared = check(sent.clone(), &rules()).expect("valid");
        let stored = [&prepared.head[..], &prepared.body].concat();
        assert_eq!(stored, sent, "{codec:?}");
        assert_eq!(prepared.body.as_ptr(), sent[HEADER_BYTES..].as_ptr(), "records are not copied");
    }
}

#[test]
fn every_bad_shape_has_kafkas_error() {
    let good = batch(Codec::None, &records(2));
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = good.to_vec();
        bytes[at..at + to.len()].copy_from_slice(to);
        Bytes::from(bytes)
    };
    let sealed = |at: usize, to: &[u8]| {
        let mut bytes = changed(at, to).to_vec();
        batch::seal(&mut bytes);
        Bytes::from(bytes)
    };
    let kind = |bytes: Bytes| match check(bytes, &rules()) {
        Ok(_) => "ok",
        Err(Rejection::Corrupt(_)) => "corrupt",
        Err(Rejection::InvalidRecord(..)) => "invalid",
        Err(Rejection::InvalidTimestamp(..)) => "timestamp",
        Err(Rejection::TooLarge(_)) => "large",
        Err(Rejection::Unreadable(_)) => "unreadable",
    };
    assert_eq!(kind(Bytes::new()), "invalid");
    assert_eq!(kind(good.slice(..good.len() - 1)), "invalid");
    assert_eq!(kind([good.as_ref(), good.as_ref()].concat().into()), "invalid");
    assert_eq!(kind([good.as_ref(), b"tail".as_ref()].concat().into()), "ok");
    assert_eq!(kind(changed(16, &[1])), "invalid");
    assert_eq!(kind(changed(16, &[3])), "corrupt");
    assert_eq!(kind(changed(16, &[0xff])), "corrupt");
    for length in [10i32, 0, -1] {
        assert_eq!(kind(changed(8, &length.to_be_bytes())), "corrupt");
    }
    assert_eq!(kind(changed(8, &i32::MAX.to_be_bytes())), "unreadable");
    assert_eq!(kind(changed(70, &[9])), "corrupt");
    assert_eq!(kind(sealed(0, &1i64.to_be_bytes())), "invalid");
    assert_eq!(kind(sealed(23, &5i32.to_be_bytes())), "invalid");
    assert_eq!(kind(sealed(57, &0i32.to_be_bytes())), "invalid");
    assert_eq!(kind(sealed(22, &[0x20])), "invalid");
    assert_eq!(kind(sealed(43, &7i64.to_be_bytes())), "invalid");
    assert_eq!(kind(sealed(22, &[7])), "unreadable");
    assert_eq!(kind(sealed(61, &[3])), "invalid");
}

#[test]
fn null_keys_are_named_on_a_compacted_topic() {
    let mut list = records(3);
    list[1].key = None;
    for codec in [Codec::None, Codec::Zstd] {
        let error = check(batch(codec, &list), &Rules { compacted: true, ..rules() });
        let Err(Rejection::InvalidRecord(_, errors)) = error else { panic!("{codec:?}: {error:?}") };
        assert_eq!(errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn timestamps_outside_the_bounds_are_named() {
    let mut list = records(3);
    list[2].timestamp = 1_000_000 + 3_600_001;
    for codec in [Codec::None, Codec::Lz4] {
        let error = check(batch(codec, &list), &rules());
        let Err(Rejection::InvalidTimestamp(_, errors)) = error else { panic!("{codec:?}: {error:?}") };
        assert_eq!(errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn log_append_time_is_set_without_opening() {
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let prepared = check(batch(Codec::Gzip, &records(3)), &rules).expect("valid");
    assert!(prepared.header.is_log_append_time());
    assert_eq!(prepared.header.max_timestamp, 1_000_000);
    assert!(batch::crc_matches(&[&prepared.head[..], &prepared.body].concat()));
}

#[test]
fn another_codec_is_stored_when_the_topic_says_so() {
    for (sent, stored) in [(Codec::None, Codec::Zstd), (Codec::Gzip, Codec::None), (Codec::Snappy, Codec::Lz4)] {
        let rules = Rules { stored_codec: Some((stored, 3)), ..rules() };
        let prepared = check(batch(sent, &records(50)), &rules).expect("valid");
        assert_eq!(Codec::from_bits(prepared.header.codec_bits()), Some(stored));
        assert_eq!(prepared.header.size(), prepared.size());
        let opened = compress::decompress(stored, &prepared.body, 1 << 20).expect("opens");
        assert_eq!(Records::new(&opened, 50).filter(Result::is_ok).count(), 50);
        assert!(batch::crc_matches(&[&prepared.head[..], &prepared.body].concat()));
    }
}

#[test]
fn a_size_over_the_limit_is_refused_before_and_after_recompression() {
    let sent = batch(Codec::Zstd, &records(50));
    let limit = sent.len() as i32;
    let small = Rules { max_message_bytes: limit - 1, ..rules() };
    assert!(matches!(check(sent.clone(), &small), Err(Rejection::TooLarge(_))));
    let grown = Rules { max_message_bytes: limit, stored_codec: Some((Codec::None, 0)), ..rules() };
    assert!(matches!(check(sent, &grown), Err(Rejection::TooLarge(_))));
}
