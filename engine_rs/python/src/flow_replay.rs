//! Bars, order flow and ticks on their own, for benchmarks and for tests against plain oracles.

use cobalt_core::bars::{Bar, BarSet, interval_ns};
use cobalt_core::book::Book;
use cobalt_core::cob::WINDOWS;
use cobalt_core::decimal::Step;
use cobalt_core::event::{Event, EventKind, TS_NONE};
use cobalt_core::flow::{AggressorOrder, AggressorOrders, Flow, SIDES};
use cobalt_core::ticks::TickRing;
use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::to_py;
use crate::events::{Row, from_array, to_array};

/// Integers of 128 bits: the upper half signed, the lower unsigned.
type Wide<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u64>>);
type Table<'py> = Bound<'py, PyArray2<i64>>;
type Rows<'py> = Bound<'py, PyArray1<Row>>;

/// Volumes that a state of the flow has: one a window, the session, everything.
const VOLUMES: usize = WINDOWS + 2;

#[allow(
    clippy::cast_possible_truncation,
    reason = "the halves of an integer are what is asked for"
)]
#[allow(clippy::cast_sign_loss, reason = "as above")]
fn wide<'py>(py: Python<'py>, values: &[i128]) -> Wide<'py> {
    let upper = values.iter().map(|value| (value >> 64) as i64).collect();
    let lower = values.iter().map(|value| *value as u64).collect();
    (PyArray1::from_vec(py, upper), PyArray1::from_vec(py, lower))
}

fn table<'py, const N: usize>(py: Python<'py>, rows: &[[i64; N]]) -> PyResult<Table<'py>> {
    PyArray1::from_vec(py, rows.concat()).reshape([rows.len(), N])
}

/// The rows of an array of trades; anything else in it is an error.
fn with_trades<T>(
    py: Python<'_>,
    trades: &Bound<'_, PyAny>,
    work: impl Send + FnOnce(&[Event]) -> T,
) -> PyResult<T>
where
    T: Send,
{
    let rows = from_array("trades", trades)?;
    let readonly = rows
        .try_readonly()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let rows = crate::rows::records(readonly.as_slice()?);
    let is_other = |row: &Event| row.kind != EventKind::Trade as u8;
    if let Some(place) = rows.iter().position(is_other) {
        return Err(PyValueError::new_err(format!(
            "trades: expected rows of kind {} (trade), found kind {} in row {place}",
            EventKind::Trade as u8,
            rows[place].kind
        )));
    }
    Ok(py.detach(|| work(rows)))
}

/// When to look: after how many trades, and at what time.
fn looks(
    after: &Bound<'_, PyArray1<i64>>,
    at_ns: &Bound<'_, PyArray1<i64>>,
) -> PyResult<Vec<(usize, i64)>> {
    let readonly = |array: &Bound<'_, PyArray1<i64>>| {
        let values = array.try_readonly();
        let values = values.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok::<_, PyErr>(values.as_slice()?.to_vec())
    };
    let (after, at_ns) = (readonly(after)?, readonly(at_ns)?);
    if after.len() != at_ns.len() {
        return Err(PyValueError::new_err(format!(
            "after: expected as many values as at_ns has, {}, found {}",
            at_ns.len(),
            after.len()
        )));
    }
    if !after.is_sorted() || after.first().is_some_and(|first| *first < 0) {
        return Err(PyValueError::new_err(
            "after: expected counts of trades, ascending, found others",
        ));
    }
    let counts = after.iter().map(|count| usize::try_from(*count));
    counts
        .zip(at_ns)
        .map(|(count, at)| Ok((count?, at)))
        .collect()
}

/// Goes through all trades, and looks when it is time to.
fn visit<S>(
    state: &mut S,
    trades: &[Event],
    looks: &[(usize, i64)],
    mut take: impl FnMut(&mut S, usize, &Event),
    mut look: impl FnMut(&mut S, usize, i64),
) {
    let mut looks = looks.iter().peekable();
    for (taken, trade) in trades.iter().enumerate() {
        while let Some((_, at_ns)) = looks.next_if(|(after, _)| *after <= taken) {
            look(state, taken, *at_ns);
        }
        take(state, taken + 1, trade);
    }
    for (_, at_ns) in looks {
        look(state, trades.len(), *at_ns);
    }
}

/// Bars of several intervals: for each the number of trades received when it was emitted, start,
/// interval, open, high, low, close, volume, buy volume, trades; and the value of each.
#[pyfunction]
fn build_bars<'py>(
    py: Python<'py>,
    trades: &Bound<'py, PyAny>,
    intervals: Vec<String>,
) -> PyResult<(Table<'py>, Wide<'py>)> {
    let mut set = bar_set(intervals)?;
    let bars = with_trades(py, trades, |trades| {
        let mut bars: Vec<(i64, Bar)> = Vec::new();
        for (count, trade) in (1i64..).zip(trades) {
            let ts_ns = trade.venue_time_ns();
            while let Some(bar) = set.pop_completed(ts_ns) {
                bars.push((count, bar));
            }
            set.add(trade, ts_ns);
        }
        bars
    })?;
    let rows: Vec<[i64; 10]> = bars
        .iter()
        .map(|(count, bar)| {
            [
                *count,
                bar.ts_start_ns,
                bar.interval_ns,
                bar.open_ticks,
                bar.high_ticks,
                bar.low_ticks,
                bar.close_ticks,
                bar.volume_lots,
                bar.buy_volume_lots,
                i64::from(bar.trades),
            ]
        })
        .collect();
    let values: Vec<i128> = bars.iter().map(|(_, bar)| bar.value_px_lots).collect();
    Ok((table(py, &rows)?, wide(py, &values)))
}

fn bar_set(intervals: Vec<String>) -> PyResult<BarSet> {
    let mut set = BarSet::default();
    for name in intervals {
        set.add_interval(interval_ns(&name).map_err(to_py)?)
            .map_err(to_py)?;
    }
    Ok(set)
}

fn new_flow(tick: &str, bucket: &str) -> PyResult<Flow> {
    let tick = Step::parse(tick).map_err(to_py)?;
    Flow::new(tick, Step::parse(bucket).map_err(to_py)?).map_err(to_py)
}

/// What the flow shows after so many trades at such times.
#[derive(Default)]
struct States {
    lots: Vec<i128>,
    trades: Vec<u64>,
    ratio: Vec<f64>,
    session_start_ns: Vec<i64>,
}

impl States {
    fn read(&mut self, flow: &Flow) {
        let windows = (0..WINDOWS).map(|window| flow.window(window));
        let others = [flow.session(), flow.since_start()];
        for volume in windows.chain(others) {
            self.lots.extend(volume.lots);
            self.trades.extend(volume.trades);
            self.ratio.push(volume.ratio());
        }
        self.session_start_ns
            .push(flow.session_start_ns().unwrap_or(TS_NONE));
    }
}

/// The order flow as it is after so many trades at such times, and the profile after all of them.
#[pyfunction]
fn replay_flow<'py>(
    py: Python<'py>,
    trades: &Bound<'py, PyAny>,
    tick: &str,
    bucket: &str,
    after: &Bound<'py, PyArray1<i64>>,
    at_ns: &Bound<'py, PyArray1<i64>>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut flow = new_flow(tick, bucket)?;
    let looks = looks(after, at_ns)?;
    let count = looks.len();
    let (mut flow, states) = with_trades(py, trades, move |trades| {
        let mut states = States::default();
        visit(
            &mut flow,
            trades,
            &looks,
            |flow, _, trade| flow.trade(trade),
            |flow, _, at_ns| {
                flow.advance(at_ns);
                states.read(flow);
            },
        );
        (flow, states)
    })?;
    let out = PyDict::new(py);
    out.set_item("lots", wide(py, &states.lots))?;
    let trades: Bound<'_, PyArray3<u64>> =
        PyArray1::from_vec(py, states.trades).reshape([count, VOLUMES, SIDES])?;
    out.set_item("trades", trades)?;
    let ratio: Bound<'_, PyArray2<f64>> =
        PyArray1::from_vec(py, states.ratio).reshape([count, VOLUMES])?;
    out.set_item("ratio", ratio)?;
    let starts = PyArray1::from_vec(py, states.session_start_ns);
    out.set_item("session_start_ns", starts)?;
    out.set_item("profile", flow.profile().buckets().collect::<Vec<_>>())?;
    out.set_item("outside", flow.profile().outside())?;
    out.set_item("early_trades", flow.early_trades())?;
    out.set_item("bytes", flow.bytes())?;
    Ok(out)
}

/// The aggressors' orders of trades, the clock looked at after so many trades at such times: for
/// each the number of trades received and our clock when it was emitted, side, venue time, receive
/// time, first and last price, trades, levels; and the lots and the value of each.
#[pyfunction]
fn aggressor_orders<'py>(
    py: Python<'py>,
    trades: &Bound<'py, PyAny>,
    after: &Bound<'py, PyArray1<i64>>,
    at_ns: &Bound<'py, PyArray1<i64>>,
) -> PyResult<(Table<'py>, Wide<'py>, Wide<'py>)> {
    let looks = looks(after, at_ns)?;
    let found = with_trades(py, trades, move |trades| {
        let mut state = (AggressorOrders::default(), Vec::new());
        visit(
            &mut state,
            trades,
            &looks,
            |(orders, found), count, trade| {
                let order = orders.trade(trade);
                found.extend(order.map(|order| (count, trade.ts_recv_ns, order)));
            },
            |(orders, found), count, at_ns| {
                let order = orders.advance(at_ns);
                found.extend(order.map(|order| (count, at_ns, order)));
            },
        );
        state.1
    })?;
    let rows: Vec<[i64; 9]> = found
        .iter()
        .map(|(count, known_ns, order)| order_row(*count, *known_ns, order))
        .collect();
    let lots: Vec<i128> = found.iter().map(|(_, _, order)| order.lots).collect();
    let values: Vec<i128> = found.iter().map(|row| row.2.value_px_lots).collect();
    Ok((table(py, &rows)?, wide(py, &lots), wide(py, &values)))
}

fn order_row(count: usize, known_ns: i64, order: &AggressorOrder) -> [i64; 9] {
    [
        count.cast_signed() as i64,
        known_ns,
        order.side as i64,
        order.ts_event_ns,
        order.ts_recv_ns,
        order.px_first_ticks,
        order.px_last_ticks,
        i64::from(order.trades),
        i64::from(order.levels),
    ]
}

/// Bars, order flow and aggressors' orders of trades all together, nothing of it kept: how many
/// bars, orders and sweeps there were, and lots bought less lots sold.
#[pyfunction]
fn count_flow(
    py: Python<'_>,
    trades: &Bound<'_, PyAny>,
    intervals: Vec<String>,
    tick: &str,
    bucket: &str,
) -> PyResult<(u64, u64, u64, i128)> {
    let mut set = bar_set(intervals)?;
    let mut flow = new_flow(tick, bucket)?;
    with_trades(py, trades, move |trades| {
        let (mut bars, mut orders, mut sweeps) = (0, 0, 0);
        let mut aggressors = AggressorOrders::default();
        for trade in trades {
            let ts_ns = trade.venue_time_ns();
            while set.pop_completed(ts_ns).is_some() {
                bars += 1;
            }
            set.add(trade, ts_ns);
            flow.trade(trade);
            if let Some(order) = aggressors.trade(trade) {
                orders += 1;
                sweeps += u64::from(order.is_sweep());
            }
        }
        let last = aggressors.advance(i64::MAX);
        orders += u64::from(last.is_some());
        sweeps += u64::from(last.is_some_and(|order| order.is_sweep()));
        (bars, orders, sweeps, flow.since_start().delta())
    })
}

/// The ticks of an instrument at a time, both slices, and how many were dropped: its depth messages
/// and trades in order of receipt, depth first at the same time.
#[pyfunction]
fn replay_ticks<'py>(
    py: Python<'py>,
    depth: &Bound<'py, PyAny>,
    trades: &Bound<'py, PyAny>,
    rows_max: usize,
    at_ns: i64,
) -> PyResult<(Rows<'py>, Rows<'py>, u64)> {
    let depth = from_array("depth", depth)?;
    let readonly = depth
        .try_readonly()
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let depth = crate::rows::records(readonly.as_slice()?);
    let ring = with_trades(py, trades, |trades| {
        let mut ring = TickRing::new(rows_max);
        let mut book = Book::new();
        let mut trades = trades
            .iter()
            .take_while(|trade| trade.ts_recv_ns <= at_ns)
            .peekable();
        for message in depth.split_inclusive(Event::is_last) {
            let Some(last) = message.last().filter(|row| row.ts_recv_ns <= at_ns) else {
                break;
            };
            while let Some(trade) = trades.next_if(|trade| trade.ts_recv_ns < last.ts_recv_ns) {
                ring.push(*trade);
            }
            book.apply_message(message);
            ring.push_bests(last, book.best_bid(), book.best_ask());
        }
        trades.for_each(|trade| ring.push(*trade));
        ring.advance(at_ns);
        ring
    })?;
    let (older, newer) = ring.slices();
    Ok((
        to_array(py, older.to_vec()),
        to_array(py, newer.to_vec()),
        ring.dropped(),
    ))
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(aggressor_orders, m)?)?;
    m.add_function(wrap_pyfunction!(build_bars, m)?)?;
    m.add_function(wrap_pyfunction!(count_flow, m)?)?;
    m.add_function(wrap_pyfunction!(replay_flow, m)?)?;
    m.add_function(wrap_pyfunction!(replay_ticks, m)?)
}
