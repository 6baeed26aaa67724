//! What a producer may send (Kafka's `LogValidator` and the shape checks of `ProduceRequest`), and what is stored of it.
//!
//! An ordinary batch is checked and stored as it came: only the header is copied. Records are decompressed only where
//! that needs a look inside: for compacted topics (null keys), for topics that store another codec, and where the header
//! shows that a record has to be refused.

use std::fmt;

use bytes::Bytes;

use super::batch::{self, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD, MAGIC_AT};
use super::compress::{self, Codec, DECOMPRESSED_BYTES_MAX, DecompressError};
use super::iter::{Malformed, Record, Records};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// What the topic asks of a batch.
pub struct Rules<'a> {
    /// Named in messages, as Kafka does: `topic-partition`.
    pub partition: &'a dyn fmt::Display,
    /// `max.message.bytes`: the most that a batch may take with its 12 bytes of overhead.
    pub max_message_bytes: i32,
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` has `compact`: null keys are refused.
    pub compacted: bool,
    /// The codec to store, with its level; `None` keeps the producer's.
    pub stored_codec: Option<(Codec, i32)>,
    pub now_ms: i64,
}

/// Why a batch is refused. The names are those of Kafka's exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// CORRUPT_MESSAGE
    Corrupt(String),
    /// INVALID_RECORD, with the records at fault where they are known
    InvalidRecord(String, Vec<RecordError>),
    /// INVALID_TIMESTAMP
    InvalidTimestamp(String, Vec<RecordError>),
    /// MESSAGE_TOO_LARGE
    TooLarge(String),
    /// UNKNOWN_SERVER_ERROR: what Kafka answers where its decoder throws
    Unreadable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    pub batch_index: i32,
    pub message: Option<String>,
}

/// A batch ready to be appended: only base offset and leader epoch are still open.
#[derive(Clone, Debug)]
pub struct PreparedBatch {
    pub header: BatchHeader,
    pub head: [u8; HEADER_BYTES],
    /// The records, as they will be stored.
    pub body: Bytes,
}

impl PreparedBatch {
    /// Takes one whole batch that needs no check: built by the broker itself, or read back from a log.
    /// `None` if it is no batch.
    pub fn trusted(bytes: Bytes) -> Option<PreparedBatch> {
        let header = BatchHeader::read(&bytes)?;
        if !header.is_plausible() || header.size() != bytes.len() {
            return None;
        }
        let head = bytes[..HEADER_BYTES].try_into().ok()?;
        Some(PreparedBatch { header, head, body: bytes.slice(HEADER_BYTES..) })
    }

    pub fn size(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Finds the one batch of a Produce (v3 and later) in what was sent; bytes after it are dropped.
pub fn sole_batch(records: &Bytes) -> Result<Bytes, Rejection> {
    let Some(first) = next_batch(records)? else {
        return Err(invalid("Produce requests with version 3 or above must have exactly one record batch"));
    };
    if first[MAGIC_AT] != 2 {
        return Err(invalid(
            "Produce requests with version 3 or above are only allowed to contain record batches with magic version 2",
        ));
    }
    if next_batch(&records.slice(first.len()..))?.is_some() {
        return Err(invalid("Produce requests with version 3 or above must have exactly one record batch"));
    }
    Ok(first)
}

/// The header of the first batch in what was sent, if there is a whole one.
pub fn first_header(records: &Bytes) -> Result<Option<BatchHeader>, Rejection> {
    Ok(next_batch(records)?.and_then(|batch| BatchHeader::read(&batch)))
}

/// One batch off the front, `None` if there is no whole one (Kafka's `ByteBufferLogInputStream`).
fn next_batch(bytes: &Bytes) -> Result<Option<Bytes>, Rejection> {
    if bytes.len() < LENGTH_OVERHEAD {
        return Ok(None);
    }
    let length = batch::i32_at(bytes, 8);
    // 14: the least that any batch format takes.
    if length < 14 {
        return Err(Rejection::Corrupt(format!("Record size {length} is less than the minimum record overhead (14)")));
    }
    if bytes.len() <= MAGIC_AT {
        return Ok(None);
    }
    let magic = bytes[MAGIC_AT] as i8;
    if !(0..=2).contains(&magic) {
        return Err(Rejection::Corrupt(format!("Invalid magic found in record: {magic}")));
    }
    let Some(size) = length.checked_add(LENGTH_OVERHEAD as i32) else {
        return Err(Rejection::Unreadable("batch length out of range".into()));
    };
    if bytes.len() < size as usize {
        return Ok(None);
    }
    Ok(Some(bytes.slice(..size as usize)))
}

/// Checks `batch` (from [`sole_batch`]) against the topic's rules and prepares what is stored.
pub fn prepare(batch: Bytes, rules: &Rules<'_>) -> Result<PreparedBatch, Rejection> {
    let Some(header) = BatchHeader::read(&batch) else {
        return Err(Rejection::Corrupt("Record batch smaller than its header".into()));
    };
    check_header(&batch, &header, rules)?;
    let Some(codec) = Codec::from_bits(header.codec_bits()) else {
        return Err(Rejection::Unreadable(format!("Unknown compression type id: {}", header.codec_bits())));
    };
    let stored = rules.stored_codec.filter(|(stored, _)| *stored != codec);
    let mut head: [u8; HEADER_BYTES] = batch[..HEADER_BYTES].try_into().expect("the header was read");
    let mut body = batch.slice(HEADER_BYTES..);
    let mut max_timestamp = header.max_timestamp;

    if codec == Codec::None {
        max_timestamp = check_records(&body, &header, rules, false)?;
    } else if rules.compacted
        || stored.is_some()
        || header.is_log_append_time()
        || header_timestamps_out_of_range(&header, rules)
    {
        let opened = open(codec, &body)?;
        max_timestamp = check_records(&opened, &header, rules, true)?;
        if stored.is_some() {
            body = Bytes::from(opened);
        }
    }

    let mut changed = false;
    if let Some((codec, level)) = stored {
        check_rebuilt(&header)?;
        if codec != Codec::None {
            let packed = compress::compress(codec, level, &body)
                .map_err(|e| Rejection::Unreadable(format!("compressing with {codec:?}: {e}")))?;
            body = Bytes::from(packed);
        }
        batch::set_codec(&mut head, codec.bits());
        changed = true;
    }
    let log_append_time = rules.timestamp_type == TimestampType::LogAppendTime;
    if log_append_time {
        max_timestamp = rules.now_ms;
    }
    if header.is_log_append_time() != log_append_time {
        batch::set_log_append_time(&mut head, log_append_time);
        changed = true;
    }
    if max_timestamp != header.max_timestamp {
        batch::set_max_timestamp(&mut head, max_timestamp);
        changed = true;
    }
    if changed {
        let size = HEADER_BYTES + body.len();
        if size as i64 > i64::from(rules.max_message_bytes) {
            return Err(too_large(size, rules));
        }
        head[8..12].copy_from_slice(&((size - LENGTH_OVERHEAD) as i32).to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[batch::ATTRIBUTES_AT..]), &body);
        head[batch::CRC_AT..batch::CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }
    let header = BatchHeader::read(&head).expect("a whole header");
    Ok(PreparedBatch { header, head, body })
}

fn check_header(batch: &[u8], header: &BatchHeader, rules: &Rules<'_>) -> Result<(), Rejection> {
    if header.base_offset != 0 {
        return Err(invalid(format!(
            "The baseOffset of the record batch in the append to {} should be 0, but it is {}",
            rules.partition, header.base_offset
        )));
    }
    if batch.len() as i64 > i64::from(rules.max_message_bytes) {
        return Err(too_large(batch.len(), rules));
    }
    let computed = crc32c::crc32c(&batch[batch::ATTRIBUTES_AT..]);
    if computed != header.crc {
        return Err(Rejection::Corrupt(format!(
            "Record is corrupt (stored crc = {}, computed crc = {computed}) in topic partition {}.",
            header.crc, rules.partition
        )));
    }
    let count_from_offsets = i64::from(header.last_offset_delta) + 1;
    if count_from_offsets <= 0 {
        return Err(invalid(format!("Batch has an invalid offset range: [0, {}]", header.last_offset_delta)));
    }
    if header.record_count <= 0 {
        return Err(invalid(format!("Invalid reported count for record batch: {}", header.record_count)));
    }
    if count_from_offsets != i64::from(header.record_count) {
        return Err(invalid(format!(
            "Inconsistent batch offset range [0, {}] and count of records {}",
            header.last_offset_delta, header.record_count
        )));
    }
    if header.is_control() {
        return Err(invalid("Clients are not allowed to write control records"));
    }
    if header.has_producer() && header.base_sequence < 0 {
        return Err(invalid(format!(
            "Invalid sequence number {} in record batch with producerId {}",
            header.base_sequence, header.producer_id
        )));
    }
    Ok(())
}

/// Kafka builds a batch anew to store another codec, and its builder throws where an ordinary append is content.
fn check_rebuilt(header: &BatchHeader) -> Result<(), Rejection> {
    const NONE: i16 = -1;
    if header.producer_id == i64::from(NONE) {
        return Ok(());
    }
    if header.producer_epoch == NONE {
        return Err(Rejection::Unreadable("Invalid negative producer epoch".into()));
    }
    if header.base_sequence < 0 {
        return Err(Rejection::Unreadable("Invalid negative sequence number used".into()));
    }
    Ok(())
}

fn open(codec: Codec, body: &[u8]) -> Result<Vec<u8>, Rejection> {
    // Nothing at all is an empty stream to Kafka's zstd decoder, and malformed to its others.
    if body.is_empty() {
        return match codec {
            Codec::Zstd => Ok(Vec::new()),
            _ => Err(Rejection::Unreadable("an empty payload".into())),
        };
    }
    compress::decompress(codec, body, DECOMPRESSED_BYTES_MAX).map_err(|e| match e {
        DecompressError::TooLarge => Rejection::TooLarge(format!(
            "The record batch decompresses to more than {DECOMPRESSED_BYTES_MAX} bytes, the most that is opened"
        )),
        DecompressError::Malformed(why) => Rejection::Unreadable(why),
    })
}

/// Walks all records; answers the largest timestamp among them.
fn check_records(bytes: &[u8], header: &BatchHeader, rules: &Rules<'_>, compressed: bool) -> Result<i64, Rejection> {
    let mut records = Records::new(bytes, header.record_count);
    let mut errors = Errors::default();
    let mut max_timestamp = -1;
    let mut index = 0;
    for record in &mut records {
        let record = record.map_err(malformed)?;
        let timestamp = record_timestamp(header, &record);
        max_timestamp = max_timestamp.max(timestamp);
        if compressed && record.offset_delta != index {
            // Kafka's own check of this throws where nobody expects it.
            return Err(Rejection::Unreadable("offsets inside a compressed batch are not consecutive".into()));
        }
        check_record(index, &record, timestamp, header, rules, &mut errors);
        index += 1;
    }
    if index != header.record_count || !records.rest().is_empty() {
        return Err(invalid("Incorrect declared batch size, records still remaining in file"));
    }
    errors.into_result()?;
    Ok(max_timestamp)
}

fn malformed(error: Malformed) -> Rejection {
    let message = format!("Found invalid record structure: {}", error.0);
    if error == Malformed::ENDLESS_NUMBER { Rejection::Unreadable(message) } else { invalid(message) }
}

/// The timestamp of one record: LogAppendTime batches have one for all.
pub fn record_timestamp(header: &BatchHeader, record: &Record<'_>) -> i64 {
    if header.is_log_append_time() {
        header.max_timestamp
    } else {
        header.base_timestamp.wrapping_add(record.timestamp_delta)
    }
}

#[derive(Default)]
struct Errors {
    records: Vec<RecordError>,
    any_timestamp: bool,
}

impl Errors {
    fn push(&mut self, index: i32, message: String) {
        self.records.push(RecordError { batch_index: index, message: Some(message) });
    }

    /// Kafka's `processRecordErrors`: a bad timestamp names the whole refusal.
    fn into_result(self) -> Result<(), Rejection> {
        if self.records.is_empty() {
            return Ok(());
        }
        if self.any_timestamp {
            let message = "One or more records have been rejected due to invalid timestamp";
            return Err(Rejection::InvalidTimestamp(message.into(), self.records));
        }
        let shown: Vec<String> = self
            .records
            .iter()
            .take(3)
            .map(|e| {
                format!(
                    "RecordError(batchIndex={}, message='{}')",
                    e.batch_index,
                    e.message.as_deref().unwrap_or_default()
                )
            })
            .collect();
        let message = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [{}]",
            self.records.len(),
            shown.join(", ")
        );
        Err(Rejection::InvalidRecord(message, self.records))
    }
}

fn check_record(
    index: i32,
    record: &Record<'_>,
    timestamp: i64,
    header: &BatchHeader,
    rules: &Rules<'_>,
    errors: &mut Errors,
) {
    if rules.compacted && record.key.is_none() {
        let message =
            format!("Compacted topic cannot accept message without key in topic partition {}", rules.partition);
        errors.push(index, message);
        return;
    }
    if rules.timestamp_type == TimestampType::CreateTime && timestamp != -1 {
        if out_of_range(timestamp, rules) {
            errors.any_timestamp = true;
            let (from, to) = timestamp_range(rules);
            let message = format!(
                "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within [{from}, {to}]"
            );
            errors.push(index, message);
        }
    } else if header.is_log_append_time() {
        errors.any_timestamp = true;
        errors.push(index, producer_set_log_append_time(record, header));
    }
}

fn producer_set_log_append_time(record: &Record<'_>, header: &BatchHeader) -> String {
    let bytes = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
    format!(
        "Invalid timestamp type in message DefaultRecord(offset={}, timestamp={}, key={} bytes, value={} bytes). Producer should not set timestamp type to LogAppendTime.",
        header.base_offset + i64::from(record.offset_delta),
        record_timestamp(header, record),
        bytes(record.key),
        bytes(record.value)
    )
}

fn timestamp_range(rules: &Rules<'_>) -> (i64, i64) {
    (
        rules.now_ms.saturating_sub(rules.timestamp_before_max_ms),
        rules.now_ms.saturating_add(rules.timestamp_after_max_ms),
    )
}

fn out_of_range(timestamp: i64, rules: &Rules<'_>) -> bool {
    let (from, to) = timestamp_range(rules);
    timestamp < from || timestamp > to
}

/// Whether the header of a compressed batch shows a record outside the bounds: worth opening it to name the records.
fn header_timestamps_out_of_range(header: &BatchHeader, rules: &Rules<'_>) -> bool {
    rules.timestamp_type == TimestampType::CreateTime
        && [header.base_timestamp, header.max_timestamp].iter().any(|t| *t != -1 && out_of_range(*t, rules))
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::InvalidRecord(message.into(), Vec::new())
}

fn too_large(size: usize, rules: &Rules<'_>) -> Rejection {
    Rejection::TooLarge(format!(
        "The record batch size in the append to {} is {size} bytes which exceeds the maximum configured value of {}.",
        rules.partition, rules.max_message_bytes
    ))
}

#[cfg(test)]
mod tests;
