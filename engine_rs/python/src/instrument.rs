//! Instrument definitions as Python gives them.

use cobalt_core::decimal::Step as DecimalStep;
use cobalt_core::instrument::{ContractKind, FeeRate, Instrument, PxBand};
use cobalt_core::margin::{Bracket, Brackets};
use cobalt_core::money::{Money, Rate};
use pyo3::prelude::*;

/// An instrument definition, read from the attributes of `engine.instruments.Instrument`.
#[derive(FromPyObject)]
pub struct InstrumentSpec {
    pub id: String,
    kind: String,
    base: String,
    quote: String,
    tick: String,
    lot: String,
    contract_size: String,
    qty_min: String,
    qty_max: String,
    notional_min: Option<String>,
    maker_fee: String,
    taker_fee: String,
    liquidation_fee: Option<String>,
    px_band_up: Option<String>,
    px_band_down: Option<String>,
    brackets: Option<Vec<BracketSpec>>,
}

/// A row of the margin table, read from the attributes of `engine.instruments.Bracket`.
#[derive(FromPyObject)]
struct BracketSpec {
    floor: String,
    cap: String,
    rate: String,
    amount: String,
    leverage: u32,
}

impl BracketSpec {
    fn build(&self) -> cobalt_core::Result<Bracket> {
        Ok(Bracket {
            floor: Money::parse(&self.floor)?,
            cap: Money::parse(&self.cap)?,
            rate: Rate::parse(&self.rate)?,
            amount: Money::parse(&self.amount)?,
            leverage_max: self.leverage,
        })
    }
}

impl InstrumentSpec {
    pub fn build(self) -> cobalt_core::Result<Instrument> {
        let lot = DecimalStep::parse(&self.lot)?;
        Ok(Instrument {
            kind: ContractKind::parse(&self.kind)?,
            tick: DecimalStep::parse(&self.tick)?,
            lot,
            contract_size: DecimalStep::parse(&self.contract_size)?,
            qty_lots_min: lot.count(self.qty_min.as_bytes())?,
            qty_lots_max: lot.count(self.qty_max.as_bytes())?,
            notional_min: match self.notional_min.as_deref() {
                None | Some("0") => None,
                Some(text) => Some(DecimalStep::parse(text)?),
            },
            base: self.base,
            quote: self.quote,
            maker_fee: FeeRate::parse(&self.maker_fee)?,
            taker_fee: FeeRate::parse(&self.taker_fee)?,
            liquidation_fee: match self.liquidation_fee.as_deref() {
                None => Rate::default(),
                Some(text) => Rate::parse(text)?,
            },
            px_band: match (self.px_band_up.as_deref(), self.px_band_down.as_deref()) {
                (Some(up), Some(down)) => Some(PxBand::parse(up, down)?),
                _ => None,
            },
            brackets: Brackets::new(
                self.brackets
                    .unwrap_or_default()
                    .iter()
                    .map(BracketSpec::build)
                    .collect::<cobalt_core::Result<_>>()?,
            )?,
            id: self.id,
        })
    }
}
