//! A ring whose latest values are always one contiguous slice.
//!
//! Invariants: the buffer is twice the capacity, allocated once and never moved; value i lies at
//! slot i mod n and again n slots further on, so that the latest k end at either place without a
//! seam. A view of them from outside, such as a numpy array, therefore stays valid memory; what it
//! shows moves on as values are pushed.

/// The latest values of a sequence, up to a capacity.
#[derive(Clone, Debug)]
pub struct MirrorRing<T> {
    slots: Box<[T]>,
    next: usize,
    len: usize,
}

impl<T: Copy + Default> MirrorRing<T> {
    /// An empty ring for `capacity` values, at least one.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            slots: vec![T::default(); 2 * capacity].into_boxed_slice(),
            next: 0,
            len: 0,
        }
    }

    /// How many values it can hold.
    pub fn capacity(&self) -> usize {
        self.slots.len() / 2
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value behind the others; the oldest goes when there is no room.
    #[inline]
    pub fn push(&mut self, value: &T) {
        let capacity = self.capacity();
        self.slots[self.next] = *value;
        self.slots[self.next + capacity] = *value;
        self.next += 1;
        if self.next == capacity {
            self.next = 0;
        }
        self.len = (self.len + 1).min(capacity);
    }

    /// The latest `count` values, or as many as there are, the oldest first.
    #[inline]
    pub fn latest(&self, count: usize) -> &[T] {
        let end = self.next + self.capacity();
        &self.slots[end - count.min(self.len)..end]
    }

    /// Bytes of the buffer.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_the_end_of_everything(capacity in 1usize..20, total in 0u32..100, count in 0usize..30) {
            let mut ring = MirrorRing::new(capacity);
            let address = ring.latest(0).as_ptr();
            for value in 0..total {
                ring.push(&value);
            }
            let all: Vec<u32> = (0..total).collect();
            let held = all.len().min(capacity);
            prop_assert_eq!(ring.len(), held);
            prop_assert_eq!(ring.latest(count), &all[all.len() - count.min(held)..]);
            let offset = ring.latest(0).as_ptr().addr().abs_diff(address.addr());
            prop_assert!(offset <= ring.bytes(), "the buffer stays where it is");
        }
    }
}
