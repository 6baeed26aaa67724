//! The thread that writes and syncs one group after the other.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::file::WalFile;
use super::{FILE_BYTES, Group, METADATA_RESERVE_BYTES, Shared, State, WalError, is_out_of_space};

pub(super) fn run(shared: &Shared) {
    let mut spare_bytes = Vec::new();
    loop {
        let mut group = {
            let mut state = shared.lock();
            while state.building.bytes.is_empty() && !state.closing {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.building.bytes.is_empty() {
                state.failed.get_or_insert_with(|| "closed".into());
                return;
            }
            let next = Group { bytes: std::mem::take(&mut spare_bytes), ..Group::default() };
            std::mem::replace(&mut state.building, next)
        };
        let result = commit(shared, &group);
        if let Err(WalError::Failed(what)) = &result {
            shared.lock().failed = Some(what.clone());
            shared.observer.failed(what);
        }
        for on_commit in group.members.drain(..) {
            on_commit(&result);
        }
        group.outcome.decide(result);
        // The buffer serves the group after next, unless it has grown out of proportion.
        group.bytes.clear();
        if group.bytes.capacity() <= 4 * FILE_BYTES as usize {
            spare_bytes = group.bytes;
        }
    }
}

fn commit(shared: &Shared, group: &Group) -> Result<(), WalError> {
    let mut rolled = false;
    let file = {
        let mut state = shared.lock();
        if state.files.last().is_none_or(|f| f.room() < group.bytes.len() as u64) {
            roll(shared, &mut state, group)?;
            rolled = true;
        }
        let file = state.files.last_mut().expect("rolled");
        let writing = file.reserve(group.bytes.len() as u64);
        let room = file.room();
        shared.low_space.store(state.spare.is_none() && room < METADATA_RESERVE_BYTES, Ordering::Relaxed);
        writing
    };
    if rolled {
        shared.observer.rolled();
    }
    let error = |e: std::io::Error| WalError::Failed(e.to_string());
    file.write(&group.bytes).map_err(error)?;
    file.sync().map_err(error)?;
    shared.syncs.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Begins the next file: the spare one if it is large enough. A full disk fails this group only.
fn roll(shared: &Shared, state: &mut State, group: &Group) -> Result<(), WalError> {
    let error = |e: std::io::Error| {
        if is_out_of_space(&e) { WalError::NoSpace } else { WalError::Failed(e.to_string()) }
    };
    let needed = WalFile::bytes_for(group.bytes.len() as u64);
    let file = match state.spare.take() {
        Some(spare) if spare.capacity() >= needed => spare.begin(&shared.dir, group.first_lsn).map_err(error)?,
        spare => {
            state.spare = spare;
            WalFile::create(&shared.dir, group.first_lsn, needed.max(FILE_BYTES)).map_err(error)?
        }
    };
    state.files.push(file);
    if state.spare.is_none() {
        state.spare = WalFile::create_spare(&shared.dir, FILE_BYTES).ok();
    }
    Ok(())
}
