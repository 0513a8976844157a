//! What orders need and what there is for it, in the settlement currency.
//!
//! Under cross margin, a position and the orders that would extend it need the initial margin of the
//! larger of the two sides they could reach: `max(|position|, position + bids, asks − position)`,
//! the position at its mark, each order at its price. Isolated margin needs, on the position's own
//! side, what is set aside and what its orders would add to that, all at entry prices; and for
//! turning it, the initial margin of what is beyond flat, when the old margin is free and the profit
//! at the mark is made. On a spot market a bid needs its whole value, and an ask the asset itself.
//! Reduce-only orders, and orders that still wait for their trigger, need nothing. Source: Binance's
//! support pages on the initial margin of futures; the open loss that Binance adds for orders beyond
//! the mark is left out.

use super::{Brackets, Mode};
use crate::error::{Error, Result};
use crate::event::Side;
use crate::exchange::models::is_within;
use crate::instrument::{ContractKind, Instrument};
use crate::money::{Money, Px, Valuer};
use crate::order::{NewOrder, OrderKind};
use crate::portfolio::{Account, Position, share};

/// What is open of one instrument, each order at its own price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Value of all bids.
    pub bids: Money,
    /// Value of all asks.
    pub asks: Money,
    /// Lots of all asks.
    pub ask_lots: i64,
}

/// What an account has for one instrument, its position and its orders together.
#[derive(Clone, Debug)]
pub struct Room {
    /// Money that nothing else ties up.
    pub available: Money,
    /// Spot: lots of the asset that nothing else ties up, without what this run bought and sold.
    pub base_lots: i64,
    /// The mark price; `None` while there is none, when the position counts what it was opened for.
    pub mark: Option<Px>,
    /// The position.
    pub account: Account,
}

impl Room {
    /// A fill, fees apart: what the next order can use.
    pub fn apply_fill(&mut self, terms: &Terms, px_ticks: i64, qty_lots: i64) {
        let before = *self.account.position();
        let profit = self.unrealized(terms);
        let Some(effect) = self.account.apply_fill(px_ticks, qty_lots, Money::ZERO) else {
            // Its value does not fit, which is told when it is booked.
            self.available = Money::ZERO - Money::MAX;
            return;
        };
        terms.set_aside(&mut self.account, before.qty_lots, before.entry_value);
        self.available += effect.realized;
        if terms.is_spot {
            self.available -= self.account.position().entry_value - before.entry_value;
        } else if terms.mode == Mode::Cross {
            self.available += self.unrealized(terms) - profit;
        }
    }

    fn unrealized(&self, terms: &Terms) -> Money {
        terms.value(self) - self.account.position().entry_value
    }
}

/// What one instrument takes: its margin table, and the leverage chosen.
#[derive(Clone, Debug)]
pub struct Terms {
    valuer: Valuer,
    brackets: Brackets,
    leverage: u32,
    mode: Mode,
    is_spot: bool,
}

impl Terms {
    /// The terms of an instrument.
    ///
    /// # Errors
    /// Steps that are too fine for the engine's money and, where margin is asked for, a tick whose
    /// half is finer than a mark price.
    pub fn new(instrument: &Instrument, mode: Mode, leverage: u32) -> Result<Self> {
        let is_spot = instrument.kind == ContractKind::Spot;
        if mode != Mode::None && !is_spot && Px::from_half_ticks(1, instrument.tick).is_none() {
            let place = format!("margin of {}", instrument.id);
            let expected = "a tick of at least 0.00000002, as mark prices are in units of 1e-8";
            return Err(Error::invalid(place, expected, instrument.tick));
        }
        Ok(Self {
            valuer: Valuer::new(instrument)?,
            brackets: instrument.brackets.clone(),
            leverage,
            mode,
            is_spot,
        })
    }

    /// Whether the asset itself changes hands.
    pub fn is_spot(&self) -> bool {
        self.is_spot
    }

    /// The instrument's margin table.
    pub fn brackets(&self) -> &Brackets {
        &self.brackets
    }

    /// How the instrument is valued.
    pub fn valuer(&self) -> &Valuer {
        &self.valuer
    }

    /// Adds an order, or `lots` that are left of it, to what is open. It counts at its limit price, or
    /// at the opposite best price where it would be filled there and is worth more; without a price
    /// there is nothing to take. What cannot be valued counts as the largest amount there is.
    pub fn add(
        &self,
        demand: &mut Demand,
        request: &NewOrder,
        opposite_best: Option<i64>,
        lots: i64,
    ) {
        let limit = (request.kind == OrderKind::Limit).then_some(request.px_ticks);
        let met = opposite_best.filter(|best| is_within(request.side, *best, limit));
        let worth = |px_ticks: &i64| self.worth(*px_ticks, lots);
        if let Some(px_ticks) = limit.into_iter().chain(met).max_by_key(worth) {
            self.add_at(demand, request.side, px_ticks, lots);
        }
    }

    /// Adds what is bought or sold at a price.
    pub fn add_at(&self, demand: &mut Demand, side: Side, px_ticks: i64, lots: i64) {
        let value = self.worth(px_ticks, lots);
        if side == Side::Bid {
            demand.bids = (demand.bids + value).min(Money::MAX);
        } else {
            demand.asks = (demand.asks + value).min(Money::MAX);
            demand.ask_lots = demand.ask_lots.saturating_add(lots);
        }
    }

    fn worth(&self, px_ticks: i64, lots: i64) -> Money {
        let value = self.valuer.value(px_ticks, lots);
        value.map_or(Money::MAX, Money::abs)
    }

    /// Margin of a position of this value, without its sign.
    pub fn initial(&self, value: Money) -> Money {
        self.brackets.initial(value, self.leverage)
    }

    /// Whether an order is covered: `before` is what is open without it, `after` with it. What needs
    /// no more than before always is.
    pub fn covers(&self, room: &Room, before: &Demand, after: &Demand) -> bool {
        let value = self.value(room);
        let position = room.account.position();
        let needs = |demand| self.needs(position, value, demand);
        let has = Needs {
            staying: room.available,
            turned: room.available + (value - position.entry_value),
        };
        let free_lots = room.base_lots.saturating_add(position.qty_lots);
        let asset =
            !self.is_spot || after.ask_lots <= before.ask_lots || after.ask_lots <= free_lots;
        let money = match (needs(before), needs(after)) {
            (Some(before), Some(after)) => {
                (after.staying <= before.staying || after.staying <= has.staying)
                    && (after.turned <= before.turned || after.turned <= has.turned)
            }
            (None, Some(_)) => true,
            (_, None) => false,
        };
        money && asset
    }

    /// What position and orders tie up of the currency; saturated beyond the last bracket.
    pub fn tied(&self, account: &Account, mark: Option<Px>, demand: &Demand) -> Money {
        let position = account.position();
        let value = self.value_at(mark, position);
        let Some(needs) = self.needs(position, value, demand) else {
            return Money::MAX;
        };
        if needs.turned > Money::ZERO {
            let profit = value - position.entry_value;
            needs.staying.max(needs.turned - profit)
        } else {
            needs.staying
        }
    }

    /// What a position of this signed value and open orders need; `None` beyond the last bracket,
    /// where the venue opens nothing.
    fn needs(&self, position: &Position, value: Money, demand: &Demand) -> Option<Needs> {
        if self.is_spot {
            return Some(Needs::staying(demand.bids));
        }
        let is_long = position.qty_lots > 0;
        let (extending, closing) = if is_long {
            (demand.bids, demand.asks)
        } else {
            (demand.asks, demand.bids)
        };
        let held = value.abs();
        let turned = (closing - held).max(Money::ZERO);
        if self.mode == Mode::Isolated {
            let entry = position.entry_value.abs();
            let more = self.opened(entry + extending, entry)? - self.initial(entry);
            return Some(Needs {
                staying: position.margin + more,
                turned: self.opened(turned, Money::ZERO)?,
            });
        }
        let most = turned.max(held + extending);
        Some(Needs::staying(self.opened(most, held)?))
    }

    /// Margin of a position of this value, opened from one of another.
    fn opened(&self, value: Money, from: Money) -> Option<Money> {
        let is_open = value <= from || self.brackets.is_empty();
        (is_open || self.brackets.of(value).is_some()).then(|| self.initial(value))
    }

    /// Isolated margin: sets aside what a position takes after a change, or gives back what it takes
    /// no more.
    pub fn set_aside(&self, account: &mut Account, lots_before: i64, entry_before: Money) {
        if self.mode != Mode::Isolated || self.is_spot {
            return;
        }
        let position = account.position_mut();
        let stays = lots_before.signum() == position.qty_lots.signum();
        let shrinks = position.qty_lots.unsigned_abs() <= lots_before.unsigned_abs();
        position.margin = if position.qty_lots == 0 {
            Money::ZERO
        } else if !stays {
            self.initial(position.entry_value.abs())
        } else if shrinks {
            share(position.margin, position.qty_lots, lots_before)
        } else {
            let more = self.initial(position.entry_value.abs());
            position.margin + (more - self.initial(entry_before.abs()))
        };
    }

    fn value(&self, room: &Room) -> Money {
        self.value_at(room.mark, room.account.position())
    }

    /// Signed value of a position at a mark; what it was opened for while there is none.
    fn value_at(&self, mark: Option<Px>, position: &Position) -> Money {
        mark.and_then(|mark| self.valuer.value_at(mark, position.qty_lots))
            .unwrap_or(position.entry_value)
    }
}

/// What must be there for a position and its orders.
struct Needs {
    /// While it stays on its side.
    staying: Money,
    /// Isolated margin: once it has turned, when the old margin and profit are free.
    turned: Money,
}

impl Needs {
    fn staying(staying: Money) -> Self {
        Self {
            staying,
            turned: Money::ZERO,
        }
    }
}
