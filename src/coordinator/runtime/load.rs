//! Loading a shard: its partition of the internal topic, read from the start and replayed.

use std::os::unix::fs::FileExt;

use super::GroupCoordinator;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::shard::{Effects, Shard};
use crate::coordinator::{GroupError, OFFSETS_TOPIC};
use crate::record::compress::{Codec, DECOMPRESSED_BYTES_MAX, decompress};
use crate::record::iter::Records;
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::topic::{Isolation, Topic};

/// Bytes of the internal topic that are read at once.
const LOAD_BYTES: u64 = 1 << 20;

impl GroupCoordinator {
    /// Reads the partition from its start and replays what is there.
    pub(super) fn load(&self, index: usize) -> Result<Shard, GroupError> {
        let topic = self.topics.topic(OFFSETS_TOPIC).ok_or(GroupError::NotCoordinator)?;
        let mut shard = Shard::default();
        self.replay_partition(&topic, index, &mut shard).map_err(|why| {
            tracing::error!(partition = index, why, "a shard of groups could not be loaded");
            GroupError::CoordinatorNotAvailable
        })?;
        let mut effects = Effects::new(self.clock.wall_ms());
        self.within(|env| shard.loaded(env, &mut effects));
        // Leftovers that cannot be deleted now are when it is loaded the next time.
        let _ = self.finish(index, &mut shard, &mut effects);
        Ok(shard)
    }

    fn replay_partition(&self, topic: &Topic, index: usize, shard: &mut Shard) -> Result<(), String> {
        let partition = topic.partition(index as i32).ok_or("no such partition")?;
        let (env, settings) = (self.topics.env(), topic.settings());
        let offsets = partition.offsets(env, &settings.resolved).map_err(|e| e.to_string())?;
        let mut next = offsets.log_start;
        while next < offsets.end {
            let read = partition
                .read(env, &settings.resolved, next, Isolation::ReadUncommitted, LOAD_BYTES, true)
                .map_err(|e| e.to_string())?;
            let Some(region) = read.region else { break };
            let mut bytes = vec![0; region.length];
            region.file.read_exact_at(&mut bytes, region.position).map_err(|e| e.to_string())?;
            let before = next;
            for batch in batches(&bytes) {
                load_batch(batch, shard)?;
                next = BatchHeader::read(batch).map_or(next, |h| h.next_offset().max(next));
            }
            if next == before {
                return Err(format!("no batch at offset {next}"));
            }
        }
        Ok(())
    }
}

/// Whole batches, back to back.
fn batches(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let header = BatchHeader::read(bytes)?;
        if !header.is_plausible() || header.size() > bytes.len() {
            return None;
        }
        let (batch, rest) = bytes.split_at(header.size());
        bytes = rest;
        Some(batch)
    })
}

fn load_batch(batch: &[u8], shard: &mut Shard) -> Result<(), String> {
    let header = BatchHeader::read(batch).ok_or("no batch")?;
    if header.is_control() {
        return Ok(());
    }
    let codec = Codec::from_bits(header.codec_bits()).ok_or("an unknown codec")?;
    let records = decompress(codec, &batch[HEADER_BYTES..], DECOMPRESSED_BYTES_MAX).map_err(|e| format!("{e:?}"))?;
    for record in Records::new(&records, header.record_count) {
        let record = record.map_err(|e| e.0.to_owned())?;
        match record.key.map(|key| GroupRecord::decode(key, record.value)) {
            Some(Ok(Some(loaded))) => shard.load(loaded),
            Some(Err(malformed)) => {
                tracing::warn!(offset = header.base_offset, %malformed, "skipped a record of a group")
            }
            Some(Ok(None)) | None => {}
        }
    }
    Ok(())
}
