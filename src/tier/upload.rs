//! Bringing a sealed segment to the store. It counts as being there once every byte was read back.

use std::path::PathBuf;

use uuid::Uuid;

use super::manifest::Entry;
use super::store::{Store, StoreError};
use crate::log::chunk::SealedSegment;

/// Pieces are this large, but for a batch that is larger.
const CHUNK_BYTES: u32 = 4 << 20;

/// Sends the files of a segment into `folder` and reads them back. What an attempt that fails has sent is deleted again, or
/// swept later.
pub async fn upload(store: &Store, folder: &str, segment: &SealedSegment) -> Result<Entry, StoreError> {
    let mut entry = Entry {
        id: Uuid::new_v4(),
        base_offset: segment.base_offset,
        end: segment.end,
        bytes: segment.bytes,
        newest_ms: segment.newest_ms,
        leader_epoch: segment.epochs.last().map_or(0, |(epoch, _)| *epoch),
        has_aborted: segment.file("txnindex").exists(),
        objects: Vec::new(),
        chunks: segment.chunks(CHUNK_BYTES)?,
    };
    let files = files_of(segment);
    entry.objects = files.iter().map(|(suffix, _)| (*suffix).to_owned()).collect();
    if let Err(error) = send(store, folder, &entry, &files).await {
        for suffix in &entry.objects {
            let _ = store.delete(&format!("{folder}/{}", entry.object(suffix))).await;
        }
        return Err(error);
    }
    Ok(entry)
}

/// The log comes last: where it is, the others are.
fn files_of(segment: &SealedSegment) -> Vec<(&'static str, PathBuf)> {
    let mut files = vec![("index", segment.file("index")), ("timeindex", segment.file("timeindex"))];
    files.push(("txnindex", segment.file("txnindex")));
    files.push(("snapshot", segment.producers()));
    files.retain(|(_, path)| path.exists());
    files.push(("log", segment.file("log")));
    files
}

async fn send(store: &Store, folder: &str, entry: &Entry, files: &[(&'static str, PathBuf)]) -> Result<(), StoreError> {
    let other_bytes = |name: &str| {
        StoreError::File(std::io::Error::other(format!("{name}: the store has other bytes than were sent")))
    };
    for (suffix, path) in files {
        let name = format!("{folder}/{}", entry.object(suffix));
        store.put_file(&name, path).await?;
        if *suffix == "log" {
            if store.size(&name).await? != entry.bytes {
                return Err(other_bytes(&name));
            }
            for chunk in &entry.chunks {
                let bytes = store.get(&name, chunk.position..chunk.position + u64::from(chunk.bytes)).await?;
                if bytes.len() != chunk.bytes as usize || crc32c::crc32c(&bytes) != chunk.crc32c {
                    return Err(other_bytes(&name));
                }
            }
        } else {
            let sent = std::fs::read(path)?;
            let size = store.size(&name).await?;
            let is_same = size == sent.len() as u64 && (size == 0 || store.get(&name, 0..size).await? == sent);
            if !is_same {
                return Err(other_bytes(&name));
            }
        }
    }
    Ok(())
}
