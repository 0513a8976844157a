//! Orders, what may be asked of them, and how the exchange answers.

use crate::event::Side;

/// Limit or market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrderKind {
    /// At a price or better.
    Limit = 0,
    /// At whatever the book offers.
    Market = 1,
}

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TimeInForce {
    /// Good till cancelled.
    Gtc = 0,
    /// Immediate or cancel.
    Ioc = 1,
}

/// Where an order is in its life.
///
/// ```text
/// Submitted ─► Open ─► Filled | Canceled | Expired (post-only after a modify)
///     └──────────────► Filled | Expired (IOC) | Rejected
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// On its way to the exchange.
    Submitted = 0,
    /// Resting in the exchange's book.
    Open = 1,
    /// Completely filled.
    Filled = 2,
    /// Cancelled on request.
    Canceled = 3,
    /// Ended by its own terms: an IOC that found nothing.
    Expired = 4,
    /// Never accepted; [`Order::reject`] says why.
    Rejected = 5,
}

impl Status {
    /// Whether nothing can happen to the order any more.
    #[inline]
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Submitted | Self::Open)
    }

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Open => "open",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }
}

/// Why a request was refused. The names are the codes that users see; `docs/architecture.md` lists
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RejectCode {
    /// The quantity is below the instrument's minimum.
    QtyTooSmall = 1,
    /// The quantity is above the instrument's maximum.
    QtyTooLarge = 2,
    /// The price is not positive.
    PxNotPositive = 3,
    /// Price × quantity is below the instrument's minimum notional.
    NotionalTooSmall = 4,
    /// The price is not a multiple of the tick.
    PxOffTick = 5,
    /// The quantity is not a multiple of the lot.
    QtyOffLot = 6,
    /// A post-only order would have taken liquidity.
    PostOnlyWouldTake = 7,
    /// A taking order met an empty side of the book.
    NoLiquidity = 8,
    /// The exchange's book is suspect.
    BookSuspect = 9,
    /// The order to cancel or modify is not open at the exchange.
    OrderNotOpen = 10,
    /// The value of the order does not fit the engine's money.
    NotionalTooLarge = 11,
    /// The run has ended.
    RunEnded = 12,
}

impl RejectCode {
    /// The code that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::QtyTooSmall => "QTY_TOO_SMALL",
            Self::QtyTooLarge => "QTY_TOO_LARGE",
            Self::PxNotPositive => "PX_NOT_POSITIVE",
            Self::NotionalTooSmall => "NOTIONAL_TOO_SMALL",
            Self::PxOffTick => "PX_OFF_TICK",
            Self::QtyOffLot => "QTY_OFF_LOT",
            Self::PostOnlyWouldTake => "POST_ONLY_WOULD_TAKE",
            Self::NoLiquidity => "NO_LIQUIDITY",
            Self::BookSuspect => "BOOK_SUSPECT",
            Self::OrderNotOpen => "ORDER_NOT_OPEN",
            Self::NotionalTooLarge => "NOTIONAL_TOO_LARGE",
            Self::RunEnded => "RUN_ENDED",
        }
    }
}

/// What a strategy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// Bid buys, ask sells.
    pub side: Side,
    /// Limit or market.
    pub kind: OrderKind,
    /// How long it lives.
    pub tif: TimeInForce,
    /// Refuse rather than take liquidity.
    pub post_only: bool,
    /// Limit price in ticks; 0 for market orders.
    pub px_ticks: i64,
    /// Quantity in lots.
    pub qty_lots: i64,
}

/// An order as the strategy knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// 1, 2, 3 … in order of submission within the run.
    pub id: u64,
    /// What was asked for; price and quantity follow accepted modifications.
    pub request: NewOrder,
    /// Where it is in its life, as far as the strategy has been told.
    pub status: Status,
    /// Why the last request on it was refused.
    pub reject: Option<RejectCode>,
    /// Lots filled so far.
    pub filled_lots: i64,
    /// Σ price in ticks × lots over its fills.
    pub filled_px_lots: i128,
    /// Our clock when it was sent.
    pub ts_submit_ns: i64,
    /// The venue's clock at its last answer; `None` before one.
    pub ts_exchange_ns: Option<i64>,
    /// Our clock when it ended; `None` while it lives.
    pub ts_done_ns: Option<i64>,
}

impl Order {
    /// Lots still to be filled.
    pub fn leaves_lots(&self) -> i64 {
        self.request.qty_lots - self.filled_lots
    }
}

/// A request on its way to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new order.
    New(NewOrder),
    /// Take the order out of the book.
    Cancel,
    /// Change price and quantity.
    Modify {
        /// New limit price in ticks.
        px_ticks: i64,
        /// New total quantity in lots.
        qty_lots: i64,
    },
}

/// What the exchange has to say about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order rests, at this price and quantity.
    Accepted {
        /// Price in ticks.
        px_ticks: i64,
        /// Total quantity in lots.
        qty_lots: i64,
    },
    /// A fill.
    Filled {
        /// Price in ticks.
        px_ticks: i64,
        /// Lots filled by this execution.
        qty_lots: i64,
        /// Whether the order was resting.
        maker: bool,
        /// Whether the order is now complete.
        complete: bool,
    },
    /// Out of the book on request.
    Canceled,
    /// Out of the book by its own terms.
    Expired(Option<RejectCode>),
    /// The order was refused.
    Rejected(RejectCode),
    /// A cancel or modify was refused; the order is as it was.
    RequestRejected(RejectCode),
}

/// An answer with its order and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The order concerned.
    pub order: u64,
    /// The venue's clock.
    pub ts_exchange_ns: i64,
    /// What happened.
    pub answer: Answer,
}
