//! What a run leaves behind: fills, ended orders, equity samples, and the hash over all of it.

use sha2::{Digest, Sha256};

use super::markouts::FillRow;
use super::risk::RiskEvent;
use super::settle::{Funding, Liquidation};
use crate::event::Side;
use crate::money::{Money, Px};
use crate::order::{Command, NewOrder, Order, Trail, TriggerKind};

/// One fill, as the strategy learned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// SHA-256 over every command, answer, fill and equity sample, in the order in which they happened,
/// each as a tag byte followed by little-endian integers.
#[derive(Clone, Default)]
pub struct RunHash(Sha256);

impl RunHash {
    /// Settings that the run depends on, before anything else.
    pub fn settings(&mut self, text: &str) {
        self.tag(b'S', &[]);
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    /// A command at the moment it was given.
    pub fn command(&mut self, ts_ns: i64, order: u64, command: &Command) {
        let order = order.cast_signed();
        match *command {
            Command::New(new) => {
                let coded = i64::from(new.instrument)
                    | (new.side as i64) << 16
                    | (new.kind as i64) << 24
                    | (new.tif as i64) << 32
                    | i64::from(new.post_only) << 40
                    | i64::from(new.reduce_only) << 41;
                self.tag(b'N', &[ts_ns, order, coded, new.px_ticks, new.qty_lots]);
                self.conditions(&new);
            }
            Command::Cancel => self.tag(b'C', &[ts_ns, order]),
            Command::CancelAll => self.tag(b'A', &[ts_ns, order]),
            Command::Modify(change) => {
                let known = |value: Option<i64>| value.unwrap_or(i64::MIN);
                let values = [
                    known(change.px_ticks),
                    known(change.qty_lots),
                    known(change.trigger_px_ticks),
                    i64::from(change.replace),
                ];
                self.tag(b'M', &[ts_ns, order]);
                self.tag(b'm', &values);
            }
        }
    }

    /// What an order has beyond price and quantity.
    fn conditions(&mut self, new: &NewOrder) {
        if let Some(trigger) = new.trigger {
            let (kind, trail) = match trigger.kind {
                TriggerKind::Stop => (0, 0),
                TriggerKind::TakeProfit => (1, 0),
                TriggerKind::Trailing(Trail::Ticks(ticks)) => (2, ticks),
                TriggerKind::Trailing(Trail::Rate(rate)) => (3, rate),
            };
            self.tag(b't', &[kind, trigger.by as i64, trigger.px_ticks, trail]);
        }
        if let Some(lots) = new.display_lots {
            self.tag(b'd', &[lots]);
        }
        if let Some(ts_ns) = new.expire_ns {
            self.tag(b'e', &[ts_ns]);
        }
        if let Some(link) = new.link {
            let values = [
                link.list.cast_signed(),
                link.role as i64,
                i64::from(link.of),
            ];
            self.tag(b'l', &values);
        }
    }

    /// A name that the strategy gave an order.
    pub fn client_id(&mut self, order: u64, name: &str) {
        self.tag(b'I', &[order.cast_signed()]);
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
    }

    /// An order as it stands after an answer or a refusal.
    pub fn order(&mut self, ts_ns: i64, order: &Order) {
        let reject = order.reject.map_or(0, |code| code as i64);
        self.tag(
            b'O',
            &[
                ts_ns,
                order.id.cast_signed(),
                order.status as i64,
                reject,
                order.request.px_ticks,
                order.request.qty_lots,
                order.filled_lots,
                order.ts_exchange_ns.unwrap_or(i64::MIN),
            ],
        );
    }

    /// Trading ended, or a position is being closed, for the reason given.
    pub fn risk(&mut self, ts_ns: i64, event: &RiskEvent, reason: &str) {
        let instrument = event.instrument().map_or(-1, i64::from);
        self.tag(b'K', &[ts_ns, event.cause as i64, instrument]);
        self.0.update((reason.len() as u64).to_le_bytes());
        self.0.update(reason.as_bytes());
    }

    /// A fill.
    pub fn fill(&mut self, fill: &Fill) {
        self.tag(
            b'F',
            &[
                fill.ts_recv_ns,
                fill.order.cast_signed(),
                fill.ts_event_ns,
                fill.px_ticks,
                fill.qty_lots,
                i64::from(fill.maker),
                fill.position_lots,
            ],
        );
        self.money(fill.fee);
        self.money(fill.realized);
    }

    /// A funding.
    pub fn funding(&mut self, row: &Funding) {
        let instrument = i64::from(row.instrument);
        let times = [row.ts_event_ns, row.ts_recv_ns];
        self.tag(b'U', &times);
        let values = [instrument, row.position_lots, row.mark.0, row.rate.0];
        self.tag(b'u', &values);
        self.money(row.amount);
    }

    /// The end of a liquidation.
    pub fn liquidation(&mut self, row: &Liquidation) {
        let instrument = i64::from(row.instrument);
        self.tag(b'Q', &[row.ts_event_ns, row.ts_recv_ns, instrument]);
        self.money(row.fee);
        self.money(row.insurance);
    }

    /// An equity sample.
    pub fn equity(&mut self, row: &EquityRow) {
        let instrument = i64::from(row.instrument);
        let mid = row.mid_px_x2.unwrap_or(i64::MIN);
        self.tag(b'E', &[row.ts_ns, instrument, mid, row.position_lots]);
        self.money(row.realized);
        self.money(row.unrealized.unwrap_or(Money(i128::MIN)));
        self.money(row.fees);
        // What only derivatives have.
        let charges = [row.funding, row.liquidation_fees, row.insurance];
        if charges != [Money::ZERO; 3] {
            self.tag(b'g', &[]);
            for amount in charges {
                self.money(amount);
            }
        }
    }

    /// The hash of everything so far, as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        use std::fmt::Write;
        self.0
            .clone()
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a string takes everything");
                text
            })
    }

    fn tag(&mut self, tag: u8, values: &[i64]) {
        self.0.update([tag]);
        for value in values {
            self.0.update(value.to_le_bytes());
        }
    }

    fn money(&mut self, amount: Money) {
        self.0.update(amount.0.to_le_bytes());
    }
}
