//! One side of a book: sizes by price, the best price at hand.
//!
//! Prices are turned into *keys* so that the best level is the highest key on either side: a bid's
//! key is its price in ticks, an ask's is the bitwise complement of it (see [`Ladder::key`]), which
//! reverses the order and cannot overflow.
//!
//! Levels near the touch lie in a dense window of [`WINDOW`] keys with two levels of bitmaps above
//! it; levels below the window lie in a sorted map.
//!
//! Invariants: every level outside the window is below it; the best level, if there is one, is
//! inside; a stored size is never 0. Setting a level costs O(1) inside the window and O(log n)
//! outside. The window moves when the best leaves it or comes near its lower end, in O(levels held
//! in the window); a feed that keeps moving its best price by half a window pays that each time.

use std::collections::BTreeMap;
use std::fmt;

use crate::event::Side;

/// Keys in the dense window: 1 MiB of sizes, of which the system provides the pages that are used.
pub const WINDOW: usize = 1 << 17;
const WINDOW_KEYS: i64 = 1 << 17;
/// The window is placed so that the best level lies this many keys above its lower end.
const BEST_OFFSET: i64 = WINDOW_KEYS / 8 * 7;
/// Below this distance from the lower end the window is moved.
const LOW_OFFSET: usize = WINDOW / 8;
const WORDS: usize = WINDOW / 64;
const SUMMARY: usize = WORDS / 64;
/// The best key of a side without levels; no level can have it.
const NO_KEY: i64 = i64::MIN;

/// One side of a book.
#[derive(Clone)]
pub struct Ladder {
    base: i64,
    best: i64,
    levels: usize,
    qty: Box<[i64; WINDOW]>,
    words: Box<[u64; WORDS]>,
    summary: [u64; SUMMARY],
    below: BTreeMap<i64, i64>,
}

/// Its levels, by key: where the window lies is no part of what it says.
impl fmt::Debug for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Default for Ladder {
    fn default() -> Self {
        let zeroed = vec![0i64; WINDOW].into_boxed_slice();
        Self {
            base: 0,
            best: NO_KEY,
            levels: 0,
            qty: zeroed.try_into().expect("the length is WINDOW"),
            words: Box::new([0; WORDS]),
            summary: [0; SUMMARY],
            below: BTreeMap::new(),
        }
    }
}

impl Ladder {
    /// The key of a price on a side; its own inverse for a given side.
    #[inline]
    pub fn key(side: Side, px_ticks: i64) -> i64 {
        if matches!(side, Side::Ask) {
            !px_ticks
        } else {
            px_ticks
        }
    }

    /// The best key, if there is a level.
    #[inline]
    pub fn best(&self) -> Option<i64> {
        (self.best != NO_KEY).then_some(self.best)
    }

    /// The best key and its size, if there is a level.
    #[inline]
    pub fn best_level(&self) -> Option<(i64, i64)> {
        self.best().map(|key| (key, self.qty(key)))
    }

    /// How many levels there are.
    pub fn len(&self) -> usize {
        self.levels
    }

    /// Whether there is no level.
    pub fn is_empty(&self) -> bool {
        self.levels == 0
    }

    /// The size at a key, 0 where there is no level.
    pub fn qty(&self, key: i64) -> i64 {
        match self.slot(key) {
            Some(slot) => self.qty[slot],
            None => self.below.get(&key).copied().unwrap_or(0),
        }
    }

    /// Sets the size of a level (0 removes it) and returns the size before. `key` is not `i64::MIN`
    /// and `qty` is not negative: [`crate::book::Book`] refuses such rows.
    #[inline]
    pub fn set(&mut self, key: i64, qty: i64) -> i64 {
        let Some(slot) = self.slot(key) else {
            return self.set_outside(key, qty);
        };
        let old = std::mem::replace(&mut self.qty[slot], qty);
        self.mark(slot, qty != 0);
        self.levels = self.levels + usize::from(qty != 0) - usize::from(old != 0);
        if key >= self.best {
            if qty != 0 {
                self.best = key;
            } else if key == self.best {
                self.find_best_below(slot);
            }
        }
        old
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.take_window(|_, _| ());
        self.below.clear();
        self.best = NO_KEY;
        self.levels = 0;
    }

    /// Levels from the best to the worst, as (key, size).
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let mut next = self.best().and_then(|key| self.slot(key));
        let window = std::iter::from_fn(move || {
            let slot = next?;
            next = if slot == 0 {
                None
            } else {
                self.highest_at_or_below(slot - 1)
            };
            Some((self.base + slot.cast_signed() as i64, self.qty[slot]))
        });
        window.chain(self.below.iter().rev().map(|(&key, &qty)| (key, qty)))
    }

    #[inline]
    fn slot(&self, key: i64) -> Option<usize> {
        // Keys below the window wrap to numbers far above it.
        let offset = key.wrapping_sub(self.base).cast_unsigned();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "checked against WINDOW first"
        )]
        (offset < WINDOW as u64).then_some(offset as usize)
    }

    /// Notes whether there is a level in a slot. Without a branch on that, because it is as good as
    /// random from one row to the next.
    #[inline]
    fn mark(&mut self, slot: usize, is_level: bool) {
        let word = &mut self.words[slot / 64];
        let before = *word;
        *word = before & !(1 << (slot % 64)) | u64::from(is_level) << (slot % 64);
        if (before == 0) != (*word == 0) {
            self.summary[slot / 4096] ^= 1 << (slot / 64 % 64);
        }
    }

    /// The highest occupied slot that is not above `slot`.
    fn highest_at_or_below(&self, slot: usize) -> Option<usize> {
        let up_to = |bit: usize| u64::MAX >> (63 - bit);
        let word = slot / 64;
        let bits = self.words[word] & up_to(slot % 64);
        if bits != 0 {
            return Some(word * 64 + top_bit(bits));
        }
        let word = word.checked_sub(1)?;
        let mut group = word / 64;
        let mut bits = self.summary[group] & up_to(word % 64);
        while bits == 0 {
            group = group.checked_sub(1)?;
            bits = self.summary[group];
        }
        let word = group * 64 + top_bit(bits);
        Some(word * 64 + top_bit(self.words[word]))
    }

    /// The best level was removed from `slot`: looks for the next one.
    fn find_best_below(&mut self, slot: usize) {
        match self.highest_at_or_below(slot) {
            Some(found) => {
                self.best = self.base + found.cast_signed() as i64;
                if found < LOW_OFFSET && !self.below.is_empty() {
                    self.move_window(self.best);
                }
            }
            None => match self.below.last_key_value() {
                Some((&key, _)) => {
                    self.best = key;
                    self.move_window(key);
                }
                None => self.best = NO_KEY,
            },
        }
    }

    /// Sets a level whose key is not in the window.
    #[cold]
    fn set_outside(&mut self, key: i64, qty: i64) -> i64 {
        if qty == 0 {
            let old = self.below.remove(&key);
            self.levels -= usize::from(old.is_some());
            return old.unwrap_or(0);
        }
        if key > self.best {
            // A better price than all the others, or the first: the window goes to it.
            self.move_window(key);
            return self.set(key, qty);
        }
        let old = self.below.insert(key, qty);
        self.levels += usize::from(old.is_none());
        old.unwrap_or(0)
    }

    /// Places the window around a best key that is not below any level.
    fn move_window(&mut self, best: i64) {
        let mut held = Vec::new();
        self.take_window(|key, qty| held.push((key, qty)));
        self.base = best
            .saturating_sub(BEST_OFFSET)
            .min(i64::MAX - (WINDOW_KEYS - 1));
        let inside = self.below.split_off(&self.base);
        for (key, qty) in held.into_iter().chain(inside) {
            if let Some(slot) = self.slot(key) {
                self.qty[slot] = qty;
                self.mark(slot, true);
            } else {
                self.below.insert(key, qty);
            }
        }
    }

    /// Empties the window and tells what was in it; `levels` and `best` stay as they were.
    fn take_window(&mut self, mut tell: impl FnMut(i64, i64)) {
        for group in 0..SUMMARY {
            while self.summary[group] != 0 {
                let word = group * 64 + self.summary[group].trailing_zeros() as usize;
                while self.words[word] != 0 {
                    let slot = word * 64 + self.words[word].trailing_zeros() as usize;
                    tell(
                        self.base + slot.cast_signed() as i64,
                        std::mem::take(&mut self.qty[slot]),
                    );
                    self.words[word] &= self.words[word] - 1;
                }
                self.summary[group] &= self.summary[group] - 1;
            }
        }
    }
}

/// The number of the highest set bit of a word that is not 0.
#[inline]
fn top_bit(bits: u64) -> usize {
    63 - bits.leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => -40i64..40,
            4 => -100_000i64..100_000,
            1 => prop_oneof![Just(i64::MIN + 1), Just(i64::MAX), Just(i64::MAX - 5)],
        ]
    }

    proptest! {
        /// The ladder holds what a sorted map holds, whatever comes.
        #[test]
        fn equals_a_sorted_map(
            steps in prop::collection::vec((keys(), 0i64..4, 0u8..200), 0..400)
        ) {
            let mut ladder = Ladder::default();
            let mut naive = BTreeMap::new();
            for (key, qty, dice) in steps {
                if dice == 0 {
                    ladder.clear();
                    naive.clear();
                }
                let before = if qty == 0 { naive.remove(&key) } else { naive.insert(key, qty) };
                prop_assert_eq!(ladder.set(key, qty), before.unwrap_or(0));
                prop_assert_eq!(ladder.len(), naive.len());
                prop_assert_eq!(ladder.best(), naive.keys().next_back().copied());
                prop_assert_eq!(ladder.best_level(), naive.last_key_value().map(|(k, q)| (*k, *q)));
                prop_assert_eq!(ladder.qty(key), qty);
            }
            let expected: Vec<_> = naive.into_iter().rev().collect();
            prop_assert_eq!(ladder.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_complement_reverses_the_order() {
        assert!(Ladder::key(Side::Ask, 5) > Ladder::key(Side::Ask, 6));
        assert_eq!(Ladder::key(Side::Ask, Ladder::key(Side::Ask, 77)), 77);
        assert_eq!(Ladder::key(Side::Bid, 77), 77);
    }
}
