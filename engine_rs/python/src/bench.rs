//! Hot paths on their own, for benchmarks and for tests against plain oracles.

use std::time::Instant;

use cobalt_core::book::Book;
use cobalt_core::decimal::Step;
use cobalt_core::decode::{Binance, Market};
use cobalt_core::event::{Event, Side};
use cobalt_core::order::NewOrder;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::to_py;
use crate::events::{Row, from_array, to_array};
use crate::kernel::Kernel;

/// Price in ticks and quantity in lots of each level, best first.
type Levels<'py> = Bound<'py, PyArray2<i64>>;

/// A book and nothing else: applies depth rows and hands out all levels of both sides.
#[pyfunction]
fn replay_book<'py>(
    py: Python<'py>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<(Levels<'py>, Levels<'py>)> {
    let rows = from_array("depth", depth)?;
    let readonly = rows
        .try_readonly()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let events = crate::rows::records(readonly.as_slice()?);
    let book = py.detach(|| {
        let mut book = Book::new();
        for message in events.split_inclusive(Event::is_last) {
            book.apply_message(message);
        }
        book
    });
    let side = |side| {
        let levels: Vec<Vec<i64>> = book.levels(side).map(|(px, qty)| vec![px, qty]).collect();
        if levels.is_empty() {
            return Ok(PyArray2::zeros(py, [0, 2], false));
        }
        Ok::<_, PyErr>(PyArray2::from_vec2(py, &levels)?)
    };
    Ok((side(Side::Bid)?, side(Side::Ask)?))
}

/// The decoder and nothing else: lines of a raw Binance recording to rows, as they come, neither
/// joined nor with corrected clocks.
#[pyfunction]
fn decode_lines<'py>(
    py: Python<'py>,
    text: &[u8],
    market: &str,
    symbol: &str,
    tick: &str,
    lot: &str,
) -> PyResult<Bound<'py, PyArray1<Row>>> {
    let market = Market::parse(market).map_err(to_py)?;
    let tick = Step::parse(tick).map_err(to_py)?;
    let lot = Step::parse(lot).map_err(to_py)?;
    let mut decoder = Binance::new(market, symbol, tick, lot);
    let rows = py
        .detach(|| decode_all(&mut decoder, text))
        .map_err(PyValueError::new_err)?;
    Ok(to_array(py, rows))
}

fn decode_all(decoder: &mut Binance, text: &[u8]) -> Result<Vec<Event>, String> {
    let mut rows = Vec::new();
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let wrong = |what: &dyn std::fmt::Display| format!("line {}: {what}", index + 1);
        let space = line.iter().position(|&byte| byte == b' ');
        let (stamp, message) = line.split_at(space.ok_or_else(|| wrong(&"no receive time"))?);
        let ts_recv_ns = std::str::from_utf8(stamp)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| wrong(&"no receive time"))?;
        decoder
            .decode(&message[1..], ts_recv_ns, &mut rows)
            .map_err(|error| wrong(&error))?;
    }
    Ok(rows)
}

/// Gives one limit order as a strategy in Rust would, and returns the ns until it was on its way to
/// the exchange. To be called from a handler.
#[pyfunction]
fn time_order(
    kernel: &Bound<'_, Kernel>,
    market: u16,
    buy: bool,
    px_ticks: i64,
    qty_lots: i64,
) -> u64 {
    let side = if buy { Side::Bid } else { Side::Ask };
    let request = NewOrder::limit(market, side, px_ticks, qty_lots);
    let core = &mut kernel.borrow_mut().core;
    let started = Instant::now();
    core.submit(request);
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(decode_lines, m)?)?;
    m.add_function(wrap_pyfunction!(replay_book, m)?)?;
    m.add_function(wrap_pyfunction!(time_order, m)?)
}
