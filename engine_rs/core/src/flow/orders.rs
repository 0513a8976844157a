//! Aggressors' orders, put together again from their trades.
//!
//! A venue reports an order that takes several resting ones as several trades. Consecutive trades
//! of one aggressor side with one venue time, consecutive ids and prices that move in the
//! aggressor's direction or stay are taken for one order; it is a sweep when it traded at more than
//! one price. Where a venue gives no ids, trades that follow one another count as consecutive;
//! where it gives no time, ours is taken. A trade without a side is an order of its own.
//!
//! An order is emitted when it is over: with the first trade that does not continue it, or when
//! nothing was received of it for [`ORDER_OVER_NS`] on our clock, whichever is first. A trade
//! received later than that is another order, however often anybody looked at the clock between.
//!
//! Known limit: two orders of one side in one instant of the venue's clock that follow one another
//! in the aggressor's direction look like one.

use crate::event::{Event, SEQ_NONE, Side};

/// An order is over when no trade of it was received for so long. In recordings of five Binance
/// streams the trades of one order lie at most 35 ms apart.
pub const ORDER_OVER_NS: i64 = 100_000_000;

/// What one aggressor's order traded at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggressorOrder {
    /// The aggressor's side.
    pub side: Side,
    /// The venue's clock, of all trades; ours where the venue sends no time.
    pub ts_event_ns: i64,
    /// Our clock, of the last trade.
    pub ts_recv_ns: i64,
    /// Price of the first trade in ticks.
    pub px_first_ticks: i64,
    /// Price of the last trade in ticks: the farthest from the first.
    pub px_last_ticks: i64,
    /// Lots traded.
    pub lots: i128,
    /// Sum of price in ticks × lots; stays at the end of 128 bits where it would leave them.
    pub value_px_lots: i128,
    /// Number of trades.
    pub trades: u32,
    /// Number of different prices.
    pub levels: u32,
}

impl AggressorOrder {
    /// Whether it traded at more than one price.
    pub fn is_sweep(&self) -> bool {
        self.levels >= 2
    }

    /// Whether a trade with the next id belongs to this order.
    #[inline]
    fn continues_with(&self, trade: &Event) -> bool {
        let is_onward = match self.side {
            Side::Bid => trade.px_ticks >= self.px_last_ticks,
            Side::Ask => trade.px_ticks <= self.px_last_ticks,
            Side::None => false,
        };
        is_onward && trade.side == self.side as u8 && trade.venue_time_ns() == self.ts_event_ns
    }
}

/// Puts the aggressors' orders of one instrument together.
#[derive(Clone, Debug)]
pub struct AggressorOrders {
    now_ns: i64,
    open: Option<AggressorOrder>,
    last_seq: u64,
    over_ns: i64,
}

impl Default for AggressorOrders {
    fn default() -> Self {
        Self {
            now_ns: i64::MIN,
            open: None,
            last_seq: SEQ_NONE,
            over_ns: i64::MAX,
        }
    }
}

impl AggressorOrders {
    /// Takes in a trade on the book as it is received; the order before it, if it is over now.
    #[inline]
    pub fn trade(&mut self, trade: &Event) -> Option<AggressorOrder> {
        self.now_ns = self.now_ns.max(trade.ts_recv_ns);
        let is_over = self.now_ns >= self.over_ns;
        let over_ns = self.now_ns.saturating_add(ORDER_OVER_NS);
        let last_seq = std::mem::replace(&mut self.last_seq, trade.seq);
        self.over_ns = over_ns;
        let lots = i128::from(trade.qty_lots);
        let value = i128::from(trade.px_ticks) * lots;
        if let Some(open) = &mut self.open
            && !is_over
            && is_next(last_seq, trade.seq)
            && open.continues_with(trade)
        {
            open.levels =
                (open.levels).saturating_add(u32::from(trade.px_ticks != open.px_last_ticks));
            open.px_last_ticks = trade.px_ticks;
            open.ts_recv_ns = trade.ts_recv_ns;
            open.lots += lots;
            open.value_px_lots = open.value_px_lots.saturating_add(value);
            open.trades = open.trades.saturating_add(1);
            return None;
        }
        self.open.replace(AggressorOrder {
            side: Side::from_u8(trade.side).unwrap_or(Side::None),
            ts_event_ns: trade.venue_time_ns(),
            ts_recv_ns: trade.ts_recv_ns,
            px_first_ticks: trade.px_ticks,
            px_last_ticks: trade.px_ticks,
            lots,
            value_px_lots: value,
            trades: 1,
            levels: 1,
        })
    }

    /// Lets time pass up to `now_ns`; the order that is over with it.
    #[inline]
    pub fn advance(&mut self, now_ns: i64) -> Option<AggressorOrder> {
        self.now_ns = self.now_ns.max(now_ns);
        if self.now_ns < self.over_ns {
            return None;
        }
        self.open.take()
    }

    /// When the open order is over if nothing more is received of it, our clock; `None` while none
    /// is open.
    pub fn over_ns(&self) -> Option<i64> {
        self.open.map(|_| self.over_ns)
    }
}

/// Whether the second id follows the first.
#[inline]
fn is_next(last_seq: u64, seq: u64) -> bool {
    if last_seq == SEQ_NONE {
        seq == SEQ_NONE
    } else {
        seq == last_seq + 1 && seq != SEQ_NONE
    }
}
