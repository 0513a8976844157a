//! The price at which a position is liquidated, by Binance's published formulas, solved exactly.
//!
//! Linear (USDⓈ-M): `(WB − TMM + UPNL + cum − side·|q|·EP) ÷ (|q|·MMR − side·|q|)`.
//! Inverse (COIN-M): `(|q|·MMR + side·|q|) ÷ ((WB − TMM + UPNL + cum) ÷ CM + side·|q| ÷ EP)`.
//! WB is the wallet, TMM and UPNL the maintenance margin and the unrealized profit of the account's
//! other positions (both 0 if isolated), cum the bracket's amount, CM the contract size, EP the
//! entry price. The bracket is the one in which the notional lies *at the liquidation price*; the
//! maintenance margin is continuous, so there is only one.

use super::{Bracket, Held};
use crate::money::{MONEY_PLACES, Money, RATE_PLACES, RATE_UNITS, Rate};

impl Held<'_> {
    /// The mark price at which the margin balance falls to the maintenance margin, in units of 1e-12
    /// of the quote asset. `wallet` is the wallet less the maintenance margin and plus the
    /// unrealized profit of the other positions in it. `None`: no price above 0 liquidates it.
    pub fn liquidation_px(&self, wallet: Money) -> Option<Money> {
        let rows = self.brackets.rows();
        rows.iter().enumerate().find_map(|(at, bracket)| {
            let px = self.liquidation_px_in(bracket, wallet)?;
            let notional = self.notional(px)?;
            // At a cap both brackets give the same price, so that a unit of rounding is no matter.
            let above = notional.0 >= bracket.floor.0 - 1;
            let below = notional.0 <= bracket.cap.0 + 1 || at + 1 == rows.len();
            (above && below).then_some(px)
        })
    }

    /// The price at which the wallet is used up to nothing.
    pub fn bankruptcy_px(&self, wallet: Money) -> Option<Money> {
        let nothing = Bracket {
            floor: Money::ZERO,
            cap: Money::ZERO,
            rate: Rate(0),
            amount: Money::ZERO,
            leverage_max: 1,
        };
        self.liquidation_px_in(&nothing, wallet)
    }

    /// As [`Self::liquidation_px`] with the rate and amount of this bracket, wherever the notional
    /// lies: what the venue's calculator shows.
    pub fn liquidation_px_in(&self, bracket: &Bracket, wallet: Money) -> Option<Money> {
        if self.qty_lots == 0 {
            return None;
        }
        let (size, size_places) = self.valuer.lot_size();
        let qty = i128::from(self.qty_lots).checked_mul(size)?;
        let rate = i128::from(bracket.rate.0) * qty.signum();
        let px = if self.valuer.is_inverse() {
            let top = qty.checked_mul(RATE_UNITS + rate)?;
            let bottom = wallet.0 + bracket.amount.0 - self.entry_value.0;
            // Quote units ÷ money of the base, in 1e-12.
            let places = (2 * MONEY_PLACES).checked_sub(size_places + RATE_PLACES)?;
            quotient(top, bottom, places)?
        } else {
            let top = self.entry_value.0 - wallet.0 - bracket.amount.0;
            let bottom = qty.checked_mul(RATE_UNITS - rate)?;
            quotient(top, bottom, size_places + RATE_PLACES)?
        };
        (px > 0).then_some(Money(px))
    }

    /// What the position is worth at a price in 1e-12 of the quote asset, without its sign.
    fn notional(&self, px: Money) -> Option<Money> {
        let (size, size_places) = self.valuer.lot_size();
        let qty = i128::from(self.qty_lots).abs().checked_mul(size)?;
        let found = if self.valuer.is_inverse() {
            quotient(qty, px.0, (2 * MONEY_PLACES).checked_sub(size_places)?)?
        } else {
            let scale = 10i128.checked_pow(size_places)?;
            qty.checked_mul(px.0 / scale)? + qty.checked_mul(px.0 % scale)? / scale
        };
        Some(Money(found))
    }
}

/// `top × 10^places ÷ bottom`, rounded half away from zero, digit by digit, so that the product
/// need not fit; `None` where the quotient does not fit, or the divisor is 0.
fn quotient(top: i128, bottom: i128, places: u32) -> Option<i128> {
    if bottom == 0 {
        return None;
    }
    let divisor = bottom.unsigned_abs();
    let mut found = top.unsigned_abs() / divisor;
    let mut rest = top.unsigned_abs() % divisor;
    for _ in 0..places {
        rest = rest.checked_mul(10)?;
        found = found.checked_mul(10)?.checked_add(rest / divisor)?;
        rest %= divisor;
    }
    found += u128::from(rest >= divisor - rest);
    let found = i128::try_from(found).ok()?;
    Some(if (top < 0) == (bottom < 0) {
        found
    } else {
        -found
    })
}
