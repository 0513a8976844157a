//! Recorded rows as columns, ready for Parquet.

use cobalt_core::kernel::{EquityRow, Fill, FillRow, HORIZONS_NS, Kernel, Records};
use cobalt_core::money::{Money, Px};
use cobalt_core::order::{OrderKind, RejectCode};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::records::{average_px, side_name, stop_px};

/// Columns of the mids after a fill, one for each horizon.
const HORIZON_NAMES: [&str; HORIZONS_NS.len()] = ["mid_100ms", "mid_1s", "mid_10s", "mid_60s"];

/// `fills`, `orders`, `placements`, `equity` and `funding`, each a dictionary of columns: numpy arrays
/// for numbers, lists for text and for numbers that may be missing.
pub fn build<'py>(
    py: Python<'py>,
    kernel: &Kernel,
    records: &Records,
) -> PyResult<Bound<'py, PyDict>> {
    let tables = PyDict::new(py);
    tables.set_item("fills", fills(py, kernel, records)?)?;
    tables.set_item("orders", orders(py, kernel, records)?)?;
    tables.set_item("placements", placements(py, kernel, records)?)?;
    tables.set_item("equity", equity(py, kernel, records)?)?;
    tables.set_item("funding", funding(py, kernel, records)?)?;
    Ok(tables)
}

fn fills<'py>(py: Python<'py>, kernel: &Kernel, records: &Records) -> PyResult<Bound<'py, PyDict>> {
    let rows = || records.fills.iter().map(|row| row.fill);
    let instrument = |index: u16| &kernel.markets[usize::from(index)].instrument;
    let columns = PyDict::new(py);
    let ints = |get: &dyn Fn(Fill) -> i64| PyArray1::from_iter(py, rows().map(get));
    let floats = |get: &dyn Fn(Fill) -> f64| PyArray1::from_iter(py, rows().map(get));
    let text = |get: &dyn Fn(Fill) -> String| PyList::new(py, rows().map(get));
    columns.set_item("ts_event_ns", ints(&|f| f.ts_event_ns))?;
    columns.set_item("ts_recv_ns", ints(&|f| f.ts_recv_ns))?;
    columns.set_item(
        "instrument",
        text(&|f| instrument(f.instrument).id.clone())?,
    )?;
    columns.set_item("order_id", ints(&|f| f.order.cast_signed()))?;
    columns.set_item("side", text(&|f| side_name(f.side).to_owned())?)?;
    columns.set_item("px", floats(&|f| instrument(f.instrument).px(f.px_ticks)))?;
    columns.set_item("qty", floats(&|f| instrument(f.instrument).qty(f.qty_lots)))?;
    columns.set_item("px_ticks", ints(&|f| f.px_ticks))?;
    columns.set_item("qty_lots", ints(&|f| f.qty_lots))?;
    columns.set_item(
        "liquidity",
        text(&|f| if f.maker { "maker" } else { "taker" }.to_owned())?,
    )?;
    columns.set_item("fee", floats(&|f| f.fee.to_f64()))?;
    columns.set_item(
        "currency",
        text(&|f| instrument(f.instrument).settlement().to_owned())?,
    )?;
    columns.set_item(
        "position",
        floats(&|f| instrument(f.instrument).qty(f.position_lots)),
    )?;
    columns.set_item("realized_pnl", floats(&|f| f.realized.to_f64()))?;
    let mids = |get: &dyn Fn(&FillRow) -> Option<i64>| {
        let px = |row: &FillRow| Some(instrument(row.fill.instrument).px(get(row)?) / 2.0);
        list(py, records.fills.iter().map(px))
    };
    columns.set_item("mid", mids(&|row| row.mid_px_x2)?)?;
    for (at, name) in HORIZON_NAMES.into_iter().enumerate() {
        columns.set_item(name, mids(&|row| row.later_mid_px_x2[at])?)?;
    }
    Ok(columns)
}

fn orders<'py>(
    py: Python<'py>,
    kernel: &Kernel,
    records: &Records,
) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    let rows = || {
        records.orders.iter().map(|order| {
            (
                order,
                &kernel.markets[usize::from(order.request.instrument)].instrument,
            )
        })
    };
    let limit = |order: &cobalt_core::order::Order| order.request.kind == OrderKind::Limit;
    columns.set_item(
        "order_id",
        PyArray1::from_iter(py, rows().map(|(o, _)| o.id.cast_signed())),
    )?;
    columns.set_item("instrument", list(py, rows().map(|(_, i)| i.id.clone()))?)?;
    columns.set_item(
        "side",
        list(py, rows().map(|(o, _)| side_name(o.request.side)))?,
    )?;
    let kind = rows().map(|(o, _)| o.request.type_name());
    columns.set_item("type", list(py, kind)?)?;
    let tif = rows().map(|(o, _)| o.request.tif.name());
    columns.set_item("tif", list(py, tif)?)?;
    columns.set_item(
        "post_only",
        list(py, rows().map(|(o, _)| o.request.post_only))?,
    )?;
    let reducing = rows().map(|(o, _)| o.request.reduce_only);
    columns.set_item("reduce_only", list(py, reducing)?)?;
    let list_id = rows().map(|(o, _)| o.request.link.map(|link| link.list));
    columns.set_item("list_id", list(py, list_id)?)?;
    let names = rows().map(|(o, _)| kernel.client_id(o.id));
    columns.set_item("client_id", list(py, names)?)?;
    let stops = rows().map(|(o, i)| stop_px(o, i));
    columns.set_item("stop_px", list(py, stops)?)?;
    // What was off its step has no number of steps, and is missing rather than 0.
    let off = |order: &cobalt_core::order::Order, code| order.reject == Some(code);
    let px = rows().map(|(o, i)| {
        let known = limit(o) && !off(o, RejectCode::PxOffTick);
        known.then(|| i.px(o.request.px_ticks))
    });
    columns.set_item("px", list(py, px)?)?;
    let qty =
        rows().map(|(o, i)| (!off(o, RejectCode::QtyOffLot)).then(|| i.qty(o.request.qty_lots)));
    columns.set_item("qty", list(py, qty)?)?;
    let filled = rows().map(|(o, i)| i.qty(o.filled_lots));
    columns.set_item("filled_qty", PyArray1::from_iter(py, filled))?;
    columns.set_item("avg_px", list(py, rows().map(|(o, i)| average_px(o, i)))?)?;
    columns.set_item("status", list(py, rows().map(|(o, _)| o.status.name()))?)?;
    let code = rows().map(|(o, _)| o.reject.map(RejectCode::name));
    columns.set_item("reject_code", list(py, code)?)?;
    let submitted = rows().map(|(o, _)| o.ts_submit_ns);
    columns.set_item("ts_submit_ns", PyArray1::from_iter(py, submitted))?;
    let mids = rows().map(|(o, i)| o.arrival_mid_px_x2.map(|px| i.px(px) / 2.0));
    columns.set_item("arrival_mid", list(py, mids)?)?;
    columns.set_item(
        "ts_accept_ns",
        list(py, rows().map(|(o, _)| o.ts_accept_ns))?,
    )?;
    columns.set_item(
        "ts_exchange_ns",
        list(py, rows().map(|(o, _)| o.ts_exchange_ns))?,
    )?;
    columns.set_item("ts_done_ns", list(py, rows().map(|(o, _)| o.ts_done_ns))?)?;
    Ok(columns)
}

fn placements<'py>(
    py: Python<'py>,
    kernel: &Kernel,
    records: &Records,
) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    let rows = || {
        records
            .placements
            .iter()
            .map(|row| (row, &kernel.markets[usize::from(row.instrument)].instrument))
    };
    let ids = rows().map(|(row, _)| row.order.cast_signed());
    columns.set_item("order_id", PyArray1::from_iter(py, ids))?;
    columns.set_item("instrument", list(py, rows().map(|(_, i)| i.id.clone()))?)?;
    let times = rows().map(|(row, _)| row.ts_event_ns);
    columns.set_item("ts_event_ns", PyArray1::from_iter(py, times))?;
    let px = rows().map(|(row, i)| i.px(row.px_ticks));
    columns.set_item("px", PyArray1::from_iter(py, px))?;
    let qty = rows().map(|(row, i)| i.qty(row.qty_lots));
    columns.set_item("qty", PyArray1::from_iter(py, qty))?;
    Ok(columns)
}

fn equity<'py>(
    py: Python<'py>,
    kernel: &Kernel,
    records: &Records,
) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    let rows = || {
        records
            .equity
            .iter()
            .map(|row| (row, &kernel.markets[usize::from(row.instrument)]))
    };
    let floats = |value: Option<Money>| value.map(Money::to_f64);
    columns.set_item(
        "ts_ns",
        PyArray1::from_iter(py, rows().map(|(r, _)| r.ts_ns)),
    )?;
    columns.set_item(
        "instrument",
        list(py, rows().map(|(_, m)| m.instrument.id.clone()))?,
    )?;
    let currency = rows().map(|(_, m)| m.instrument.settlement().to_owned());
    columns.set_item("currency", list(py, currency)?)?;
    let mid = rows().map(|(r, m)| r.mid_px_x2.map(|px| m.instrument.px(px) / 2.0));
    columns.set_item("mid", list(py, mid)?)?;
    let mark = rows().map(|(r, _)| r.mark.map(Px::to_f64));
    columns.set_item("mark", list(py, mark)?)?;
    let position = rows().map(|(r, m)| m.instrument.qty(r.position_lots));
    columns.set_item("position", PyArray1::from_iter(py, position))?;
    let realized = rows().map(|(r, _)| r.realized.to_f64());
    columns.set_item("realized_pnl", PyArray1::from_iter(py, realized))?;
    columns.set_item(
        "unrealized_pnl",
        list(py, rows().map(|(r, _)| floats(r.unrealized)))?,
    )?;
    columns.set_item(
        "fees",
        PyArray1::from_iter(py, rows().map(|(r, _)| r.fees.to_f64())),
    )?;
    let money = |get: &dyn Fn(&EquityRow) -> Money| {
        PyArray1::from_iter(py, records.equity.iter().map(|row| get(row).to_f64()))
    };
    columns.set_item("funding", money(&|row| row.funding))?;
    columns.set_item("liquidation_fees", money(&|row| row.liquidation_fees))?;
    columns.set_item("insurance", money(&|row| row.insurance))?;
    columns.set_item("equity", list(py, rows().map(|(r, _)| floats(r.equity)))?)?;
    Ok(columns)
}

fn funding<'py>(
    py: Python<'py>,
    kernel: &Kernel,
    records: &Records,
) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    let rows = || {
        records
            .fundings
            .iter()
            .map(|row| (row, &kernel.markets[usize::from(row.instrument)].instrument))
    };
    let floats = |values: Vec<f64>| PyArray1::from_vec(py, values);
    let times = rows().map(|(row, _)| row.ts_event_ns);
    columns.set_item("ts_event_ns", PyArray1::from_iter(py, times))?;
    let times = rows().map(|(row, _)| row.ts_recv_ns);
    columns.set_item("ts_recv_ns", PyArray1::from_iter(py, times))?;
    columns.set_item("instrument", list(py, rows().map(|(_, i)| i.id.clone()))?)?;
    let held = rows().map(|(row, i)| i.qty(row.position_lots)).collect();
    columns.set_item("position", floats(held))?;
    let marks = rows().map(|(row, _)| row.mark.to_f64()).collect();
    columns.set_item("mark", floats(marks))?;
    let rates = rows().map(|(row, _)| row.rate.to_f64()).collect();
    columns.set_item("rate", floats(rates))?;
    let amounts = rows().map(|(row, _)| row.amount.to_f64()).collect();
    columns.set_item("amount", floats(amounts))?;
    let currency = rows().map(|(_, i)| i.settlement().to_owned());
    columns.set_item("currency", list(py, currency)?)?;
    Ok(columns)
}

fn list<'py, T>(py: Python<'py>, values: impl Iterator<Item = T>) -> PyResult<Bound<'py, PyList>>
where
    T: IntoPyObject<'py>,
{
    PyList::new(py, values.collect::<Vec<_>>())
}
