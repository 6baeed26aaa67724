//! The last offset of each key, in bounded memory (Kafka's `SkimpyOffsetMap`): 16 bytes of a hash and the offset; the
//! keys themselves are not kept.

use std::hash::{BuildHasher, RandomState};

/// Bytes of one entry.
const ENTRY_BYTES: usize = size_of::<Entry>();
/// However small the buffer, so much of a log is cleaned at once.
const SLOTS_MIN: usize = 1024;

#[derive(Clone, Copy)]
struct Entry {
    hash: (u64, u64),
    /// -1: free
    offset: i64,
}

const FREE: Entry = Entry { hash: (0, 0), offset: -1 };

pub struct OffsetMap {
    slots: Vec<Entry>,
    len: usize,
    len_max: usize,
    /// Two seeds: 128 bits, which nobody can aim at.
    seeds: (RandomState, RandomState),
    latest: i64,
}

impl OffsetMap {
    /// Room for `keys`, as far as `bytes_max` goes at this load factor (0 to 1).
    pub fn new(keys: u64, bytes_max: u64, load_factor: f64) -> OffsetMap {
        let load_factor = load_factor.clamp(0.1, 0.95);
        let most = ((bytes_max / ENTRY_BYTES as u64) as usize).max(SLOTS_MIN);
        let slots = ((keys as f64 / load_factor) as usize + 1).clamp(SLOTS_MIN, most);
        OffsetMap {
            slots: vec![FREE; slots],
            len: 0,
            len_max: (slots as f64 * load_factor) as usize,
            seeds: (RandomState::new(), RandomState::new()),
            latest: -1,
        }
    }

    /// Enters a record, which comes after all before it. False, and nothing entered, if the map is full.
    pub fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        if self.slots[at].offset < 0 {
            if self.len >= self.len_max {
                return false;
            }
            self.len += 1;
        }
        self.slots[at] = Entry { hash, offset };
        self.latest = offset;
        true
    }

    /// The offset of the last record with this key.
    pub fn get(&self, key: &[u8]) -> Option<i64> {
        Some(self.slots[self.find(self.hash(key))].offset).filter(|offset| *offset >= 0)
    }

    /// Up to and with this offset the map knows everything; -1 if it knows nothing.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// Nothing that counts lies between the last entry and `offset`.
    pub fn know_up_to(&mut self, offset: i64) {
        self.latest = self.latest.max(offset);
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.seeds.0.hash_one(key), self.seeds.1.hash_one(key))
    }

    /// Where the hash is, or where it would be.
    fn find(&self, hash: (u64, u64)) -> usize {
        let mut at = ((u128::from(hash.0) * self.slots.len() as u128) >> 64) as usize;
        while self.slots[at].offset >= 0 && self.slots[at].hash != hash {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_the_last_offset_of_each_key_and_says_when_it_is_full() {
        let mut map = OffsetMap::new(10, 0, 0.9);
        let room = (SLOTS_MIN as f64 * 0.9) as i64;
        for offset in 0..room {
            assert!(map.put(&offset.to_be_bytes(), offset));
        }
        assert!(map.put(&5i64.to_be_bytes(), room), "a key that is there needs no room");
        assert!(!map.put(b"one more", room + 1));
        assert_eq!(map.latest(), room);
        assert_eq!(map.get(&5i64.to_be_bytes()), Some(room));
        assert!((0..room).filter(|n| *n != 5).all(|n| map.get(&n.to_be_bytes()) == Some(n)));
        assert_eq!(map.get(b"one more"), None);
    }

    #[test]
    fn its_memory_has_the_bound_that_it_was_given() {
        assert_eq!(OffsetMap::new(u64::MAX / 4, 1 << 20, 0.9).slots.len(), (1 << 20) / ENTRY_BYTES);
    }
}
