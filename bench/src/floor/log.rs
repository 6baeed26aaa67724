//! A file for each partition, and the place of each batch in it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Buf;

use crate::wire::{BATCH_HEADER_BYTES, BATCH_OVERHEAD_BYTES};

pub struct Log {
    dir: PathBuf,
    partitions_per_topic: usize,
    sync_each: bool,
    topics: Vec<(Vec<u8>, Vec<Partition>)>,
    /// Grows with every append, so that the loop knows when to look at waiting fetches again.
    pub appends: u64,
}

impl Log {
    pub fn new(dir: PathBuf, partitions_per_topic: usize, sync_each: bool) -> Log {
        Log { dir, partitions_per_topic, sync_each, topics: Vec::new(), appends: 0 }
    }

    /// The partitions of a topic, which exists as soon as it is named.
    pub fn topic(&mut self, name: &[u8]) -> &mut Vec<Partition> {
        let known = self.topics.iter().position(|(topic, _)| topic == name).unwrap_or_else(|| {
            self.topics.push((name.to_vec(), (0..self.partitions_per_topic).map(|_| Partition::default()).collect()));
            self.topics.len() - 1
        });
        &mut self.topics[known].1
    }

    pub fn topics(&self) -> impl Iterator<Item = &[u8]> {
        self.topics.iter().map(|(name, _)| name.as_slice())
    }

    /// Checks and appends the batches of `records`; returns the first one's offset.
    pub fn append(&mut self, topic: &[u8], partition: usize, records: &mut [u8]) -> io::Result<i64> {
        self.appends += 1;
        let path = self.dir.join(format!("{}-{partition}", String::from_utf8_lossy(topic)));
        let sync = self.sync_each;
        let partition = &mut self.topic(topic)[partition];
        if partition.file.is_none() {
            partition.file = Some(File::options().create(true).truncate(true).read(true).write(true).open(path)?);
        }
        partition.append(records, sync)
    }
}

#[derive(Default)]
pub struct Partition {
    file: Option<File>,
    pub end_offset: i64,
    bytes: u64,
    /// Base offset and position of every batch.
    batches: Vec<(i64, u64)>,
}

/// A part of a file on its way into a socket.
pub struct Region {
    pub file: RawFd,
    pub position: i64,
    pub left: usize,
}

impl Partition {
    fn append(&mut self, records: &mut [u8], sync: bool) -> io::Result<i64> {
        let base = self.end_offset;
        let mut start = 0;
        while start + BATCH_HEADER_BYTES <= records.len() {
            let length = (&records[start + 8..]).get_i32() as usize + BATCH_OVERHEAD_BYTES;
            let batch = &mut records[start..start + length];
            if crc32c::crc32c(&batch[21..]) != (&batch[17..]).get_u32() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            batch[..8].copy_from_slice(&self.end_offset.to_be_bytes());
            self.batches.push((self.end_offset, self.bytes + start as u64));
            self.end_offset += i64::from((&batch[23..]).get_i32()) + 1;
            start += length;
        }
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.write_all_at(records, self.bytes)?;
        if sync {
            file.sync_data()?;
        }
        self.bytes += records.len() as u64;
        Ok(base)
    }

    /// Whole batches from the one that holds `offset`: as many as fit into `bytes_max`, at least one.
    pub fn region(&self, offset: i64, bytes_max: u64) -> Option<Region> {
        let file = self.file.as_ref().filter(|_| offset < self.end_offset)?.as_raw_fd();
        let first = self.batches.partition_point(|&(base, _)| base <= offset).max(1) - 1;
        let position = self.batches[first].1;
        let mut end = self.bytes;
        if end - position > bytes_max {
            let cut = self.batches.partition_point(|&(_, at)| at <= position + bytes_max) - 1;
            end = self.batches.get(cut.max(first + 1)).map_or(self.bytes, |&(_, at)| at);
        }
        Some(Region { file, position: position as i64, left: (end - position) as usize })
    }
}
