//! What is traded: contract, tick, lot, minimums and fees. All of it is configuration.

use crate::decimal::Step;
use crate::error::{Error, Result};
use crate::event::Side;
use crate::margin::Brackets;
use crate::money::{RATE_UNITS, Rate};

/// How quantity and price turn into money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractKind {
    /// Base against quote, delivered at once; settles in the quote asset.
    Spot,
    /// A derivative whose value is quantity × price; settles in the quote asset.
    Linear,
    /// A derivative of fixed quote value a contract; settles in the base asset.
    Inverse,
}

impl ContractKind {
    /// The kind with this configuration name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "spot" => Ok(Self::Spot),
            "linear" => Ok(Self::Linear),
            "inverse" => Ok(Self::Inverse),
            _ => Err(Error::invalid(
                "kind",
                "spot, linear or inverse",
                format!("{name:?}"),
            )),
        }
    }
}

/// A fee as a share of notional, in units of 1e-8; negative is a rebate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRate(pub i64);

impl FeeRate {
    /// A rate from decimal text: `0.0002` is two basis points.
    pub fn parse(text: &str) -> Result<Self> {
        let unit = Step::parse("0.00000001")?;
        let rate = unit.count(text.as_bytes())?;
        if rate.abs() >= 100_000_000 {
            return Err(Error::invalid("fee rate", "a share between -1 and 1", text));
        }
        Ok(Self(rate))
    }
}

/// The definition of one instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// `SYMBOL.VENUE`, for example `BTCUSDT-PERP.BINANCE`.
    pub id: String,
    /// How quantity and price turn into money.
    pub kind: ContractKind,
    /// Price step.
    pub tick: Step,
    /// Quantity step.
    pub lot: Step,
    /// Spot and linear: base units a unit of quantity. Inverse: quote units a contract.
    pub contract_size: Step,
    /// Smallest order, in lots.
    pub qty_lots_min: i64,
    /// Largest order, in lots.
    pub qty_lots_max: i64,
    /// Smallest order value in the quote asset; `None`: no minimum.
    pub notional_min: Option<Step>,
    /// Base asset, such as `BTC`.
    pub base: String,
    /// Quote asset, such as `USDT`.
    pub quote: String,
    /// Fee of resting orders.
    pub maker_fee: FeeRate,
    /// Fee of orders that take liquidity.
    pub taker_fee: FeeRate,
    /// Margin rules; empty where none are known, and for spot.
    pub brackets: Brackets,
    /// Fee of a liquidation, as a share of the notional that is closed.
    pub liquidation_fee: Rate,
    /// How far a limit price may lie from the mark; `None`: as far as it likes.
    pub px_band: Option<PxBand>,
}

/// The venue's limits of order prices, as multiples of the mark price: Binance's filter
/// `PERCENT_PRICE`. A purchase lies at most at mark × `up`, a sale at least at mark × `down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PxBand {
    up: i64,
    down: i64,
}

impl PxBand {
    /// A band from decimal texts such as `1.05` and `0.95`.
    pub fn parse(up: &str, down: &str) -> Result<Self> {
        let unit = Step::parse("0.00000001")?;
        let (up, down) = (unit.count(up.as_bytes())?, unit.count(down.as_bytes())?);
        if i128::from(up) < RATE_UNITS || !(0..=RATE_UNITS).contains(&i128::from(down)) {
            let found = format!("up {up}e-8, down {down}e-8");
            return Err(Error::invalid(
                "px_band",
                "up of at least 1 and down from 0 to 1",
                found,
            ));
        }
        Ok(Self { up, down })
    }

    /// Whether a limit price lies within the band around twice the mark price in ticks.
    pub fn allows(self, side: Side, px_ticks: i64, mark_px_x2: i64) -> bool {
        let px_x2 = i128::from(px_ticks) * 2 * RATE_UNITS;
        let mark_x2 = i128::from(mark_px_x2);
        if side == Side::Bid {
            px_x2 <= mark_x2 * i128::from(self.up)
        } else {
            px_x2 >= mark_x2 * i128::from(self.down)
        }
    }
}

impl Instrument {
    /// The asset that profit, fees and margin are paid in.
    pub fn settlement(&self) -> &str {
        match self.kind {
            ContractKind::Spot | ContractKind::Linear => &self.quote,
            ContractKind::Inverse => &self.base,
        }
    }

    /// Ticks as a price, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn px(&self, px_ticks: i64) -> f64 {
        self.tick.value(px_ticks as f64)
    }

    /// Lots as a quantity, for the edges only.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn qty(&self, qty_lots: i64) -> f64 {
        self.lot.value(qty_lots as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_within_the_band() {
        let band = PxBand::parse("1.05", "0.95").unwrap();
        for (side, px_ticks, allowed) in [
            (Side::Bid, 1_050, true),
            (Side::Bid, 1_051, false),
            (Side::Bid, 1, true),
            (Side::Ask, 950, true),
            (Side::Ask, 949, false),
            (Side::Ask, 100_000, true),
        ] {
            let found = band.allows(side, px_ticks, 2 * 1_000);
            assert_eq!(found, allowed, "{px_ticks}");
        }
        for (up, down) in [
            ("0.99", "0.95"),
            ("1.05", "1.01"),
            ("1.05", "-0.1"),
            ("x", "1"),
        ] {
            assert!(PxBand::parse(up, down).is_err(), "{up} {down} was accepted");
        }
    }
}
