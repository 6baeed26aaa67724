//! Reading a partition of an internal topic from its start.

use std::os::unix::fs::FileExt;

use super::InternalTopic;
use crate::record::compress::{Codec, DECOMPRESSED_BYTES_MAX, decompress};
use crate::record::iter::Records;
use crate::record::{BatchHeader, HEADER_BYTES, Marker};
use crate::topic::Isolation;

/// Bytes of the internal topic that are read at once.
const LOAD_BYTES: u64 = 1 << 20;

/// What is found in a partition, in order.
pub enum Loaded<'a> {
    Record { batch: &'a BatchHeader, offset: i64, key: &'a [u8], value: Option<&'a [u8]> },
    Marker { batch: &'a BatchHeader, marker: Marker },
}

impl<S> InternalTopic<S> {
    /// Hands everything in the partition to `each`, from the start.
    pub fn read(&self, index: usize, mut each: impl FnMut(Loaded<'_>)) -> Result<(), String> {
        let topic = self.topics.topic(self.name).ok_or("the topic is gone")?;
        let partition = topic.partition(index as i32).ok_or("no such partition")?;
        let (env, settings) = (self.topics.env(), topic.settings());
        let offsets = partition.offsets(env, &settings.resolved).map_err(|e| e.to_string())?;
        let mut next = offsets.log_start;
        while next < offsets.end {
            let read = partition
                .read(env, &settings.resolved, next, Isolation::ToTheEnd, LOAD_BYTES, true)
                .map_err(|e| e.to_string())?;
            let region = read.region.ok_or_else(|| format!("nothing at offset {next}"))?;
            let mut bytes = vec![0; region.length];
            region.file.read_exact_at(&mut bytes, region.position).map_err(|e| e.to_string())?;
            let before = next;
            for batch in batches(&bytes) {
                load_batch(batch, &mut each)?;
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

fn load_batch(bytes: &[u8], each: &mut impl FnMut(Loaded<'_>)) -> Result<(), String> {
    let header = BatchHeader::read(bytes).ok_or("no batch")?;
    let batch = &header;
    if header.is_control() {
        if let Some(marker) = Marker::read_batch(bytes) {
            each(Loaded::Marker { batch, marker });
        }
        return Ok(());
    }
    let codec = Codec::from_bits(header.codec_bits()).ok_or("an unknown codec")?;
    let records = decompress(codec, &bytes[HEADER_BYTES..], DECOMPRESSED_BYTES_MAX).map_err(|e| format!("{e:?}"))?;
    for record in Records::new(&records, header.record_count) {
        let record = record.map_err(|e| e.0.to_owned())?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        if let Some(key) = record.key {
            each(Loaded::Record { batch, offset, key, value: record.value });
        }
    }
    Ok(())
}
