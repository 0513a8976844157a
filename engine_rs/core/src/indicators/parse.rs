//! Indicators by name, such as `sma:20` or `macd:12,26,9`.

use super::means::{Bollinger, Ema, Macd, Sma};
use super::volume::{Obv, Vwap};
use super::wilder::{Adx, Atr, Rsi, Stochastic};
use super::{Candle, LENGTH_MAX, Rule};
use crate::error::{Error, Result};

/// What a result is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Ticks.
    Price,
    /// Lots.
    Volume,
    /// A pure number.
    Number,
}

/// An indicator with the results of the latest bar.
pub struct Indicator {
    names: Vec<String>,
    unit: Unit,
    rule: Box<dyn Rule>,
    results: Vec<Option<f64>>,
}

impl std::fmt::Debug for Indicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Indicator({}, {:?})", self.names[0], self.results)
    }
}

/// Name, default numbers, names of further results.
const KNOWN: [(&str, &[&str], &[&str]); 10] = [
    ("sma", &["20"], &[]),
    ("ema", &["20"], &[]),
    ("rsi", &["14"], &[]),
    ("macd", &["12", "26", "9"], &["signal", "histogram"]),
    ("bbands", &["20", "2"], &["middle", "lower"]),
    ("atr", &["14"], &[]),
    ("adx", &["14"], &["plus_di", "minus_di"]),
    ("stoch", &["5", "3", "3"], &["d"]),
    ("obv", &[], &[]),
    ("vwap", &[], &[]),
];

impl Indicator {
    /// An indicator by its name, with numbers behind a colon where the usual ones are not meant:
    /// `sma:n`, `ema:n`, `rsi:n`, `macd:fast,slow,signal`, `bbands:n,deviations`, `atr:n`, `adx:n`,
    /// `stoch:n,k,d`, `obv`, `vwap`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, given) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (text, None),
        };
        let known = KNOWN.iter().find(|(known, ..)| *known == name);
        let Some((_, defaults, further)) = known else {
            let names: Vec<&str> = KNOWN.iter().map(|known| known.0).collect();
            let expected = format!("one of {} (numbers behind a colon)", names.join(", "));
            return Err(Error::invalid("indicator", expected, format!("{text:?}")));
        };
        let numbers: Vec<&str> = match given {
            None => defaults.to_vec(),
            Some(numbers) => numbers.split(',').map(str::trim).collect(),
        };
        if numbers.len() != defaults.len() {
            let expected = format!("{} numbers for {name}", defaults.len());
            return Err(Error::invalid("indicator", expected, format!("{text:?}")));
        }
        let length = |index: usize, least: usize| {
            numbers[index]
                .parse()
                .ok()
                .filter(|length| (least..=LENGTH_MAX).contains(length))
                .ok_or_else(|| {
                    let expected = format!("a whole number from {least} to {LENGTH_MAX} in {name}");
                    Error::invalid("indicator", expected, format!("{text:?}"))
                })
        };
        let (rule, unit): (Box<dyn Rule>, Unit) = match name {
            "sma" => (Box::new(Sma::new(length(0, 1)?)), Unit::Price),
            "ema" => (Box::new(Ema::new(length(0, 1)?)), Unit::Price),
            "rsi" => (Box::new(Rsi::new(length(0, 2)?)), Unit::Number),
            "macd" => {
                let (fast, slow, signal) = (length(0, 2)?, length(1, 2)?, length(2, 1)?);
                if fast >= slow {
                    let expected = "a fast average that is shorter than the slow one in macd";
                    return Err(Error::invalid("indicator", expected, format!("{text:?}")));
                }
                (Box::new(Macd::new(fast, slow, signal)), Unit::Price)
            }
            "bbands" => {
                let deviations = numbers[1]
                    .parse()
                    .ok()
                    .filter(|width: &f64| width.is_finite() && *width > 0.0)
                    .ok_or_else(|| {
                        let expected = "a positive number of deviations in bbands";
                        Error::invalid("indicator", expected, format!("{text:?}"))
                    })?;
                (
                    Box::new(Bollinger::new(length(0, 2)?, deviations)),
                    Unit::Price,
                )
            }
            "atr" => (Box::new(Atr::new(length(0, 1)?)), Unit::Price),
            "adx" => (Box::new(Adx::new(length(0, 2)?)), Unit::Number),
            "stoch" => (
                Box::new(Stochastic::new(length(0, 1)?, length(1, 1)?, length(2, 1)?)),
                Unit::Number,
            ),
            "obv" => (Box::new(Obv::default()), Unit::Volume),
            _ => (Box::new(Vwap::default()), Unit::Price),
        };
        let stem = if numbers.is_empty() {
            name.to_owned()
        } else {
            format!("{name}:{}", numbers.join(","))
        };
        let mut names = vec![stem.clone()];
        names.extend(further.iter().map(|part| format!("{stem}.{part}")));
        Ok(Self {
            results: vec![None; names.len()],
            names,
            unit,
            rule,
        })
    }

    /// Names of the results: the indicator's own, then further ones behind a point.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What the results are measured in.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Takes in a complete bar.
    pub fn push(&mut self, bar: &Candle) {
        self.rule.push(bar, &mut self.results);
    }

    /// The results as of the latest bar; `None` before the indicator has seen enough bars.
    pub fn results(&self) -> &[Option<f64>] {
        &self.results
    }
}
