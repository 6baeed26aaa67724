//! What the log remembers of producers: sequence numbers for idempotence (KIP-98, Kafka's `ProducerStateManager`), open
//! transactions, and the `.snapshot` files.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use super::cleaner::LastOfProducer;
use super::files;
use super::{AppendError, LogError};
use crate::base::ProducerId;
use crate::record::batch::sequence_plus;
use crate::record::{BatchHeader, Marker, TransactionVersion};

/// Batches of one producer that are remembered: the most that a client has in flight.
const BATCHES_MAX: usize = 5;
/// The epoch of a batch that claims none: any sequence may follow it.
const NO_EPOCH: i16 = -1;

/// Who appends a batch, and so what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client: its sequence, and, of a batch that begins a transaction here, whether the coordinator has said that the
    /// partition belongs to it.
    Client { verified: Option<TransactionVersion> },
    /// A coordinator's own records.
    Coordinator,
    /// The marker of a coordinator that speaks this version.
    Marker(TransactionVersion),
}

impl Origin {
    /// A client whose transaction nobody has asked for.
    pub const CLIENT: Origin = Origin::Client { verified: None };
}

/// A transaction that had records here and has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: i64,
    /// The offset of its marker.
    pub last_offset: i64,
    pub committed: bool,
}

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
    /// An earlier append of the same batch, if it is one of the last.
    fn duplicate(&self, header: &BatchHeader) -> Option<&BatchMetadata> {
        let same = |b: &&BatchMetadata| {
            b.first_sequence() == header.base_sequence && b.last_sequence == header.last_sequence()
        };
        self.batches.iter().find(same).filter(|_| header.producer_epoch == self.epoch)
    }

    fn as_active(&self, producer_id: ProducerId) -> ActiveProducer {
        ActiveProducer {
            producer_id,
            epoch: self.epoch,
            last_sequence: self.batches.back().map_or(-1, |b| b.last_sequence),
            last_timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            open_transaction: self.open_transaction,
        }
    }

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

/// The first batch of a transaction that was refused because its partition was not in the transaction.
#[derive(Clone, Copy, Debug)]
struct Refused {
    epoch: i16,
    /// The lowest sequence that was tried: nothing behind it may come before it.
    sequence: i32,
    /// Of the first attempt: it says what is asked of the batch that begins the transaction after all, as in Kafka.
    version: TransactionVersion,
    at_ms: i64,
}

/// The producers of one partition. Empty maps allocate nothing.
#[derive(Debug, Default)]
pub struct Producers {
    map: HashMap<ProducerId, Producer>,
    /// Open transactions by their first offset.
    open: BTreeMap<i64, ProducerId>,
    refused: HashMap<ProducerId, Refused>,
}

impl Producers {
    /// Whether a batch may be appended at `end`: `Ok(Some)` if it was before.
    pub fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&Marker>,
        origin: Origin,
        end: i64,
        partition: &dyn std::fmt::Display,
    ) -> Result<Option<Duplicate>, AppendError> {
        let producer = self.map.get(&header.producer_id);
        match origin {
            Origin::Client { verified } => {
                if let Some(batch) = producer.and_then(|p| p.duplicate(header)) {
                    let base_offset = batch.last_offset - i64::from(batch.offset_delta);
                    return Ok(Some(Duplicate { base_offset, timestamp: batch.timestamp }));
                }
                let begins = header.is_transactional() && !self.has_open_transaction(header);
                if begins {
                    check_epoch(header, producer, end, partition)?;
                    if verified.is_none() {
                        return Err(AppendError::InvalidTransactionState(
                            "Record was not part of an ongoing transaction".into(),
                        ));
                    }
                }
                check_epoch(header, producer, end, partition)?;
                if begins {
                    self.check_first_sequence(header, producer, verified, end, partition)?;
                }
                check_sequence(header, producer, end, partition)?;
                if !header.is_transactional() && producer.is_some_and(|p| p.open_transaction.is_some()) {
                    return Err(AppendError::InvalidTransactionState(format!(
                        "Expected transactional write from producer {} at offset {end} in partition {partition}",
                        header.producer_id
                    )));
                }
            }
            Origin::Coordinator => check_epoch(header, producer, end, partition)?,
            Origin::Marker(version) => check_marker(header, marker, version, producer, end, partition)?,
        }
        Ok(None)
    }

    /// The first batch of a transaction: nothing may come before one that was refused, and a producer of the second
    /// protocol begins at 0 where it is not known.
    fn check_first_sequence(
        &self,
        header: &BatchHeader,
        producer: Option<&Producer>,
        verified: Option<TransactionVersion>,
        end: i64,
        partition: &dyn std::fmt::Display,
    ) -> Result<(), AppendError> {
        let (id, sequence) = (header.producer_id, header.base_sequence);
        let unknown = producer.is_none_or(|p| p.batches.is_empty());
        let version = self.refused.get(&id).map(|refused| refused.version).or(verified);
        if version == Some(TransactionVersion::V2) && sequence != 0 && unknown {
            return Err(AppendError::OutOfOrderSequence(format!(
                "Invalid sequence number for producer {id} at offset {end} in partition {partition}: {sequence} (incoming seq. number). Expected sequence 0 for transactions v2 idempotent producer with no existing state."
            )));
        }
        match self.refused.get(&id) {
            Some(refused) if header.producer_epoch <= refused.epoch && sequence > refused.sequence => {
                Err(AppendError::OutOfOrderSequence(format!(
                    "Out of order sequence number for producer {id} at offset {end} in partition {partition}: {sequence} (incoming seq. number), {} (earliest seen sequence)",
                    refused.sequence
                )))
            }
            _ => Ok(()),
        }
    }

    /// A client's first batch of a transaction was refused before it came here.
    pub fn refused(&mut self, header: &BatchHeader, version: TransactionVersion, at_ms: i64) {
        let new = Refused { epoch: header.producer_epoch, sequence: header.base_sequence, version, at_ms };
        let known = self.refused.entry(header.producer_id).or_insert(new);
        if new.epoch > known.epoch || (new.epoch == known.epoch && new.sequence < known.sequence) {
            *known = Refused { version: known.version, ..new };
        }
    }

    /// Whether the producer has a transaction open here, in the epoch of this batch.
    pub fn has_open_transaction(&self, header: &BatchHeader) -> bool {
        self.map
            .get(&header.producer_id)
            .is_some_and(|p| p.open_transaction.is_some() && p.epoch == header.producer_epoch)
    }

    /// What is known of one producer.
    pub fn of(&self, producer_id: ProducerId) -> Option<ActiveProducer> {
        self.map.get(&producer_id).map(|p| p.as_active(producer_id))
    }

    /// Enters a batch that is in the log now. A marker ends the producer's transaction.
    pub fn appended(&mut self, header: &BatchHeader, marker: Option<&Marker>) -> Option<CompletedTransaction> {
        if !header.has_producer() {
            return None;
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
        if header.is_transactional() && !self.refused.is_empty() {
            self.refused.remove(&header.producer_id);
        }
        if header.is_control() {
            let marker = marker?;
            producer.coordinator_epoch = marker.coordinator_epoch;
            let first_offset = producer.open_transaction.take()?;
            self.open.remove(&first_offset);
            return Some(CompletedTransaction {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.base_offset,
                committed: marker.committed,
            });
        }
        producer.batches.push_back(BatchMetadata::of(header));
        producer.forget_old();
        if header.is_transactional() && producer.open_transaction.is_none() {
            producer.open_transaction = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
        None
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
        self.open.keys().next().copied()
    }

    /// Forgets producers that wrote nothing for `expiration_ms` and have no transaction open.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.map.retain(|_, p| p.open_transaction.is_some() || now_ms.saturating_sub(p.last_timestamp) < expiration_ms);
        if self.map.is_empty() {
            self.map = HashMap::new();
        }
        self.refused.retain(|_, refused| now_ms.saturating_sub(refused.at_ms) < expiration_ms);
    }

    /// What the log must keep of each producer.
    pub fn last_of_each(&self) -> HashMap<ProducerId, LastOfProducer> {
        let last =
            |p: &Producer| LastOfProducer { epoch: p.epoch, data_offset: p.batches.back().map(|b| b.last_offset) };
        self.map.iter().map(|(id, producer)| (*id, last(producer))).collect()
    }

    pub fn active(&self) -> Vec<ActiveProducer> {
        let mut list: Vec<ActiveProducer> = self.map.iter().map(|(id, p)| p.as_active(*id)).collect();
        list.sort_by_key(|p| p.producer_id);
        list
    }

    /// Writes `<offset>.snapshot`: the state up to, not including, that offset. Older snapshots but one are deleted.
    /// Those at `keep` stay: the transactions of the segment that begins there are found again from it.
    pub fn write_snapshot(&self, dir: &Path, offset: i64, keep: &[i64], sync: bool) -> Result<(), LogError> {
        let path = files::offset_file(dir, offset, "snapshot");
        files::replace(&path, &self.encode(), sync)
            .map_err(LogError::io(format_args!("writing {}", path.display())))?;
        let mut old = snapshots(dir);
        old.retain(|o| *o < offset);
        old.pop();
        for offset in old.into_iter().filter(|offset| !keep.contains(offset)) {
            let _ = std::fs::remove_file(files::offset_file(dir, offset, "snapshot"));
        }
        Ok(())
    }

    /// The newest readable snapshot not beyond `latest`, with its offset; nothing at `start` if there is none. Snapshots
    /// beyond the end, or from before the start, are deleted: what ended in between could not be found.
    pub fn load(dir: &Path, start: i64, latest: i64, end: i64) -> (Producers, i64) {
        for offset in snapshots(dir).into_iter().rev() {
            let path = files::offset_file(dir, offset, "snapshot");
            if offset > end || offset < start {
                let _ = std::fs::remove_file(&path);
            }
            if offset > latest || offset < start {
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
        let (mut map, mut open) = (HashMap::new(), BTreeMap::new());
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
            if let Some(first_offset) = producer.open_transaction {
                open.insert(first_offset, i64_at(0));
            }
            map.insert(i64_at(0), producer);
        }
        Some(Producers { map, open, refused: HashMap::new() })
    }
}

/// A lower epoch than the last one seen: INVALID_PRODUCER_EPOCH.
fn check_epoch(
    header: &BatchHeader,
    producer: Option<&Producer>,
    end: i64,
    partition: &dyn std::fmt::Display,
) -> Result<(), AppendError> {
    match producer {
        Some(producer) if header.producer_epoch < producer.epoch => Err(AppendError::InvalidProducerEpoch(format!(
            "Epoch of producer {} at offset {end} in {partition} is {}, which is smaller than the last seen epoch {}",
            header.producer_id, header.producer_epoch, producer.epoch
        ))),
        _ => Ok(()),
    }
}

fn check_sequence(
    header: &BatchHeader,
    producer: Option<&Producer>,
    end: i64,
    partition: &dyn std::fmt::Display,
) -> Result<(), AppendError> {
    let Some(producer) = producer.filter(|p| p.epoch != NO_EPOCH) else { return Ok(()) };
    let id = header.producer_id;
    if header.producer_epoch > producer.epoch {
        if header.base_sequence != 0 {
            return Err(AppendError::OutOfOrderSequence(format!(
                "Invalid sequence number for new epoch of producer {id} at offset {end} in partition {partition}: {} (request epoch), {} (seq. number), {} (current producer epoch)",
                header.producer_epoch, header.base_sequence, producer.epoch
            )));
        }
        return Ok(());
    }
    let last = producer.batches.back().map_or(-1, |b| b.last_sequence);
    let next = if last == -1 { 0 } else { sequence_plus(last, 1) };
    if header.base_sequence != next {
        return Err(AppendError::OutOfOrderSequence(format!(
            "Out of order sequence number for producer {id} at offset {end} in partition {partition}: {} (incoming seq. number), {last} (current end sequence number)",
            header.base_sequence
        )));
    }
    Ok(())
}

/// A marker ends a transaction in an epoch at least the producer's; with the second protocol above it, unless it is the
/// same marker once more.
fn check_marker(
    header: &BatchHeader,
    marker: Option<&Marker>,
    version: TransactionVersion,
    producer: Option<&Producer>,
    end: i64,
    partition: &dyn std::fmt::Display,
) -> Result<(), AppendError> {
    let Some(producer) = producer else { return Ok(()) };
    let (id, epoch) = (header.producer_id, header.producer_epoch);
    let again = epoch == producer.epoch && producer.open_transaction.is_none();
    let fenced = match version {
        TransactionVersion::V1 => epoch < producer.epoch,
        TransactionVersion::V2 => epoch <= producer.epoch && !again,
    };
    if fenced {
        return Err(AppendError::InvalidProducerEpoch(format!(
            "Epoch of producer {id} at offset {end} in {partition} is {epoch}, the last seen epoch is {}",
            producer.epoch
        )));
    }
    match marker {
        Some(marker) if marker.coordinator_epoch < producer.coordinator_epoch => {
            Err(AppendError::CoordinatorFenced(format!(
                "Invalid coordinator epoch for producerId {id} at offset {end} in partition {partition}: {} (zombie), {} (current)",
                marker.coordinator_epoch, producer.coordinator_epoch
            )))
        }
        _ => Ok(()),
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
