//! Models of the simulated exchange from their configuration, and those that users write in Python.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cobalt_core::decimal::Step as DecimalStep;
use cobalt_core::exchange::SelfTrade;
use cobalt_core::exchange::models::{
    BookWalk, ConstantLatency, Delay, Distribution, FeeBasis, FeeModel, FeedLatency, FillModel,
    FlatFees, InterpolatedLatency, L3Fifo, LatencyModel, LatencySample, NoPartialFill, PartialFill,
    Probability, ProbabilityQueue, QuantityFees, QueueModel, RandomLatency, RiskAverseQueue, Tier,
    TieredFees, ValueFees,
};
use cobalt_core::instrument::{FeeRate, Instrument};
use cobalt_core::kernel::MarkSource;
use cobalt_core::margin::Mode;
use cobalt_core::money::{Money, Px, div_round};
use cobalt_core::random::Random;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_py;

/// First random source of latencies; one an instrument from here on.
const PURPOSE_LATENCY: u64 = 1 << 32;

/// What a model written in Python raised, until the kernel's driver takes it.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Option<PyErr>>>);

impl Faults {
    fn put(&self, error: PyErr) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert(error);
    }

    /// The first error since the last call.
    pub fn take(&self) -> PyResult<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.take().map_or(Ok(()), Err)
    }
}

/// `engine.config.ExchangeConfig`.
#[derive(FromPyObject)]
pub struct ExchangeSpec {
    queue: String,
    queue_power: f64,
    fill: String,
    pub causal_responses: bool,
    self_trade: String,
}

impl ExchangeSpec {
    pub fn queue(&self, instrument: &Instrument) -> PyResult<Box<dyn QueueModel>> {
        queue_model(&self.queue, self.queue_power, instrument.lot)
    }

    pub fn fill(&self) -> PyResult<Box<dyn FillModel>> {
        Ok(match self.fill.as_str() {
            "no_partial" => Box::new(NoPartialFill),
            "partial" => Box::new(PartialFill),
            "walk" => Box::new(BookWalk::default()),
            found => return Err(unknown("exchange.fill", "no_partial, partial, walk", found)),
        })
    }

    pub fn self_trade(&self) -> PyResult<SelfTrade> {
        Ok(match self.self_trade.as_str() {
            "allow" => SelfTrade::Allow,
            "expire_taker" => SelfTrade::ExpireTaker,
            "expire_maker" => SelfTrade::ExpireMaker,
            "expire_both" => SelfTrade::ExpireBoth,
            found => {
                let known = "allow, expire_taker, expire_maker, expire_both";
                return Err(unknown("exchange.self_trade", known, found));
            }
        })
    }
}

/// The queue model of this name, with the exponent of those that have one.
pub fn queue_model(name: &str, n: f64, lot: DecimalStep) -> PyResult<Box<dyn QueueModel>> {
    let probability = match name {
        "risk_averse" => return Ok(Box::new(RiskAverseQueue)),
        "l3_fifo" => return Ok(Box::new(L3Fifo)),
        "power_prob" => Probability::Power(n),
        "power_prob2" => Probability::Power2(n),
        "power_prob3" => Probability::Power3(n),
        "log_prob" => Probability::Log,
        "log_prob2" => Probability::Log2,
        found => {
            let known = "risk_averse, power_prob, power_prob2, power_prob3, log_prob, log_prob2, \
                         l3_fifo";
            return Err(unknown("exchange.queue", known, found));
        }
    };
    let model = ProbabilityQueue::new(probability, lot).map_err(to_py)?;
    Ok(Box::new(model))
}

/// `engine.config.LatencyConfig`, with what its file and target name.
#[derive(FromPyObject)]
pub struct LatencySpec {
    model: String,
    order_entry_ns: i64,
    response_ns: i64,
    order_entry_std_ns: i64,
    response_std_ns: i64,
    least_ns: i64,
    order_entry_factor: f64,
    response_factor: f64,
}

impl LatencySpec {
    /// The model of the instrument with this index.
    pub fn build(
        &self,
        index: usize,
        seed: u64,
        samples: &[(i64, i64, i64)],
        target: Option<&Bound<'_, PyAny>>,
        faults: &Faults,
    ) -> PyResult<Box<dyn LatencyModel>> {
        let (entry_ns, response_ns) = (self.order_entry_ns, self.response_ns);
        let distribution = match self.model.as_str() {
            "constant" => {
                let model = ConstantLatency::new(entry_ns, response_ns).map_err(to_py)?;
                return Ok(Box::new(model));
            }
            "recorded" => {
                let samples = samples
                    .iter()
                    .map(|&(req_ns, exch_ns, resp_ns)| LatencySample {
                        req_ns,
                        exch_ns,
                        resp_ns,
                    });
                let model = InterpolatedLatency::new(samples.collect()).map_err(to_py)?;
                return Ok(Box::new(model));
            }
            "feed" => {
                let entry = (self.order_entry_factor, entry_ns);
                let response = (self.response_factor, response_ns);
                return Ok(Box::new(FeedLatency::new(entry, response).map_err(to_py)?));
            }
            "python" => {
                let target = target.ok_or_else(|| {
                    PyValueError::new_err("latency.target: expected module:Class, found none")
                })?;
                return Ok(Box::new(PythonLatency {
                    model: target.clone().unbind(),
                    faults: faults.clone(),
                }));
            }
            "normal" => Distribution::Normal,
            "lognormal" => Distribution::LogNormal,
            found => {
                let known = "constant, recorded, feed, normal, lognormal, python";
                return Err(unknown("latency.model", known, found));
            }
        };
        let random = Random::new(seed, PURPOSE_LATENCY + index as u64);
        let entry = (entry_ns, self.order_entry_std_ns);
        let response = (response_ns, self.response_std_ns);
        RandomLatency::new(distribution, entry, response, self.least_ns, random)
            .map(|model| Box::new(model) as Box<dyn LatencyModel>)
            .map_err(to_py)
    }
}

/// One element of `engine.config.FeesConfig.tiers`.
#[derive(FromPyObject)]
pub struct TierSpec {
    volume: String,
    maker: String,
    taker: String,
}

/// `engine.config.FeesConfig`.
#[derive(FromPyObject)]
pub struct FeesSpec {
    model: String,
    maker: Option<String>,
    taker: Option<String>,
    amount: Option<String>,
    tiers: Vec<TierSpec>,
    volume_30d: String,
}

impl FeesSpec {
    pub fn build(
        &self,
        instruments: &[Instrument],
        target: Option<&Bound<'_, PyAny>>,
        faults: &Faults,
    ) -> PyResult<Box<dyn FeeModel>> {
        Ok(match self.model.as_str() {
            "value" => {
                let rates = instruments.iter().map(|i| (i.maker_fee, i.taker_fee));
                Box::new(ValueFees::new(rates.collect()))
            }
            "flat" => Box::new(FlatFees {
                amount: money(
                    "fees.amount",
                    required("fees.amount", self.amount.as_ref())?,
                )?,
            }),
            "quantity" => {
                let amount =
                    |name: &'static str, text: Option<&String>| money(name, required(name, text)?);
                let maker = amount("fees.maker", self.maker.as_ref())?;
                let taker = amount("fees.taker", self.taker.as_ref())?;
                let of_lot = |amount: Money, lot: DecimalStep| {
                    let (mantissa, places) = lot.parts();
                    let unit = 10i128.pow(places);
                    Money(div_round(amount.0 * i128::from(mantissa), unit))
                };
                let amounts = instruments
                    .iter()
                    .map(|i| (of_lot(maker, i.lot), of_lot(taker, i.lot)));
                Box::new(QuantityFees::new(amounts.collect()))
            }
            "tiers" => {
                let rate = |name, text: &str| FeeRate::parse(text).map_err(|e| named(name, &e));
                let tiers = self
                    .tiers
                    .iter()
                    .map(|tier| {
                        Ok(Tier {
                            volume_min: money("fees.tiers: volume", &tier.volume)?,
                            maker: rate("fees.tiers: maker", &tier.maker)?,
                            taker: rate("fees.tiers: taker", &tier.taker)?,
                        })
                    })
                    .collect::<PyResult<_>>()?;
                let before = money("fees.volume_30d", &self.volume_30d)?;
                Box::new(TieredFees::new(tiers, before).map_err(to_py)?)
            }
            "python" => {
                let target = target.ok_or_else(|| {
                    PyValueError::new_err("fees.target: expected module:Class, found none")
                })?;
                Box::new(PythonFees {
                    model: target.clone().unbind(),
                    faults: faults.clone(),
                    instruments: instruments.to_vec(),
                })
            }
            found => {
                let known = "value, flat, quantity, tiers, python";
                return Err(unknown("fees.model", known, found));
            }
        })
    }
}

/// A latency model written in Python: `order_entry_ns(ts_ns)` and `response_ns(ts_ns)`, whole ns; a
/// negative order entry is a refusal that is known after as many ns.
struct PythonLatency {
    model: Py<PyAny>,
    faults: Faults,
}

/// A model of the user's own answered what cannot be.
fn answered_wrongly(key: &str, method: &str, expected: &str, found: &Bound<'_, PyAny>) -> PyErr {
    let shown = found
        .repr()
        .map_or_else(|_| "something else".to_owned(), |text| text.to_string());
    PyValueError::new_err(format!(
        "{key}: {method} expected to return {expected}, found {shown:.80}"
    ))
}

impl fmt::Debug for PythonLatency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PythonLatency")
    }
}

impl fmt::Debug for PythonFees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PythonFees")
    }
}

impl PythonLatency {
    fn ask(&self, method: &'static str, ts_ns: i64) -> i64 {
        let answer = Python::attach(|py| {
            let found = self.model.bind(py).call_method1(method, (ts_ns,))?;
            found.extract::<i64>().map_err(|_| {
                let expected = "a whole number of ns in 64 bits";
                answered_wrongly("latency.target", method, expected, &found)
            })
        });
        answer.unwrap_or_else(|error| {
            self.faults.put(error);
            0
        })
    }
}

impl LatencyModel for PythonLatency {
    fn order_entry(&mut self, ts_local_ns: i64) -> Delay {
        let ns = self.ask("order_entry_ns", ts_local_ns);
        if ns < 0 {
            Delay::Refused(ns.saturating_neg())
        } else {
            Delay::Arrives(ns)
        }
    }

    fn response_ns(&mut self, ts_exchange_ns: i64) -> i64 {
        self.ask("response_ns", ts_exchange_ns).max(0)
    }
}

/// A fee model written in Python: `fee(instrument, notional, qty, maker, ts_ns)`, the fee as a
/// number of the settlement currency.
struct PythonFees {
    model: Py<PyAny>,
    faults: Faults,
    instruments: Vec<Instrument>,
}

impl FeeModel for PythonFees {
    fn fee(&mut self, fill: &FeeBasis) -> Money {
        let instrument = &self.instruments[fill.instrument];
        let answer = Python::attach(|py| {
            let arguments = (
                instrument.id.as_str(),
                fill.notional.to_f64(),
                instrument.qty(fill.qty_lots),
                fill.maker,
                fill.ts_ns,
            );
            let found = self.model.bind(py).call_method1("fee", arguments)?;
            let fee = found.extract::<f64>().ok();
            let fee = fee.filter(|fee| fee.is_finite() && fee.abs() <= 1e16);
            let fee = fee.ok_or_else(|| {
                let expected = "a finite number of at most 1e16";
                answered_wrongly("fees.target", "fee", expected, &found)
            })?;
            #[allow(clippy::cast_possible_truncation, reason = "checked to fit")]
            let units = (fee * 1e12).round() as i128;
            Ok(Money(units))
        });
        answer.unwrap_or_else(|error| {
            self.faults.put(error);
            Money::ZERO
        })
    }
}

/// An amount from decimal text, exact to 1e-12 of its currency.
pub fn money(name: &str, text: &str) -> PyResult<Money> {
    Money::parse(text).map_err(|_| {
        PyValueError::new_err(format!(
            "{name}: expected a decimal of at most 12 places, within 1e16, found {text:?}"
        ))
    })
}

/// `engine.account.Account`: each list has an element for each instrument.
#[derive(FromPyObject)]
pub struct AccountSpec {
    margin: String,
    leverages: Vec<u32>,
    marks: Vec<String>,
    positions: Vec<Option<(String, String)>>,
}

impl AccountSpec {
    pub fn margin(&self) -> PyResult<Mode> {
        Mode::parse(&self.margin).map_err(|error| named("account", &error))
    }

    pub fn leverage(&self, index: usize) -> u32 {
        self.leverages[index]
    }

    pub fn mark(&self, index: usize) -> PyResult<MarkSource> {
        MarkSource::parse(&self.marks[index]).map_err(|error| named("account", &error))
    }

    /// What is held at the start: signed lots and the entry price.
    pub fn position(&self, index: usize, instrument: &Instrument) -> PyResult<Option<(i64, Px)>> {
        let Some((qty, entry_px)) = &self.positions[index] else {
            return Ok(None);
        };
        let name = |what: &str| format!("account.positions.{}.{what}", instrument.id);
        let lots = instrument.lot.count(qty.as_bytes());
        let lots = lots.map_err(|error| named(&name("qty"), &error))?;
        let px = Px::parse(entry_px).map_err(|error| named(&name("entry_px"), &error))?;
        Ok(Some((lots, px)))
    }
}

fn required<'a>(name: &str, text: Option<&'a String>) -> PyResult<&'a str> {
    text.map(String::as_str)
        .ok_or_else(|| PyValueError::new_err(format!("{name}: expected an amount, found none")))
}

fn named(name: &str, error: &cobalt_core::Error) -> PyErr {
    PyValueError::new_err(format!("{name}: {error}"))
}

fn unknown(name: &str, known: &str, found: &str) -> PyErr {
    PyValueError::new_err(format!("{name}: expected one of {known}; found {found:?}"))
}
