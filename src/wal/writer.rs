//! The thread that writes and syncs one group after the other.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::file::{WalFile, encode_record};
use super::{FILE_BYTES, Group, KIND_REFUSED, METADATA_RESERVE_BYTES, Shared, WalError, is_out_of_space};

/// How long a group waits for what belongs to it.
const HELD_MAX: Duration = Duration::from_millis(1);

pub(super) fn run(shared: &Shared) {
    let mut spare_bytes = Vec::new();
    loop {
        let mut group = {
            let mut state = shared.lock();
            while !state.due && !state.closing {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.held > 0 && !state.closing {
                // Groups that overlap without end do not hold it up.
                let waited = shared.work.wait_timeout_while(state, HELD_MAX, |state| state.held > 0 && !state.closing);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.building.bytes.is_empty() {
                state.failed.get_or_insert_with(|| "closed".into());
                return;
            }
            state.due = false;
            let next = Group { bytes: std::mem::take(&mut spare_bytes), ..Group::default() };
            std::mem::replace(&mut state.building, next)
        };
        let result = commit(shared, &mut group);
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

fn commit(shared: &Shared, group: &mut Group) -> Result<(), WalError> {
    let last_lsn = close_gap(shared, group);
    let rolled = begin_file_for(shared, group).inspect_err(|_| shared.low_space.store(true, Ordering::Relaxed))?;
    let writing = {
        let mut state = shared.lock();
        let file = state.files.last_mut().expect("begun");
        let writing = file.reserve(group.bytes.len() as u64, &shared.dir);
        let room = file.room();
        state.written_lsn = last_lsn;
        shared.low_space.store(state.spare.is_none() && room < METADATA_RESERVE_BYTES, Ordering::Relaxed);
        writing
    };
    if rolled {
        shared.observer.rolled();
    }
    let error = |e: std::io::Error| WalError::Failed(e.to_string());
    writing.write(&group.bytes).map_err(error)?;
    writing.sync().map_err(error)?;
    shared.syncs.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Puts a record in the place of each that was refused since the last group was written. Answers the group's last LSN.
fn close_gap(shared: &Shared, group: &mut Group) -> u64 {
    let written_lsn = shared.lock().written_lsn;
    let mut refused = Vec::new();
    for lsn in written_lsn + 1..group.first_lsn {
        encode_record(&mut refused, lsn, KIND_REFUSED, &[]);
    }
    if !refused.is_empty() {
        group.bytes.splice(..0, refused);
        group.first_lsn = written_lsn + 1;
    }
    group.last_lsn
}

/// Begins the next file if the group does not fit into the last one: the spare if it is large enough. Answers whether it
/// did. A full disk fails this group only. No file is made under the lock: whoever appends would wait for it.
fn begin_file_for(shared: &Shared, group: &Group) -> Result<bool, WalError> {
    let needed = WalFile::bytes_for(group.bytes.len() as u64);
    let (too_small, number) = {
        let mut state = shared.lock();
        while state.preparing {
            state = shared.prepared.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.files.last().is_some_and(|f| f.room() >= group.bytes.len() as u64) {
            return Ok(false);
        }
        match state.spare.take() {
            Some(mut spare) if spare.capacity() >= needed => {
                spare.begin(group.first_lsn);
                state.files.push(spare);
                return Ok(true);
            }
            spare => {
                // Numbers have no gaps: a spare that is too small gives its own to the larger file.
                let number = spare.as_ref().map_or(state.next_number, WalFile::number);
                state.next_number = number;
                // Nobody else takes the number meanwhile.
                state.preparing = true;
                (spare, number)
            }
        }
    };
    drop(too_small);
    let error = |e: std::io::Error| {
        if is_out_of_space(&e) { WalError::NoSpace } else { WalError::Failed(e.to_string()) }
    };
    let made = WalFile::create_spare(&shared.dir, number, needed.max(FILE_BYTES));
    let mut state = shared.lock();
    state.preparing = false;
    shared.prepared.notify_all();
    let mut file = made.map_err(error)?;
    file.begin(group.first_lsn);
    state.files.push(file);
    state.next_number = number + 1;
    Ok(true)
}
