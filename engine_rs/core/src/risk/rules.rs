//! The instrument's own rules, which every order must meet.

use crate::Result;
use crate::decimal::Step;
use crate::instrument::Instrument;
use crate::money::{Money, Valuer};
use crate::order::{NewOrder, OrderKind, RejectCode};

/// Sizes and notional that the venue takes.
#[derive(Clone, Debug)]
pub struct Rules {
    qty_lots_min: i64,
    qty_lots_max: i64,
    notional_min: Option<Money>,
    valuer: Valuer,
}

impl Rules {
    /// The rules of an instrument.
    pub fn new(instrument: &Instrument) -> Result<Self> {
        Ok(Self {
            qty_lots_min: instrument.qty_lots_min.max(1),
            qty_lots_max: instrument.qty_lots_max,
            notional_min: instrument.notional_min.and_then(Step::money),
            valuer: Valuer::new(instrument)?,
        })
    }

    /// Why an order breaks them, if it does. A market order has no price to be valued at, so that
    /// only its size is looked at.
    pub fn check(&self, order: &NewOrder) -> Result<(), RejectCode> {
        if order.qty_lots < self.qty_lots_min {
            return Err(RejectCode::QtyTooSmall);
        }
        if order.qty_lots > self.qty_lots_max {
            return Err(RejectCode::QtyTooLarge);
        }
        if let Some(display) = order.display_lots
            && !(self.qty_lots_min..=order.qty_lots).contains(&display)
        {
            return Err(RejectCode::DisplayInvalid);
        }
        // A trailing stop may begin without a price.
        if order.trigger.is_some_and(|trigger| trigger.px_ticks < 0) {
            return Err(RejectCode::PxNotPositive);
        }
        if order.kind == OrderKind::Market {
            return Ok(());
        }
        if order.px_ticks <= 0 {
            return Err(RejectCode::PxNotPositive);
        }
        let value = self.valuer.value(order.px_ticks, order.qty_lots);
        let Some(value) = value else {
            return Err(RejectCode::NotionalTooLarge);
        };
        // What only makes a position smaller may be small.
        let Some(minimum) = self.notional_min.filter(|_| !order.reduce_only) else {
            return Ok(());
        };
        let notional = if self.valuer.is_inverse() {
            self.valuer.quote_notional(order.px_ticks, order.qty_lots)
        } else {
            Some(value)
        };
        match notional {
            Some(notional) if notional < minimum => Err(RejectCode::NotionalTooSmall),
            _ => Ok(()),
        }
    }
}
