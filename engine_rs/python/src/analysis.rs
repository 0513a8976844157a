//! Pivots and indicators over arrays of bars: the code that runs strategies, bar by bar.

use cobalt_core::decimal::Step;
use cobalt_core::indicators::{Candle, Indicator, Unit};
use cobalt_core::pivots::{FloorDays, Pivot, PivotDetector, Structure, Trend};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::chart::{FLOOR_NAMES, PivotRow};
use crate::errors::to_py;

/// Columns of one length as slices; their names are the parameters named in errors.
fn columns<'a, const N: usize>(
    named: [(&str, &'a PyReadonlyArray1<'_, i64>); N],
) -> PyResult<[&'a [i64]; N]> {
    let mut found: [&[i64]; N] = [&[]; N];
    let (first, first_array) = named[0];
    let length = first_array.len()?;
    for (slot, (name, array)) in found.iter_mut().zip(named) {
        *slot = array.as_slice().map_err(|_| {
            PyValueError::new_err(format!(
                "{name}: expected a contiguous array, found one with gaps"
            ))
        })?;
        if slot.len() != length {
            return Err(PyValueError::new_err(format!(
                "{name}: expected {length} values as in {first}, found {}",
                slot.len()
            )));
        }
    }
    Ok(found)
}

/// Adds columns to a dictionary by name.
fn set_columns<T: numpy::Element>(
    dict: &Bound<'_, PyDict>,
    names: impl IntoIterator<Item = impl AsRef<str>>,
    columns: impl IntoIterator<Item = Vec<T>>,
) -> PyResult<()> {
    for (name, column) in names.into_iter().zip(columns) {
        dict.set_item(name.as_ref(), PyArray1::from_vec(dict.py(), column))?;
    }
    Ok(())
}

/// Pivots, and a trend for each.
type PivotColumns<'py> = (Bound<'py, PyArray1<PivotRow>>, Bound<'py, PyArray1<i8>>);

/// Pivots of bars in the order of their confirmation, and the trend of the level after each: 1, −1,
/// 0, or −128 where it is not known yet.
#[pyfunction]
#[pyo3(signature = (ts_start_ns, high_ticks, low_ticks, ts_confirmed_ns, k = 2, levels = 5))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "extracted from Python by value"
)]
fn find_pivots<'py>(
    py: Python<'py>,
    ts_start_ns: PyReadonlyArray1<'py, i64>,
    high_ticks: PyReadonlyArray1<'py, i64>,
    low_ticks: PyReadonlyArray1<'py, i64>,
    ts_confirmed_ns: PyReadonlyArray1<'py, i64>,
    k: usize,
    levels: usize,
) -> PyResult<PivotColumns<'py>> {
    let [starts, highs, lows, confirmed] = columns([
        ("ts_start_ns", &ts_start_ns),
        ("high_ticks", &high_ticks),
        ("low_ticks", &low_ticks),
        ("ts_confirmed_ns", &ts_confirmed_ns),
    ])?;
    let length = starts.len();
    let mut detector = PivotDetector::new(k, levels).map_err(to_py)?;
    let (pivots, trends) = py.detach(|| {
        let (mut pivots, mut trends) = (Vec::<Pivot>::new(), Vec::new());
        let mut structure = Structure::default();
        for at in 0..length {
            detector.push(starts[at], highs[at], lows[at], confirmed[at], &mut pivots);
            for pivot in &pivots[trends.len()..] {
                structure.push(*pivot);
            }
            for pivot in &pivots[trends.len()..] {
                trends.push(trend_number(&structure, usize::from(pivot.level)));
            }
        }
        (pivots.into_iter().map(PivotRow).collect::<Vec<_>>(), trends)
    });
    Ok((
        PyArray1::from_vec(py, pivots),
        PyArray1::from_vec(py, trends),
    ))
}

/// Trend of a level as a number: 1, −1, 0, or −128 where it is not known yet.
fn trend_number(structure: &Structure, level: usize) -> i8 {
    structure.trend(level).map_or(i8::MIN, Trend::sign)
}

/// What is known of market structure after each bar: lowest, highest, support and resistance of a
/// price in ticks by name, NaN where there is none, in units of tick; and the trend of each level.
#[pyfunction]
#[pyo3(signature = (ts_start_ns, high_ticks, low_ticks, px_ticks, tick, k = 2, levels = 5))]
#[allow(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    reason = "extracted from Python by value, named by keyword there"
)]
fn follow_structure<'py>(
    py: Python<'py>,
    ts_start_ns: PyReadonlyArray1<'py, i64>,
    high_ticks: PyReadonlyArray1<'py, i64>,
    low_ticks: PyReadonlyArray1<'py, i64>,
    px_ticks: PyReadonlyArray1<'py, i64>,
    tick: &str,
    k: usize,
    levels: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let [starts, highs, lows, prices] = columns([
        ("ts_start_ns", &ts_start_ns),
        ("high_ticks", &high_ticks),
        ("low_ticks", &low_ticks),
        ("px_ticks", &px_ticks),
    ])?;
    let length = starts.len();
    let tick = Step::parse(tick).map_err(to_py)?;
    let mut detector = PivotDetector::new(k, levels).map_err(to_py)?;
    let (bounds, trends) = py.detach(|| {
        let mut bounds = [(); 4].map(|()| Vec::with_capacity(length));
        let mut trends = vec![Vec::with_capacity(length); levels];
        let (mut structure, mut pivots) = (Structure::default(), Vec::new());
        for at in 0..length {
            detector.push(starts[at], highs[at], lows[at], 0, &mut pivots);
            for pivot in pivots.drain(..) {
                structure.push(pivot);
            }
            let found = structure.bounds(prices[at]);
            let found = [found.low, found.high, found.support, found.resistance];
            for (column, ticks) in bounds.iter_mut().zip(found) {
                column.push(ticks.map_or(f64::NAN, |ticks| tick.value(float(ticks))));
            }
            for (level, column) in (1..).zip(&mut trends) {
                column.push(trend_number(&structure, level));
            }
        }
        (bounds, trends)
    });
    let dict = PyDict::new(py);
    set_columns(&dict, ["low", "high", "support", "resistance"], bounds)?;
    set_columns(
        &dict,
        (1..=levels).map(|level| format!("trend_{level}")),
        trends,
    )?;
    Ok(dict)
}

/// Floor pivots that are known after each bar, by name, in units of tick; NaN without bars of the
/// day before.
#[pyfunction]
#[allow(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    reason = "extracted from Python by value, named by keyword there"
)]
fn follow_floor_pivots<'py>(
    py: Python<'py>,
    ts_start_ns: PyReadonlyArray1<'py, i64>,
    high_ticks: PyReadonlyArray1<'py, i64>,
    low_ticks: PyReadonlyArray1<'py, i64>,
    close_ticks: PyReadonlyArray1<'py, i64>,
    interval_ns: i64,
    tick: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let [starts, highs, lows, closes] = columns([
        ("ts_start_ns", &ts_start_ns),
        ("high_ticks", &high_ticks),
        ("low_ticks", &low_ticks),
        ("close_ticks", &close_ticks),
    ])?;
    let length = starts.len();
    let tick = Step::parse(tick).map_err(to_py)?;
    let found = py.detach(|| {
        let mut days = FloorDays::default();
        let mut columns = vec![Vec::with_capacity(length); FLOOR_NAMES.len()];
        for at in 0..length {
            days.push(starts[at], interval_ns, highs[at], lows[at], closes[at]);
            let found = days.latest().map(|floor| floor.levels());
            for (index, column) in columns.iter_mut().enumerate() {
                column.push(found.map_or(f64::NAN, |ticks| tick.value(ticks[index])));
            }
        }
        columns
    });
    let dict = PyDict::new(py);
    set_columns(&dict, FLOOR_NAMES, found)?;
    Ok(dict)
}

/// A whole number as a float, for the edge.
#[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
fn float(ticks: i64) -> f64 {
    ticks as f64
}

/// Marks a candle whose traded value is not known.
const VALUE_NONE: i64 = i64::MIN;

/// Σ price × lots from a traded value in 1e-8 of the quote asset, to the nearest whole product;
/// `None` beyond 128 bits.
fn px_lots(value_e8: i64, tick: Step, lot: Step) -> Option<i128> {
    let ((tick, tick_places), (lot, lot_places)) = (tick.parts(), lot.parts());
    let places = tick_places + lot_places;
    let value = i128::from(value_e8).checked_mul(10i128.checked_pow(places.saturating_sub(8))?)?;
    let unit = i128::from(tick) * i128::from(lot);
    let unit = unit.checked_mul(10i128.pow(8u32.saturating_sub(places)))?;
    Some(value.checked_add(unit / 2)?.div_euclid(unit))
}

/// Results of indicators over bars, by name, in units of tick and lot; NaN before an indicator has
/// seen enough bars. `value_e8` is what was traded, in 1e-8 of the quote asset.
#[pyfunction]
#[pyo3(signature = (names, ts_start_ns, high_ticks, low_ticks, close_ticks, volume_lots, tick, lot, value_e8 = None))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "extracted from Python by value"
)]
#[allow(
    clippy::too_many_arguments,
    reason = "named by keyword on the Python side"
)]
fn compute_indicators<'py>(
    py: Python<'py>,
    names: Vec<String>,
    ts_start_ns: PyReadonlyArray1<'py, i64>,
    high_ticks: PyReadonlyArray1<'py, i64>,
    low_ticks: PyReadonlyArray1<'py, i64>,
    close_ticks: PyReadonlyArray1<'py, i64>,
    volume_lots: PyReadonlyArray1<'py, i64>,
    tick: &str,
    lot: &str,
    value_e8: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<Bound<'py, PyDict>> {
    let [starts, highs, lows, closes, volumes] = columns([
        ("ts_start_ns", &ts_start_ns),
        ("high_ticks", &high_ticks),
        ("low_ticks", &low_ticks),
        ("close_ticks", &close_ticks),
        ("volume_lots", &volume_lots),
    ])?;
    let length = starts.len();
    let steps = (
        Step::parse(tick).map_err(to_py)?,
        Step::parse(lot).map_err(to_py)?,
    );
    let mut values = vec![None; length];
    if let Some(array) = &value_e8 {
        let [_, known] = columns([("ts_start_ns", &ts_start_ns), ("value_e8", array)])?;
        for (value, &value_e8) in values.iter_mut().zip(known) {
            if value_e8 != VALUE_NONE {
                *value = Some(px_lots(value_e8, steps.0, steps.1).ok_or_else(|| {
                    PyValueError::new_err(format!(
                        "value_e8: expected a number of tick × lot within 128 bits, found {value_e8}"
                    ))
                })?);
            }
        }
    }
    let dict = PyDict::new(py);
    for name in names {
        let mut indicator = Indicator::parse(&name).map_err(to_py)?;
        let found = py.detach(|| {
            let mut columns = vec![Vec::with_capacity(length); indicator.names().len()];
            for at in 0..length {
                indicator.push(&Candle {
                    ts_start_ns: starts[at],
                    high_ticks: highs[at],
                    low_ticks: lows[at],
                    close_ticks: closes[at],
                    volume_lots: volumes[at],
                    value_px_lots: values[at],
                });
                for (column, result) in columns.iter_mut().zip(indicator.results()) {
                    let value = result.map(|value| match indicator.unit() {
                        Unit::Number => value,
                        Unit::Price => steps.0.value(value),
                        Unit::Volume => steps.1.value(value),
                    });
                    column.push(value.unwrap_or(f64::NAN));
                }
            }
            columns
        });
        set_columns(&dict, indicator.names(), found)?;
    }
    Ok(dict)
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("VALUE_NONE", VALUE_NONE)?;
    m.add_function(wrap_pyfunction!(find_pivots, m)?)?;
    m.add_function(wrap_pyfunction!(follow_structure, m)?)?;
    m.add_function(wrap_pyfunction!(follow_floor_pivots, m)?)?;
    m.add_function(wrap_pyfunction!(compute_indicators, m)?)
}
