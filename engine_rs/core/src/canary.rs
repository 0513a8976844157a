//! Bugs that can be planted, to see that the simulation tests find them. Without the feature
//! `canaries` there are none, and asking costs nothing.

/// A bug of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Canary {
    /// The strategy never hears of some fills.
    LostFill = 1,
    /// The strategy hears of some fills twice.
    DoubleFill,
    /// A book that missed a message goes on as if nothing were.
    StaleBookTrusted,
    /// Limits are looked at when the order has left.
    LimitAfterSending,
    /// An order is in the journal when it has left.
    RecordAfterSending,
    /// What is done to several orders at once is done in an order that each process has of its own.
    IterationOrder,
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::LostFill,
        Self::DoubleFill,
        Self::StaleBookTrusted,
        Self::LimitAfterSending,
        Self::RecordAfterSending,
        Self::IterationOrder,
    ];
}

#[cfg(feature = "canaries")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug, or takes it out again.
#[cfg(feature = "canaries")]
pub fn plant(bug: Option<Canary>) {
    let number = bug.map_or(0, |bug| bug as u8);
    PLANTED.store(number, std::sync::atomic::Ordering::Relaxed);
}

/// Whether a bug is there.
#[inline]
pub(crate) fn is(bug: Canary) -> bool {
    #[cfg(feature = "canaries")]
    return PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8;
    #[cfg(not(feature = "canaries"))]
    {
        let _ = bug;
        false
    }
}

/// Puts things into an order that no two calls share.
pub(crate) fn shuffle<T>(things: &mut [T]) {
    use std::hash::{BuildHasher, RandomState};
    if is(Canary::IterationOrder) {
        let state = RandomState::new();
        let mut at = 0_usize;
        while at + 1 < things.len() {
            if state.hash_one(at).is_multiple_of(2) {
                things.swap(at, at + 1);
            }
            at += 1;
        }
    }
}
