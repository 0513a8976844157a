//! Orders, what may be asked of them, and how the exchange answers.

mod codes;
mod status;

pub use codes::RejectCode;
pub use status::Status;

use serde::{Deserialize, Serialize};

use crate::event::Side;
use crate::money::Money;

/// Limit or market; with a [`Trigger`] it is what the order becomes when triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum OrderKind {
    /// At a price or better.
    Limit = 0,
    /// At whatever the book offers.
    Market = 1,
}

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum TimeInForce {
    /// Good till cancelled.
    Gtc = 0,
    /// Immediate or cancel: what cannot be filled at once expires.
    Ioc = 1,
    /// Fill or kill: all at once or nothing.
    Fok = 2,
    /// Good till a date: expires at [`NewOrder::expire_ns`].
    Gtd = 3,
}

impl TimeInForce {
    /// The name that users write and see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::Gtd => "GTD",
        }
    }

    /// The one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Gtc, Self::Ioc, Self::Fok, Self::Gtd]
            .into_iter()
            .find(|tif| tif.name() == name)
    }
}

/// The price that a trigger watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum TriggerBy {
    /// The price of the venue's last trade.
    Last = 0,
    /// The best ask for buys, the best bid for sales.
    BidAsk = 1,
    /// The venue's mark price; the mid of the book where none is published.
    Mark = 2,
}

/// How far a trailing stop follows behind the best price since it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trail {
    /// A distance in ticks.
    Ticks(i64),
    /// A share of the best price, in units of 1e-8; the distance is rounded to the nearest tick.
    Rate(i64),
}

/// When a conditional order becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TriggerKind {
    /// The price runs against the position: buys at or above, sales at or below.
    Stop,
    /// The price runs in favour of the position: buys at or below, sales at or above.
    TakeProfit,
    /// A stop that follows the price; it begins when the price reaches [`Trigger::px_ticks`] in the
    /// sense of a take-profit, or at once where that is 0.
    Trailing(Trail),
}

/// The condition of a conditional order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trigger {
    /// In which direction it waits.
    pub kind: TriggerKind,
    /// Which price it watches.
    pub by: TriggerBy,
    /// The price at which it triggers, in ticks; for a trailing stop the one at which it begins.
    pub px_ticks: i64,
}

/// What an order is to the others of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Role {
    /// One cancels the other: when one is triggered, filled in part or ends, all others are cancelled.
    Oco = 0,
    /// The entry of a bracket.
    Entry = 1,
    /// An exit of a bracket: active for what the entry has filled and no other exit has.
    Exit = 2,
}

/// Membership of an order in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The id of the list's first order.
    pub list: u64,
    /// What the order is in it.
    pub role: Role,
    /// How many orders the list has.
    pub of: u8,
}

/// What a strategy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Only ever make the position smaller.
    pub reduce_only: bool,
    /// Limit price in ticks; 0 for market orders.
    pub px_ticks: i64,
    /// Quantity in lots.
    pub qty_lots: i64,
    /// What it waits for before it acts.
    pub trigger: Option<Trigger>,
    /// Iceberg: the most that is shown in the book at once, in lots.
    pub display_lots: Option<i64>,
    /// Good till date: the venue's clock at which it expires.
    pub expire_ns: Option<i64>,
    /// Its place in a list of orders.
    pub link: Option<Link>,
}

impl NewOrder {
    /// A plain limit order, good till cancelled.
    pub fn limit(instrument: u16, side: Side, px_ticks: i64, qty_lots: i64) -> Self {
        Self {
            instrument,
            side,
            kind: OrderKind::Limit,
            tif: TimeInForce::Gtc,
            post_only: false,
            reduce_only: false,
            px_ticks,
            qty_lots,
            trigger: None,
            display_lots: None,
            expire_ns: None,
            link: None,
        }
    }

    /// A plain market order.
    pub fn market(instrument: u16, side: Side, qty_lots: i64) -> Self {
        Self {
            kind: OrderKind::Market,
            ..Self::limit(instrument, side, 0, qty_lots)
        }
    }

    /// The name of its type that users see.
    pub fn type_name(&self) -> &'static str {
        let is_limit = self.kind == OrderKind::Limit;
        match self.trigger.map(|trigger| trigger.kind) {
            None if is_limit => "limit",
            None => "market",
            Some(TriggerKind::Stop) if is_limit => "stop_limit",
            Some(TriggerKind::Stop) => "stop_market",
            Some(TriggerKind::TakeProfit) if is_limit => "take_profit_limit",
            Some(TriggerKind::TakeProfit) => "take_profit_market",
            Some(TriggerKind::Trailing(_)) => "trailing_stop",
        }
    }

    /// The quantity with the sign of its side: below 0 sells.
    #[inline]
    pub fn signed(&self, lots: i64) -> i64 {
        self.side.signed(lots)
    }
}

/// An order as the strategy knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// 1, 2, 3 … in order of submission within the run.
    pub id: u64,
    /// What was asked for; prices and quantity follow accepted modifications.
    pub request: NewOrder,
    /// Where it is in its life, as far as the strategy has been told.
    pub status: Status,
    /// Why the last request on it was refused, or it ended.
    pub reject: Option<RejectCode>,
    /// Lots filled so far.
    pub filled_lots: i64,
    /// Σ price in ticks × lots over its fills.
    pub filled_px_lots: i128,
    /// Our clock when it was sent.
    pub ts_submit_ns: i64,
    /// Best bid plus best ask of our book then, in ticks; `None` where it had no mid.
    pub arrival_mid_px_x2: Option<i64>,
    /// The venue's clock when it first rested in the book; `None` before.
    pub ts_accept_ns: Option<i64>,
    /// The venue's clock at its last answer; `None` before one.
    pub ts_exchange_ns: Option<i64>,
    /// Our clock when it ended; `None` while it lives.
    pub ts_done_ns: Option<i64>,
}

impl Order {
    /// An order that has just been sent.
    pub fn new(id: u64, request: NewOrder, ts_submit_ns: i64) -> Self {
        Self {
            id,
            request,
            status: Status::Submitted,
            reject: None,
            filled_lots: 0,
            filled_px_lots: 0,
            ts_submit_ns,
            arrival_mid_px_x2: None,
            ts_accept_ns: None,
            ts_exchange_ns: None,
            ts_done_ns: None,
        }
    }

    /// Lots still to be filled.
    pub fn leaves_lots(&self) -> i64 {
        self.request.qty_lots - self.filled_lots
    }

    /// Takes an answer in; `false`, and nothing changed, where it may not follow what was known.
    #[must_use]
    pub fn apply(&mut self, report: &Report) -> bool {
        let Some(status) = self.status.after(&report.answer) else {
            return false;
        };
        self.status = status;
        self.ts_exchange_ns = Some(report.ts_exchange_ns);
        self.reject = None;
        match report.answer {
            Answer::Accepted { px_ticks, qty_lots } => {
                self.ts_accept_ns = self.ts_accept_ns.or(self.ts_exchange_ns);
                (self.request.px_ticks, self.request.qty_lots) = (px_ticks, qty_lots);
            }
            Answer::Waiting {
                trigger_px_ticks,
                px_ticks,
                qty_lots,
            } => {
                (self.request.px_ticks, self.request.qty_lots) = (px_ticks, qty_lots);
                if let Some(trigger) = &mut self.request.trigger {
                    trigger.px_ticks = trigger_px_ticks;
                }
            }
            Answer::Triggered => {}
            Answer::Filled {
                px_ticks,
                qty_lots,
                complete,
                ..
            } => {
                self.filled_lots += qty_lots;
                self.filled_px_lots += i128::from(px_ticks) * i128::from(qty_lots);
                if complete {
                    // The quantity may have changed on the way to this fill.
                    self.request.qty_lots = self.filled_lots;
                }
            }
            Answer::Canceled(code) | Answer::Expired(code) => self.reject = code,
            Answer::Rejected(code) | Answer::RequestRejected(code) => self.reject = Some(code),
        }
        true
    }
}

/// What a modification changes; what is `None` stays as it is at the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// New limit price in ticks.
    pub px_ticks: Option<i64>,
    /// New total quantity in lots, what is filled included.
    pub qty_lots: Option<i64>,
    /// New trigger price in ticks, of an order that has not been triggered.
    pub trigger_px_ticks: Option<i64>,
    /// Cancel and enter anew under the same id, which always loses the place in the queue.
    pub replace: bool,
}

/// A request on its way to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A new order.
    New(NewOrder),
    /// Take the order out of the book.
    Cancel,
    /// Take all orders of the instrument out of the book, whatever their side.
    CancelAll,
    /// Change prices and quantity.
    Modify(Change),
}

/// What the exchange has to say about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The order rests, at this price and total quantity.
    Accepted {
        /// Price in ticks.
        px_ticks: i64,
        /// Total quantity in lots.
        qty_lots: i64,
    },
    /// The order waits for its trigger, or for the entry of its bracket.
    Waiting {
        /// Trigger price in ticks; 0 where there is none.
        trigger_px_ticks: i64,
        /// Limit price in ticks; 0 where it becomes a market order.
        px_ticks: i64,
        /// Total quantity in lots.
        qty_lots: i64,
    },
    /// The trigger was reached: from now on it is a limit or market order.
    Triggered,
    /// A fill.
    Filled {
        /// Side of the order.
        side: Side,
        /// Price in ticks.
        px_ticks: i64,
        /// Lots filled by this execution.
        qty_lots: i64,
        /// Whether the order was resting.
        maker: bool,
        /// Whether the order is now complete.
        complete: bool,
    },
    /// Out of the book: on request where there is no code.
    Canceled(Option<RejectCode>),
    /// Out of the book by its own terms or the venue's rules.
    Expired(Option<RejectCode>),
    /// The order was refused.
    Rejected(RejectCode),
    /// A cancel or modify was refused; the order is as it was.
    RequestRejected(RejectCode),
}

/// An answer with its order and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The order concerned.
    pub order: u64,
    /// The venue's clock.
    pub ts_exchange_ns: i64,
    /// What happened.
    pub answer: Answer,
    /// The venue's fee for a fill; nothing for any other answer.
    pub fee: Money,
}

impl Report {
    /// An answer that costs nothing.
    pub fn new(order: u64, ts_exchange_ns: i64, answer: Answer) -> Self {
        Self {
            order,
            ts_exchange_ns,
            answer,
            fee: Money::ZERO,
        }
    }
}
