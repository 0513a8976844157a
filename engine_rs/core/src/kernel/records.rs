//! What a run leaves behind: fills, ended orders, equity samples.

use serde::{Deserialize, Serialize};

use super::markouts::FillRow;
use super::settle::Funding;
use crate::event::Side;
use crate::money::{Money, Px};
use crate::order::Order;

/// One fill, as the strategy learned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The order filled.
    pub order: u64,
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// Side of our order.
    pub side: Side,
    /// Price in ticks.
    pub px_ticks: i64,
    /// Lots filled.
    pub qty_lots: i64,
    /// Whether our order was resting.
    pub maker: bool,
    /// The venue's clock at execution.
    pub ts_event_ns: i64,
    /// Our clock when the answer arrived.
    pub ts_recv_ns: i64,
    /// Fee in the settlement currency.
    pub fee: Money,
    /// Profit realized by this fill, before the fee.
    pub realized: Money,
    /// Signed position after it, in lots.
    pub position_lots: i64,
}

/// An order came to rest in the venue's book: at first, or after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The order.
    pub order: u64,
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// The venue's clock.
    pub ts_event_ns: i64,
    /// Price in ticks.
    pub px_ticks: i64,
    /// Total quantity in lots, what is filled included.
    pub qty_lots: i64,
}

/// One instrument at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquityRow {
    /// Our clock.
    pub ts_ns: i64,
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// Best bid plus best ask in ticks, by which the position is valued; `None` before the first
    /// trusted book.
    pub mid_px_x2: Option<i64>,
    /// The venue's mark, by which it is valued where there is no mid.
    pub mark: Option<Px>,
    /// Signed position in lots.
    pub position_lots: i64,
    /// Realized profit so far, before fees.
    pub realized: Money,
    /// Profit of the open position; `None` where it cannot be valued.
    pub unrealized: Option<Money>,
    /// Fees so far.
    pub fees: Money,
    /// Funding received so far, payments subtracted.
    pub funding: Money,
    /// Fees of liquidations so far.
    pub liquidation_fees: Money,
    /// Losses that the venue's insurance covered so far.
    pub insurance: Money,
    /// Equity of the whole account in the instrument's settlement currency.
    pub equity: Option<Money>,
}

/// Everything recorded since the last time it was taken.
#[derive(Default)]
pub struct Records {
    /// Fills in order of receipt, each when the mids after it are known.
    pub fills: Vec<FillRow>,
    /// Orders in the order in which they ended.
    pub orders: Vec<Order>,
    /// Places of orders in the book in order of receipt.
    pub placements: Vec<Placement>,
    /// Samples in order of time, then instrument.
    pub equity: Vec<EquityRow>,
    /// Fundings in order of receipt.
    pub fundings: Vec<Funding>,
}

impl Records {
    /// Rows held.
    pub fn len(&self) -> usize {
        self.fills.len()
            + self.orders.len()
            + self.placements.len()
            + self.equity.len()
            + self.fundings.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
