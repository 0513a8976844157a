//! What is traded: contract, tick, lot, minimums and fees. All of it is configuration.

use crate::decimal::Step;
use crate::error::{Error, Result};

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
