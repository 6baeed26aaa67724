//! Control records of transactions: the marker that ends one in a partition (Kafka's `EndTransactionMarker`).

use super::HEADER_BYTES;
use super::build::{BatchFields, NewRecord, build};
use super::iter::Records;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// The two protocols of transactions, by what they may do to a producer's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionVersion {
    /// The epoch stays over the producer's transactions.
    V1,
    /// KIP-890: each end of a transaction has an epoch of its own.
    V2,
}

/// How a transaction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub committed: bool,
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The control batch that carries it.
    pub fn batch(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        timestamp: i64,
        log_append_time: bool,
    ) -> std::io::Result<Vec<u8>> {
        let mut key = [0; 4];
        key[2..].copy_from_slice(&(if self.committed { COMMIT } else { ABORT }).to_be_bytes());
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let fields = BatchFields {
            transactional: true,
            control: true,
            log_append_time,
            producer_id,
            producer_epoch,
            ..BatchFields::default()
        };
        let record = NewRecord {
            key: Some(key.to_vec().into()),
            value: Some(value.to_vec().into()),
            headers: Vec::new(),
            timestamp,
        };
        build(&fields, &[record])
    }

    /// The marker in the records of a control batch; `None` for any other control record.
    pub fn read(records: &[u8]) -> Option<Marker> {
        let record = Records::new(records, 1).next()?.ok()?;
        let (version, kind) = record.key?.split_first_chunk::<2>()?;
        let committed = match i16::from_be_bytes(kind.get(..2)?.try_into().ok()?) {
            _ if i16::from_be_bytes(*version) < 0 => return None,
            ABORT => false,
            COMMIT => true,
            _ => return None,
        };
        let epoch = record.value?.get(2..6)?.try_into().ok()?;
        Some(Marker { committed, coordinator_epoch: i32::from_be_bytes(epoch) })
    }

    /// The marker of a whole batch.
    pub fn read_batch(batch: &[u8]) -> Option<Marker> {
        Marker::read(batch.get(HEADER_BYTES..)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchHeader;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for committed in [true, false] {
            let marker = Marker { committed, coordinator_epoch: 7 };
            let batch = marker.batch(5, 3, 1_000, false).expect("built");
            let header = BatchHeader::read(&batch).expect("a header");
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (5, 3, -1));
            assert_eq!(Marker::read_batch(&batch), Some(marker));
        }
        assert_eq!(Marker::read(&[]), None);
    }
}
