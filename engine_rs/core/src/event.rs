//! The event record: one row of market data.
//!
//! Invariants: the layout is fixed (`repr(C)`, 56 bytes, no hidden padding) and equals
//! `engine.EVENT_DTYPE`; rows of one venue message are adjacent, the first carries
//! [`flags::FIRST`], the last [`flags::LAST`]; quantities are absolute level sizes, 0 removes.

/// A time that is not known (a venue that sends none).
pub const TS_NONE: i64 = i64::MIN;
/// A sequence number that is not known (a venue without a chain).
pub const SEQ_NONE: u64 = u64::MAX;
/// A price that is not known (the mark of a funding that the venue sent without one).
pub const PX_NONE: i64 = i64::MIN;

/// What a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A level of the book has a new size.
    Delta = 1,
    /// A level of a whole book; the first row of the group empties the book before it.
    Snapshot = 2,
    /// A trade on the book.
    Trade = 3,
    /// A trade that never happened on the book (insurance fund, auto-deleveraging).
    OffBookTrade = 4,
    /// The venue's own best bid (side bid) or best ask (side ask); two rows a message.
    Quote = 5,
    /// The venue's mark price. Marks are averages, finer than a tick: `px_ticks` counts 1e-8 of the
    /// quote asset.
    Mark = 6,
    /// A funding: `qty_lots` counts 1e-8 of its rate, `px_ticks` 1e-8 of the quote asset of its mark
    /// price ([`PX_NONE`]: the newest mark at that time).
    Funding = 7,
    /// An empty order-by-order book begins. In this row and those below `seq` is the order's id.
    OrderClear = 11,
    /// A new order.
    OrderAdd = 12,
    /// What is left of an order (a smaller size at its price: it was executed), or its new price.
    OrderChange = 13,
    /// The end of an order; its size is what was left, 0 of one that was executed whole.
    OrderDelete = 14,
    /// The size at a price that belongs to orders without a known id.
    OrderUnnamed = 15,
    /// An order that crossed the book rests if it crosses no more.
    OrderRest = 16,
    /// An order that crossed the book rests, and what it crosses goes.
    OrderRestOver = 17,
    /// An order as its owner changed it: nothing was executed.
    OrderAmend = 18,
}

impl EventKind {
    /// The kind with this code, if there is one.
    pub fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Delta,
            2 => Self::Snapshot,
            3 => Self::Trade,
            4 => Self::OffBookTrade,
            5 => Self::Quote,
            6 => Self::Mark,
            7 => Self::Funding,
            11 => Self::OrderClear,
            12 => Self::OrderAdd,
            13 => Self::OrderChange,
            14 => Self::OrderDelete,
            15 => Self::OrderUnnamed,
            16 => Self::OrderRest,
            17 => Self::OrderRestOver,
            18 => Self::OrderAmend,
            _ => return None,
        })
    }
}

/// Side of a level or an order, or of a trade's aggressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Side {
    /// No side: a message that changes no level and only carries its sequence number.
    None = 0,
    /// Bid; a buying aggressor.
    Bid = 1,
    /// Ask; a selling aggressor.
    Ask = 2,
}

impl Side {
    /// The side with this code, if there is one.
    pub fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Bid,
            2 => Self::Ask,
            _ => return None,
        })
    }

    /// A quantity with the sign of the side of an order: below 0 sells.
    #[inline]
    pub fn signed(self, lots: i64) -> i64 {
        if self == Self::Bid { lots } else { -lots }
    }
}

/// Bits of [`Event::flags`].
pub mod flags {
    /// First row of a venue message.
    pub const FIRST: u16 = 1;
    /// Last row of a venue message: only now may anybody look at the book.
    pub const LAST: u16 = 2;
    /// `ts_recv_ns` was raised to the arrival of the snapshot that the row had to wait for.
    pub const RECV_RAISED: u16 = 4;
}

/// One row of market data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// The venue's clock, ns since the Unix epoch; [`TS_NONE`] where the venue sends none.
    pub ts_event_ns: i64,
    /// Our clock at receipt (after offset correction), ns since the Unix epoch.
    pub ts_recv_ns: i64,
    /// Price in ticks of the instrument; of marks and fundings in 1e-8 of the quote asset.
    pub px_ticks: i64,
    /// Quantity in lots of the instrument; of fundings the rate in 1e-8.
    pub qty_lots: i64,
    /// Depth and quotes: the book's update id after this message. Trades: the trade id. Single
    /// orders: the order's id.
    pub seq: u64,
    /// Deltas: the update id that this message continues from; else [`SEQ_NONE`].
    pub prev_seq: u64,
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// [`EventKind`] as a number.
    pub kind: u8,
    /// [`Side`] as a number.
    pub side: u8,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Always 0.
    pub reserved: u16,
}

const _: () = assert!(size_of::<Event>() == 56 && align_of::<Event>() == 8);

impl Event {
    /// Whether this row opens a venue message.
    #[inline]
    pub fn is_first(&self) -> bool {
        self.flags & flags::FIRST != 0
    }

    /// The venue's clock, or ours where the venue sends no time.
    #[inline]
    pub fn venue_time_ns(&self) -> i64 {
        if self.ts_event_ns == TS_NONE {
            self.ts_recv_ns
        } else {
            self.ts_event_ns
        }
    }

    /// Whether this row ends a venue message.
    #[inline]
    pub fn is_last(&self) -> bool {
        self.flags & flags::LAST != 0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Event, EventKind, SEQ_NONE, Side, flags};

    /// A message of one row at time 0; a delta continues from the id before its own.
    pub(crate) fn row(kind: EventKind, side: Side, px: i64, qty: i64, seq: u64) -> Event {
        Event {
            px_ticks: px,
            qty_lots: qty,
            seq,
            prev_seq: if kind == EventKind::Delta {
                seq - 1
            } else {
                SEQ_NONE
            },
            kind: kind as u8,
            side: side as u8,
            flags: flags::FIRST | flags::LAST,
            ..Event::default()
        }
    }
}
