//! Positions and money, in integers.
//!
//! Invariant, per instrument: realized + unrealized profit equals minus the value bought at entry
//! plus the value at exit or mark; splitting a position never loses a unit, because the part of the
//! entry value that is not released stays with the position.

use crate::instrument::Instrument;
use crate::money::{Money, Valuer};

/// What is held of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed lots; below 0 is short.
    pub qty_lots: i64,
    /// Value of the open position at its entry prices, in the sense of [`Valuer::value`].
    pub entry_value: Money,
    /// Profit of what was closed, before fees.
    pub realized: Money,
    /// Fees paid, rebates subtracted.
    pub fees: Money,
}

/// One instrument's position with the rules to value it.
#[derive(Clone, Debug)]
pub struct Account {
    valuer: Valuer,
    maker: crate::instrument::FeeRate,
    taker: crate::instrument::FeeRate,
    position: Position,
}

/// What a fill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillEffect {
    /// Fee of this fill.
    pub fee: Money,
    /// Profit realized by this fill, before the fee.
    pub realized: Money,
    /// Signed position after it.
    pub position_lots: i64,
}

impl Account {
    /// A flat account in one instrument.
    pub fn new(instrument: &Instrument) -> crate::Result<Self> {
        Ok(Self {
            valuer: Valuer::new(instrument)?,
            maker: instrument.maker_fee,
            taker: instrument.taker_fee,
            position: Position::default(),
        })
    }

    /// The position now.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// How this account's instrument is valued.
    pub fn valuer(&self) -> &Valuer {
        &self.valuer
    }

    /// Profit of the open position at twice the mid; `None` where it cannot be valued.
    pub fn unrealized(&self, mid_px_x2: Option<i64>) -> Option<Money> {
        if self.position.qty_lots == 0 {
            return Some(Money::ZERO);
        }
        let value = self
            .valuer
            .value_at_mid(mid_px_x2?, self.position.qty_lots)?;
        Some(value - self.position.entry_value)
    }

    /// The average entry price in ticks; `None` while flat.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn entry_px_ticks(&self) -> Option<f64> {
        let Position {
            qty_lots,
            entry_value,
            ..
        } = self.position;
        // The value of the position at a price of one tick turns values back into ticks.
        let unit = self.valuer.value_at_mid(2, qty_lots)?.0 as f64;
        let value = entry_value.0 as f64;
        let ticks = if self.valuer.is_inverse() {
            unit / value
        } else {
            value / unit
        };
        (qty_lots != 0).then_some(ticks)
    }

    /// Books a fill of `qty_lots` (below 0 sells); `None`, and nothing booked, where a value does
    /// not fit.
    pub fn apply_fill(&mut self, px_ticks: i64, qty_lots: i64, maker: bool) -> Option<FillEffect> {
        let held = self.position.qty_lots;
        let after = held.checked_add(qty_lots)?;
        // The part of the fill that closes: opposite in sign to the position and no larger.
        let closing = if held.signum() == -qty_lots.signum() {
            clamp_to(qty_lots, held)
        } else {
            0
        };
        let released = share(self.position.entry_value, -closing, held);
        let exit = self.valuer.value(px_ticks, -closing)?;
        let entry = self.valuer.value(px_ticks, qty_lots - closing)?;
        let notional = self.valuer.value(px_ticks, qty_lots)?;
        let fee = notional.fee(if maker { self.maker } else { self.taker });
        let realized = exit - released;
        self.position.qty_lots = after;
        self.position.entry_value = self.position.entry_value - released + entry;
        self.position.realized += realized;
        self.position.fees += fee;
        Some(FillEffect {
            fee,
            realized,
            position_lots: after,
        })
    }
}

/// `qty` cut to the size of `held`, keeping its sign.
fn clamp_to(qty: i64, held: i64) -> i64 {
    let size = qty.unsigned_abs().min(held.unsigned_abs()).cast_signed();
    if qty < 0 { size.wrapping_neg() } else { size }
}

/// `part / whole` of an amount, rounded towards zero; the rest stays where it was.
fn share(amount: Money, part: i64, whole: i64) -> Money {
    if part == 0 {
        return Money::ZERO;
    }
    let (part, whole) = (i128::from(part), i128::from(whole));
    // Split so that the product stays small.
    Money(amount.0 / whole * part + amount.0 % whole * part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::ContractKind;
    use crate::money::tests::instrument;
    use proptest::prelude::*;

    fn linear() -> Account {
        Account::new(&instrument(ContractKind::Linear, "0.1", "0.001", "1")).unwrap()
    }

    #[test]
    fn long_then_flip_to_short() {
        let mut account = linear();
        account.apply_fill(1_000, 10, true).unwrap(); // 0.010 at 100.0
        account.apply_fill(1_020, 10, true).unwrap(); // 0.010 at 102.0
        assert!((account.entry_px_ticks().unwrap() - 1_010.0).abs() < 1e-9);
        let effect = account.apply_fill(1_030, -30, false).unwrap();
        // 0.020 × (103 − 101) = 0.04; the other 0.010 opens a short at 103.
        assert_eq!(
            (effect.realized, effect.position_lots),
            (Money(40_000_000_000), -10)
        );
        assert_eq!(effect.fee, Money(1_545_000_000), "0.030 × 103 × 0.0005");
        assert_eq!(
            account.unrealized(Some(2 * 1_010)),
            Some(Money(20_000_000_000))
        );
        assert_eq!(account.unrealized(None), None);
    }

    #[test]
    fn inverse_profit_is_in_base() {
        let mut account =
            Account::new(&instrument(ContractKind::Inverse, "0.1", "1", "100")).unwrap();
        account.apply_fill(500_000, 1_000, true).unwrap();
        let effect = account.apply_fill(625_000, -1_000, true).unwrap();
        // 100,000 USD × (1/50,000 − 1/62,500) = 2 − 1.6 BTC.
        assert_eq!(effect.realized, Money(400_000_000_000));
        assert_eq!(account.position().entry_value, Money::ZERO);
        assert_eq!(account.entry_px_ticks(), None);
    }

    proptest! {
        /// Realized plus unrealized profit is the sum of all cash flows plus the final value.
        #[test]
        fn nothing_is_lost(
            fills in prop::collection::vec((1i64..2_000_000, -5_000i64..5_000), 1..60),
            inverse: bool,
        ) {
            let kind = if inverse { ContractKind::Inverse } else { ContractKind::Linear };
            let mut account = Account::new(&instrument(kind, "0.1", "0.001", "1")).unwrap();
            let (mut paid, mut held) = (0i128, 0i64);
            let mut roundings = 0;
            for (px, qty) in fills {
                let value = account.valuer().value(px, qty).unwrap();
                account.apply_fill(px, qty, true).unwrap();
                paid += value.0;
                held += qty;
                roundings += 2;
                prop_assert_eq!(account.position().qty_lots, held);
                let mark = account.valuer().value(px, held).unwrap().0;
                let profit = account.position().realized.0
                    + account.unrealized(Some(2 * px)).unwrap().0;
                // Linear values are exact; each inverse valuation rounds by at most one unit.
                let slack = if inverse { roundings } else { 0 };
                prop_assert!((mark - paid - profit).abs() <= slack);
            }
        }
    }
}
