//! Tables by order id. They are asked for single ids and never listed, so their order cannot be
//! observed, and their hash is a fixed function: equal input, equal work.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Values by order id.
pub type ById<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;
type Ids = HashSet<u64, BuildHasherDefault<IdHasher>>;

/// Spreads ids over all bits. The function is the finalizer of splitmix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014), which maps no two ids to one value.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mut mixed = (self.0 ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }
}

/// The ids added last, up to a bound.
#[derive(Clone, Debug, Default)]
pub struct RecentIds {
    known: Ids,
    in_order: VecDeque<u64>,
}

impl RecentIds {
    /// Whether an id is among them.
    pub fn contains(&self, id: u64) -> bool {
        self.known.contains(&id)
    }

    /// Adds an id; beyond `most` the oldest one goes.
    pub fn insert(&mut self, id: u64, most: usize) {
        if !self.known.insert(id) {
            return;
        }
        self.in_order.push_back(id);
        if self.in_order.len() > most
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
