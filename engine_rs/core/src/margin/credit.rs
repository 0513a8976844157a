//! What orders need and what there is for it, in the settlement currency.
//!
//! Of a derivative, a position and the orders that would extend it need the initial margin of the
//! larger of the two sides they could reach: `max(|position|, position + bids, asks − position)`,
//! the position at its mark, each order at its price. On a spot market a bid needs its whole value,
//! and an ask the asset itself. Reduce-only orders, and orders that still wait for their trigger,
//! need nothing. Source: Binance's support pages on the initial margin of futures; the open loss that
//! Binance adds for orders beyond the mark is left out.

use super::Brackets;
use crate::Result;
use crate::event::Side;
use crate::instrument::{ContractKind, Instrument};
use crate::money::{Money, Px, Valuer};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Money that nothing else ties up.
    pub available: Money,
    /// Spot: lots of the asset that nothing else ties up, without what this run bought and sold.
    pub base_lots: i64,
    /// The mark price; `None` while there is none, when the position counts nothing.
    pub mark: Option<Px>,
}

/// What one instrument takes: its margin table, and the leverage chosen.
#[derive(Clone, Debug)]
pub struct Terms {
    valuer: Valuer,
    brackets: Brackets,
    leverage: u32,
    is_spot: bool,
}

impl Terms {
    /// The terms of an instrument.
    ///
    /// # Errors
    /// Steps that are too fine for the engine's money.
    pub fn new(instrument: &Instrument, leverage: u32) -> Result<Self> {
        Ok(Self {
            valuer: Valuer::new(instrument)?,
            brackets: instrument.brackets.clone(),
            leverage,
            is_spot: instrument.kind == ContractKind::Spot,
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

    /// Adds an order, or what is left of one, to what is open; what cannot be valued counts as the
    /// largest amount there is.
    pub fn add(&self, demand: &mut Demand, side: Side, px_ticks: i64, lots: i64) {
        let value = self.valuer.value(px_ticks, lots);
        let value = value.map_or(Money::MAX, Money::abs);
        if side == Side::Bid {
            demand.bids = (demand.bids + value).min(Money::MAX);
        } else {
            demand.asks = (demand.asks + value).min(Money::MAX);
            demand.ask_lots = demand.ask_lots.saturating_add(lots);
        }
    }

    /// Margin of a position of this value, without its sign.
    pub fn initial(&self, value: Money) -> Money {
        self.brackets.initial(value, self.leverage)
    }

    /// What a position and open orders need; `None` beyond the last bracket, where the venue opens
    /// nothing.
    pub fn needed(&self, value: Money, is_long: bool, demand: &Demand) -> Option<Money> {
        if self.is_spot {
            return Some(demand.bids);
        }
        let (long, short) = if is_long {
            (value + demand.bids, demand.asks - value)
        } else {
            (demand.bids - value, value + demand.asks)
        };
        let most = long.max(short);
        let opens = most > value && !self.brackets.is_empty();
        let is_allowed = !opens || self.brackets.of(most).is_some();
        is_allowed.then(|| self.initial(most.max(value)))
    }

    /// Whether an order is covered: `before` is what is open without it, `after` with it. What needs
    /// no more than before always is.
    pub fn covers(&self, room: &Room, held_lots: i64, before: &Demand, after: &Demand) -> bool {
        let value = self.value(room.mark, held_lots);
        let needed = |demand| self.needed(value, held_lots > 0, demand);
        let money = match (needed(before), needed(after)) {
            (Some(before), Some(after)) => after <= before || after <= room.available,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let free_lots = room.base_lots.saturating_add(held_lots);
        let asset =
            !self.is_spot || after.ask_lots <= before.ask_lots || after.ask_lots <= free_lots;
        money && asset
    }

    /// Value of a position at its mark, without its sign.
    fn value(&self, mark: Option<Px>, held_lots: i64) -> Money {
        mark.and_then(|mark| self.valuer.value_at(mark, held_lots))
            .map_or(Money::ZERO, Money::abs)
    }
}
