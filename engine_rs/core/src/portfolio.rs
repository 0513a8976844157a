//! Positions and money, in integers.
//!
//! Two invariants hold after every event, to the last unit, and [`Account::check`] and
//! [`Wallet::check`] test them in every run:
//!
//! - of an instrument: realized profit = value of the open position at entry − value bought, where
//!   what was sold counts as bought below zero;
//! - of a currency: wallet balance = initial + Σ over its instruments of realized profit − fees +
//!   funding − liquidation fees + what the venue's insurance covered.
//!
//! Splitting a position never loses a unit: the part of the entry value that is not released stays
//! with the position, and of a fill that closes and opens the opening part is what the closing one
//! left of its value.

use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::money::{Money, Px, Valuer};

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
    /// Funding received, payments subtracted.
    pub funding: Money,
    /// Fees of liquidations.
    pub liquidation_fees: Money,
    /// Losses that the venue's insurance covered.
    pub insurance: Money,
    /// What is set aside for it in its currency's wallet, where margin is isolated.
    pub margin: Money,
    /// Σ value of all that was bought, below zero for what was sold.
    bought: Money,
}

impl Position {
    /// What it has added to its currency's wallet so far.
    pub fn cash(&self) -> Money {
        self.realized - self.fees + self.funding - self.liquidation_fees + self.insurance
    }
}

/// One instrument's position with the rules to value it.
#[derive(Clone, Debug)]
pub struct Account {
    valuer: Valuer,
    position: Position,
}

/// What a fill did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillEffect {
    /// Profit realized by this fill, before the fee.
    pub realized: Money,
    /// Signed position after it.
    pub position_lots: i64,
}

impl Account {
    /// A flat account in one instrument.
    pub fn new(instrument: &Instrument) -> Result<Self> {
        Ok(Self {
            valuer: Valuer::new(instrument)?,
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

    /// As [`Self::unrealized`], at a price in units of 1e-8.
    pub fn unrealized_at(&self, px: Px) -> Option<Money> {
        let value = self.valuer.value_at(px, self.position.qty_lots)?;
        Some(value - self.position.entry_value)
    }

    /// Takes over a position that was opened before, at its entry price; `None`, and nothing
    /// changed, where its value does not fit.
    pub fn open(&mut self, qty_lots: i64, entry: Px) -> Option<()> {
        let value = self.valuer.value_at(entry, qty_lots)?;
        self.position.qty_lots = qty_lots;
        self.position.entry_value = value;
        self.position.bought = value;
        Some(())
    }

    /// The position, to book what is no fill.
    pub(crate) fn position_mut(&mut self) -> &mut Position {
        &mut self.position
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

    /// Books a fill of `qty_lots` (below 0 sells) and its fee; `None`, and nothing booked, where a
    /// value does not fit.
    pub fn apply_fill(&mut self, px_ticks: i64, qty_lots: i64, fee: Money) -> Option<FillEffect> {
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
        let total = self.valuer.value(px_ticks, qty_lots)?;
        let entry = if closing == qty_lots {
            Money::ZERO
        } else {
            total + exit
        };
        let exit = entry - total;
        let realized = exit - released;
        self.position.qty_lots = after;
        self.position.entry_value = self.position.entry_value - released + entry;
        self.position.bought += total;
        self.position.realized += realized;
        self.position.fees += fee;
        Some(FillEffect {
            realized,
            position_lots: after,
        })
    }

    /// Tests the invariant of the module header; `place` names the instrument.
    pub fn check(&self, place: &str) -> Result<()> {
        let expected = self.position.entry_value - self.position.bought;
        same(place, "realized profit", expected, self.position.realized)
    }
}

/// The balance of one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// The currency's name.
    pub currency: String,
    /// What the run began with.
    pub initial: Money,
    /// What is there now, open positions apart.
    pub balance: Money,
}

impl Wallet {
    /// A wallet at the start of a run.
    pub fn new(currency: String, initial: Money) -> Self {
        Self {
            currency,
            initial,
            balance: initial,
        }
    }

    /// Tests the invariant of the module header against the positions that settle in this currency.
    pub fn check<'a>(&self, positions: impl Iterator<Item = &'a Position>) -> Result<()> {
        let expected = positions.fold(self.initial, |sum, position| sum + position.cash());
        same(&self.currency, "wallet balance", expected, self.balance)
    }
}

fn same(place: &str, what: &str, expected: Money, found: Money) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Inconsistent {
        place: place.to_owned(),
        expected: format!("a {what} of {} units of 1e-12", expected.0),
        found: found.0.to_string(),
    })
}

/// `qty` cut to the size of `held`, keeping its sign.
fn clamp_to(qty: i64, held: i64) -> i64 {
    let size = qty.unsigned_abs().min(held.unsigned_abs()).cast_signed();
    if qty < 0 { size.wrapping_neg() } else { size }
}

/// `part / whole` of an amount, rounded towards zero; the rest stays where it was.
pub(crate) fn share(amount: Money, part: i64, whole: i64) -> Money {
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
        account.apply_fill(1_000, 10, Money::ZERO).unwrap(); // 0.010 at 100.0
        account.apply_fill(1_020, 10, Money::ZERO).unwrap(); // 0.010 at 102.0
        assert!((account.entry_px_ticks().unwrap() - 1_010.0).abs() < 1e-9);
        let effect = account.apply_fill(1_030, -30, Money(7)).unwrap();
        // 0.020 × (103 − 101) = 0.04; the other 0.010 opens a short at 103.
        assert_eq!(
            (effect.realized, effect.position_lots),
            (Money(40_000_000_000), -10)
        );
        assert_eq!(account.position().fees, Money(7));
        assert_eq!(account.position().cash(), Money(40_000_000_000 - 7));
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
        account.apply_fill(500_000, 1_000, Money::ZERO).unwrap();
        let effect = account.apply_fill(625_000, -1_000, Money::ZERO).unwrap();
        // 100,000 USD × (1/50,000 − 1/62,500) = 2 − 1.6 BTC.
        assert_eq!(effect.realized, Money(400_000_000_000));
        assert_eq!(account.position().entry_value, Money::ZERO);
        assert_eq!(account.entry_px_ticks(), None);
    }

    #[test]
    fn books_that_do_not_add_up_are_told() {
        let mut account = linear();
        account.apply_fill(1_000, 10, Money(3)).unwrap();
        let mut wallet = Wallet::new("USD".into(), Money(50));
        wallet.balance = Money(47);
        wallet.check([account.position()].into_iter()).unwrap();
        wallet.balance = Money(48);
        let error = wallet.check([account.position()].into_iter()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("USD: the engine's books do not add up")
        );
        account.position.realized = Money(1);
        assert!(
            account
                .check("X.TEST")
                .unwrap_err()
                .to_string()
                .contains("X.TEST")
        );
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
            let mut wallet = Wallet::new("USD".into(), Money(1_000));
            let (mut paid, mut held) = (0i128, 0i64);
            let mut roundings = 0;
            for (px, qty) in fills {
                let value = account.valuer().value(px, qty).unwrap();
                let fee = Money(i128::from(px % 1_000));
                let effect = account.apply_fill(px, qty, fee).unwrap();
                wallet.balance += effect.realized - fee;
                account.check("X").unwrap();
                wallet.check([account.position()].into_iter()).unwrap();
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
