//! What the log remembers of producers: sequence numbers for idempotence (KIP-98, Kafka's `ProducerStateManager`), open
//! transactions, and the `.snapshot` files.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use super::files;
use super::{AppendError, LogError};
use crate::base::ProducerId;
use crate::record::BatchHeader;
use crate::record::batch::sequence_plus;

/// Batches of one producer that are remembered: the most that a client has in flight.
const BATCHES_MAX: usize = 5;
/// The epoch of a batch that claims none: any sequence may follow it.
const NO_EPOCH: i16 = -1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchMetadata {
    last_sequence: i32,
    last_offset: i64,
    offset_delta: i32,
    timestamp: i64,
}

impl BatchMetadata {
    fn of(header: &BatchHeader) -> BatchMetadata {
        BatchMetadata {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    fn first_sequence(&self) -> i32 {
        sequence_plus(self.last_sequence, -self.offset_delta)
    }
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    coordinator_epoch: i32,
    last_timestamp: i64,
    /// First offset of the transaction that is open here. Set by a transactional batch, cleared by its marker.
    open_transaction: Option<i64>,
    batches: VecDeque<BatchMetadata>,
}

impl Producer {
    fn forget_old(&mut self) {
        if self.batches.len() > BATCHES_MAX {
            self.batches.pop_front();
        }
    }
}

/// One row of DescribeProducers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: ProducerId,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    pub open_transaction: Option<i64>,
}

/// An earlier append of the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    pub base_offset: i64,
    pub timestamp: i64,
}

/// The producers of one partition. An empty map allocates nothing.
#[derive(Debug, Default)]
pub struct Producers {
    map: HashMap<ProducerId, Producer>,
}

impl Producers {
    /// Whether a batch may be appended at `end`: `Ok(Some)` if it was before.
    pub fn check(
        &self,
        header: &BatchHeader,
        end: i64,
        partition: &dyn std::fmt::Display,
    ) -> Result<Option<Duplicate>, AppendError> {
        let Some(producer) = self.map.get(&header.producer_id) else { return Ok(None) };
        let id = header.producer_id;
        if header.producer_epoch == producer.epoch
            && let Some(batch) = producer
                .batches
                .iter()
                .find(|b| b.first_sequence() == header.base_sequence && b.last_sequence == header.last_sequence())
        {
            let base_offset = batch.last_offset - i64::from(batch.offset_delta);
            return Ok(Some(Duplicate { base_offset, timestamp: batch.timestamp }));
        }
        if header.producer_epoch < producer.epoch {
            return Err(AppendError::InvalidProducerEpoch(format!(
                "Epoch of producer {id} at offset {end} in {partition} is {}, which is smaller than the last seen epoch {}",
                header.producer_epoch, producer.epoch
            )));
        }
        if producer.epoch == NO_EPOCH {
            return Ok(None);
        }
        if header.producer_epoch > producer.epoch {
            if header.base_sequence != 0 {
                return Err(AppendError::OutOfOrderSequence(format!(
                    "Invalid sequence number for new epoch of producer {id} at offset {end} in partition {partition}: {} (request epoch), {} (seq. number), {} (current producer epoch)",
                    header.producer_epoch, header.base_sequence, producer.epoch
                )));
            }
            return Ok(None);
        }
        let last = producer.batches.back().map_or(-1, |b| b.last_sequence);
        let next = if last == -1 { 0 } else { sequence_plus(last, 1) };
        if header.base_sequence != next {
            return Err(AppendError::OutOfOrderSequence(format!(
                "Out of order sequence number for producer {id} at offset {end} in partition {partition}: {} (incoming seq. number), {last} (current end sequence number)",
                header.base_sequence
            )));
        }
        Ok(None)
    }

    /// Enters a batch that is in the log now. Control batches end the producer's transaction.
    pub fn appended(&mut self, header: &BatchHeader) {
        if !header.has_producer() {
            return;
        }
        let producer = self.map.entry(header.producer_id).or_insert_with(|| Producer {
            epoch: header.producer_epoch,
            coordinator_epoch: -1,
            last_timestamp: -1,
            open_transaction: None,
            batches: VecDeque::new(),
        });
        producer.last_timestamp = header.max_timestamp;
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        if header.is_control() {
            producer.open_transaction = None;
            return;
        }
        producer.batches.push_back(BatchMetadata::of(header));
        producer.forget_old();
        if header.is_transactional() && producer.open_transaction.is_none() {
            producer.open_transaction = Some(header.base_offset);
        }
    }

    /// Enters a batch from before the snapshot that this was loaded from, which has each producer's last batch only: the
    /// others may still be sent again. In the order of the log.
    pub fn remembered(&mut self, header: &BatchHeader) {
        let Some(producer) = self.map.get_mut(&header.producer_id) else { return };
        let Some(last) = producer.batches.back() else { return };
        if header.is_control() || header.producer_epoch != producer.epoch || header.last_offset() >= last.last_offset {
            return;
        }
        producer.batches.insert(producer.batches.len() - 1, BatchMetadata::of(header));
        producer.forget_old();
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub fn first_open_transaction(&self) -> Option<i64> {
        self.map.values().filter_map(|p| p.open_transaction).min()
    }

    /// Forgets producers that wrote nothing for `expiration_ms` and have no transaction open.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.map.retain(|_, p| p.open_transaction.is_some() || now_ms.saturating_sub(p.last_timestamp) < expiration_ms);
        if self.map.is_empty() {
            self.map = HashMap::new();
        }
    }

    pub fn active(&self) -> Vec<ActiveProducer> {
        let mut list: Vec<ActiveProducer> = self
            .map
            .iter()
            .map(|(id, p)| ActiveProducer {
                producer_id: *id,
                epoch: p.epoch,
                last_sequence: p.batches.back().map_or(-1, |b| b.last_sequence),
                last_timestamp: p.last_timestamp,
                coordinator_epoch: p.coordinator_epoch,
                open_transaction: p.open_transaction,
            })
            .collect();
        list.sort_by_key(|p| p.producer_id);
        list
    }

    /// Writes `<offset>.snapshot`: the state up to, not including, that offset. Older snapshots but one are deleted.
    pub fn write_snapshot(&self, dir: &Path, offset: i64, sync: bool) -> Result<(), LogError> {
        let path = files::offset_file(dir, offset, "snapshot");
        files::replace(&path, &self.encode(), sync)
            .map_err(LogError::io(format_args!("writing {}", path.display())))?;
        let mut old = snapshots(dir);
        old.retain(|o| *o < offset);
        old.pop();
        for offset in old {
            let _ = std::fs::remove_file(files::offset_file(dir, offset, "snapshot"));
        }
        Ok(())
    }

    /// The newest readable snapshot not beyond `end`, with its offset; nothing at `start` if there is none. Snapshots
    /// beyond the end are deleted.
    pub fn load(dir: &Path, start: i64, end: i64) -> (Producers, i64) {
        for offset in snapshots(dir).into_iter().rev() {
            let path = files::offset_file(dir, offset, "snapshot");
            if offset > end {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            match std::fs::read(&path).ok().and_then(|bytes| Producers::decode(&bytes)) {
                Some(producers) => return (producers, offset),
                None => tracing::warn!(path = %path.display(), "a producer snapshot is unreadable: using an older one"),
            }
        }
        (Producers::default(), start)
    }

    fn encode(&self) -> Vec<u8> {
        let rows: Vec<_> = self.map.iter().collect();
        let mut out = vec![0u8; 6];
        out[..2].copy_from_slice(&1i16.to_be_bytes());
        out.extend_from_slice(&(rows.len() as i32).to_be_bytes());
        for (id, p) in rows {
            let last = p.batches.back();
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&p.epoch.to_be_bytes());
            out.extend_from_slice(&last.map_or(-1, |b| b.last_sequence).to_be_bytes());
            out.extend_from_slice(&last.map_or(-1, |b| b.last_offset).to_be_bytes());
            out.extend_from_slice(&last.map_or(0, |b| b.offset_delta).to_be_bytes());
            out.extend_from_slice(&p.last_timestamp.to_be_bytes());
            out.extend_from_slice(&p.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&p.open_transaction.unwrap_or(-1).to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[6..]);
        out[2..6].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Producers> {
        const ROW_BYTES: usize = 46;
        let (head, body) = bytes.split_at_checked(6)?;
        if head[..2] != 1i16.to_be_bytes() || crc32c::crc32c(body).to_be_bytes() != head[2..6] {
            return None;
        }
        let (count, rows) = body.split_at_checked(4)?;
        let count = i32::from_be_bytes(count.try_into().ok()?);
        if rows.len() != usize::try_from(count).ok()?.checked_mul(ROW_BYTES)? {
            return None;
        }
        let mut map = HashMap::new();
        for row in rows.chunks_exact(ROW_BYTES) {
            let i64_at = |at: usize| i64::from_be_bytes(row[at..at + 8].try_into().expect("eight bytes"));
            let i32_at = |at: usize| i32::from_be_bytes(row[at..at + 4].try_into().expect("four bytes"));
            let last = BatchMetadata {
                last_sequence: i32_at(10),
                last_offset: i64_at(14),
                offset_delta: i32_at(22),
                timestamp: i64_at(26),
            };
            let producer = Producer {
                epoch: i16::from_be_bytes([row[8], row[9]]),
                coordinator_epoch: i32_at(34),
                last_timestamp: i64_at(26),
                open_transaction: Some(i64_at(38)).filter(|o| *o >= 0),
                batches: if last.last_sequence < 0 { VecDeque::new() } else { VecDeque::from([last]) },
            };
            map.insert(i64_at(0), producer);
        }
        Some(Producers { map })
    }
}

fn snapshots(dir: &Path) -> Vec<i64> {
    let mut offsets: Vec<i64> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| files::offset_in_name(e.file_name().to_str()?, "snapshot"))
        .collect();
    offsets.sort_unstable();
    offsets
}
