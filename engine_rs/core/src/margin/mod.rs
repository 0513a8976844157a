//! Margin of perpetual contracts: how much is needed to open a position and to keep it, when an
//! account is liquidated, and the price at which that comes.
//!
//! All amounts are in the settlement currency of the instrument: the quote asset of linear
//! contracts, the base asset of inverse ones; brackets count the notional in the same. An account is
//! liquidatable as soon as its margin balance is no more than its maintenance margin, decided on
//! integers; liquidation prices are only told, never acted on.
//!
//! Sources, Binance's support pages: "Leverage and Margin of USDⓈ-M Futures" (brackets, maintenance
//! amount), "Liquidation Protocols" (the margin ratio reaches 100 %), "How to Calculate Liquidation
//! Price of USDⓈ-M Futures Contracts" and the same of COIN-M.

mod credit;
mod liquidation_px;

pub use credit::{Demand, Room, Terms};

use crate::error::{Error, Result};
use crate::money::{Money, Px, RATE_UNITS, Rate, Valuer};

/// Largest leverage that can be asked for.
pub const LEVERAGE_MAX: u32 = 1_000;
/// A table whose maintenance margin jumps by more than this part of itself between two brackets has
/// a wrong figure in it; venues round their amounts by less.
const JUMP_PART_MAX: i128 = 10_000;

/// One row of a venue's margin table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// Notional from which it counts, exclusive.
    pub floor: Money,
    /// Notional up to which it counts, inclusive.
    pub cap: Money,
    /// Maintenance margin as a share of the notional.
    pub rate: Rate,
    /// What is taken off that, so that the maintenance margin has no steps.
    pub amount: Money,
    /// Largest leverage of a position of this size.
    pub leverage_max: u32,
}

impl Bracket {
    /// Maintenance margin of a notional by the rule of this bracket, never below 0.
    pub fn maintenance(&self, notional: Money) -> Money {
        (notional.share(self.rate) - self.amount).max(Money::ZERO)
    }
}

/// A venue's margin table, the smallest notional first; empty where none is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brackets(Vec<Bracket>);

impl Brackets {
    /// A checked table.
    ///
    /// # Errors
    /// Brackets that do not begin at 0 or do not follow one another, rates outside 0 to 1 or that
    /// fall, leverages that rise, and amounts that make the maintenance margin jump.
    pub fn new(brackets: Vec<Bracket>) -> Result<Self> {
        let mut before: Option<&Bracket> = None;
        for bracket in &brackets {
            check(before, bracket)?;
            before = Some(bracket);
        }
        Ok(Self(brackets))
    }

    /// Whether no margin rules are known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows, the smallest notional first.
    pub fn rows(&self) -> &[Bracket] {
        &self.0
    }

    /// The bracket of a notional; `None` beyond the last cap, where the venue opens nothing.
    pub fn of(&self, notional: Money) -> Option<&Bracket> {
        self.0.iter().find(|bracket| notional <= bracket.cap)
    }

    /// Margin of a position of this notional: notional ÷ leverage, rounded up, the leverage no
    /// larger than the bracket allows; beyond the last cap the last bracket counts on.
    pub fn initial(&self, notional: Money, leverage: u32) -> Money {
        let bracket = self.of(notional).or(self.0.last());
        let leverage = bracket.map_or(leverage, |known| leverage.min(known.leverage_max));
        let leverage = i128::from(leverage.max(1));
        Money((notional.0 + leverage - 1) / leverage)
    }

    /// Margin needed to keep a position of this notional: notional × rate − amount. Beyond the last
    /// cap the last bracket counts on; 0 without any.
    pub fn maintenance(&self, notional: Money) -> Money {
        self.of(notional)
            .or(self.0.last())
            .map_or(Money::ZERO, |bracket| bracket.maintenance(notional))
    }
}

fn check(before: Option<&Bracket>, bracket: &Bracket) -> Result<()> {
    let floor = before.map_or(Money::ZERO, |before| before.cap);
    let refuse = |expected: String, found: String| Err(Error::invalid("brackets", expected, found));
    let wrong = |found: String, what: &str| {
        refuse(
            format!("{what} in the bracket from {}", bracket.floor),
            found,
        )
    };
    if bracket.floor != floor {
        return refuse(
            format!("a bracket from {floor}, where the one before ends"),
            bracket.floor.to_string(),
        );
    }
    if bracket.cap <= bracket.floor {
        return wrong(bracket.cap.to_string(), "a cap above the floor");
    }
    let least = before.map_or(Rate(0), |before| before.rate);
    if bracket.rate <= least || i128::from(bracket.rate.0) > RATE_UNITS {
        return wrong(bracket.rate.to_string(), "a rising rate of at most 1");
    }
    let most = before.map_or(LEVERAGE_MAX, |before| before.leverage_max);
    if !(1..=most).contains(&bracket.leverage_max) {
        let what = format!("a leverage from 1 to {most}");
        return wrong(bracket.leverage_max.to_string(), &what);
    }
    let expected = before.map_or(Money::ZERO, |before| before.maintenance(floor));
    let jump = floor.share(bracket.rate) - bracket.amount - expected;
    if jump.0.abs() > expected.0 / JUMP_PART_MAX {
        let what = format!(
            "an amount of {}, so that the maintenance margin does not jump,",
            floor.share(bracket.rate) - expected
        );
        return wrong(bracket.amount.to_string(), &what);
    }
    Ok(())
}

/// How positions of derivatives are backed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: nothing is needed, and nothing is liquidated.
    #[default]
    None,
    /// By everything that the account has in their currency.
    Cross,
    /// Each by what was set aside for it when it was opened.
    Isolated,
}

impl Mode {
    /// The mode with this configuration name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Self::None),
            "cross" => Ok(Self::Cross),
            "isolated" => Ok(Self::Isolated),
            found => {
                let found = format!("{found:?}");
                Err(Error::invalid("margin", "none, cross or isolated", found))
            }
        }
    }
}

/// A position as the margin rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// How its instrument is valued.
    pub valuer: &'a Valuer,
    /// Its instrument's margin table.
    pub brackets: &'a Brackets,
    /// Signed lots; below 0 is short.
    pub qty_lots: i64,
    /// Value at its entry prices, in the sense of [`Valuer::value`].
    pub entry_value: Money,
}

impl Held<'_> {
    /// Value at a mark, in the sense of [`Valuer::value`]; that at entry while there is no mark.
    pub fn value(&self, mark: Option<Px>) -> Money {
        mark.and_then(|mark| self.valuer.value_at(mark, self.qty_lots))
            .unwrap_or(self.entry_value)
    }
}

/// What stands against what is needed: an account's cross margin in one currency, or one isolated
/// position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Solvency {
    /// Margin balance: wallet and unrealized profit.
    pub balance: Money,
    /// Maintenance margin.
    pub maintenance: Money,
}

impl Solvency {
    /// A wallet without positions.
    pub fn of_wallet(wallet: Money) -> Self {
        Self {
            balance: wallet,
            maintenance: Money::ZERO,
        }
    }

    /// With a position at its mark, or at its entry price while there is no mark.
    #[must_use]
    pub fn with(self, held: &Held<'_>, mark: Option<Px>) -> Self {
        let value = held.value(mark);
        Self {
            balance: self.balance + (value - held.entry_value),
            maintenance: self.maintenance + held.brackets.maintenance(value.abs()),
        }
    }

    /// Whether the margin ratio, maintenance margin ÷ margin balance, has reached 100 %.
    pub fn is_liquidatable(&self) -> bool {
        self.maintenance > Money::ZERO && self.balance <= self.maintenance
    }
}

#[cfg(test)]
mod tests;
