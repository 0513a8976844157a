//! What can be wrong with messages of single orders, and how often things happened.

/// What was wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An id that is in the book was added again: taken as a change.
    AddedTwice,
    /// An id that was deleted already was added: left out.
    AddedAfterDelete,
    /// A change of an order that the book does not know: added at the front of its queue.
    ChangedUnknown,
    /// A change of an order that was deleted already: left out.
    ChangedAfterDelete,
    /// A deletion of an order that the book does not know.
    DeletedUnknown,
    /// A deletion of an order that was deleted already.
    DeletedTwice,
    /// A size of 0 or less, no side or a price out of all range: left out.
    Impossible,
}

impl Fault {
    /// All faults, in the order of [`Counts::faults`].
    pub const ALL: [Self; 7] = [
        Self::AddedTwice,
        Self::AddedAfterDelete,
        Self::ChangedUnknown,
        Self::ChangedAfterDelete,
        Self::DeletedUnknown,
        Self::DeletedTwice,
        Self::Impossible,
    ];

    /// A short name, as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddedTwice => "added_twice",
            Self::AddedAfterDelete => "added_after_delete",
            Self::ChangedUnknown => "changed_unknown",
            Self::ChangedAfterDelete => "changed_after_delete",
            Self::DeletedUnknown => "deleted_unknown",
            Self::DeletedTwice => "deleted_twice",
            Self::Impossible => "impossible",
        }
    }
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders added.
    pub added: u64,
    /// Changes applied.
    pub changed: u64,
    /// Orders deleted.
    pub deleted: u64,
    /// Orders that crossed the book when they arrived or moved.
    pub crossing: u64,
    /// Resting orders removed by [`super::OrderBook::rest_over`].
    pub evicted: u64,
    /// Faults, by their place in [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
}
