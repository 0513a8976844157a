//! The order-by-order book at the Python boundary.

use cobalt_core::event::Side;
use cobalt_core::l3::{Fault, Order, OrderBook as CoreBook};
use numpy::PyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Id, side, price in ticks, size in lots, whether it is in flight.
type OrderTuple = (u64, u8, i64, i64, bool);

/// An order-by-order book; see `engine/_core.pyi`.
#[pyclass]
struct OrderBook(CoreBook);

fn side(code: u8) -> PyResult<Side> {
    Side::from_u8(code)
        .filter(|&side| side != Side::None)
        .ok_or_else(|| PyValueError::new_err(format!("side: expected 1 or 2, found {code}")))
}

fn tuple(order: Order) -> OrderTuple {
    (
        order.id,
        order.side as u8,
        order.px_ticks,
        order.qty_lots,
        order.is_in_flight,
    )
}

#[pymethods]
impl OrderBook {
    #[new]
    fn new() -> Self {
        Self(CoreBook::new())
    }

    fn add(
        &mut self,
        id: u64,
        side: u8,
        px_ticks: i64,
        qty_lots: i64,
    ) -> PyResult<Option<&'static str>> {
        let fault = self.0.add(id, self::side(side)?, px_ticks, qty_lots);
        Ok(fault.map(Fault::name))
    }

    fn change(
        &mut self,
        id: u64,
        side: u8,
        px_ticks: i64,
        qty_lots: i64,
    ) -> PyResult<Option<&'static str>> {
        let fault = self.0.change(id, self::side(side)?, px_ticks, qty_lots);
        Ok(fault.map(Fault::name))
    }

    fn delete(&mut self, id: u64) -> Option<&'static str> {
        self.0.delete(id).1.map(Fault::name)
    }

    fn set_unnamed(
        &mut self,
        side: u8,
        px_ticks: i64,
        qty_lots: i64,
    ) -> PyResult<Option<&'static str>> {
        let fault = self.0.set_unnamed(self::side(side)?, px_ticks, qty_lots);
        Ok(fault.map(Fault::name))
    }

    fn unnamed(&self, side: u8, px_ticks: i64) -> PyResult<i64> {
        Ok(self.0.unnamed(self::side(side)?, px_ticks))
    }

    fn rest(&mut self, id: u64) -> bool {
        self.0.rest(id)
    }

    fn rest_over(&mut self, id: u64) -> Vec<OrderTuple> {
        self.0.rest_over(id).into_iter().map(tuple).collect()
    }

    fn in_flight(&self) -> Vec<u64> {
        self.0.in_flight().to_vec()
    }

    fn order(&self, id: u64) -> Option<OrderTuple> {
        self.0.order(id).map(tuple)
    }

    fn best(&self, side: u8) -> PyResult<Option<(i64, i64)>> {
        let best = self.0.best(self::side(side)?);
        Ok(best.map(|(px, qty, _)| (px, qty)))
    }

    fn qty_at(&self, side: u8, px_ticks: i64) -> PyResult<i64> {
        Ok(self.0.qty_at(self::side(side)?, px_ticks))
    }

    /// The best levels, best first.
    #[pyo3(signature = (side, count=None))]
    fn levels<'py>(
        &self,
        py: Python<'py>,
        side: u8,
        count: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let levels = self.0.levels(self::side(side)?);
        let rows: Vec<Vec<i64>> = levels
            .take(count.unwrap_or(usize::MAX))
            .map(|(px, qty, orders)| vec![px, qty, i64::from(orders)])
            .collect();
        if rows.is_empty() {
            return Ok(PyArray2::zeros(py, [0, 3], false));
        }
        Ok(PyArray2::from_vec2(py, &rows)?)
    }

    fn queue(&self, side: u8, px_ticks: i64) -> PyResult<Vec<(u64, i64)>> {
        let queue = self.0.queue(self::side(side)?, px_ticks);
        Ok(queue.map(|order| (order.id, order.qty_lots)).collect())
    }

    fn ahead(&self, id: u64) -> Option<i64> {
        self.0.ahead(id)
    }

    fn take_changes(&mut self) -> Vec<(u8, i64, i64)> {
        let changes = self.0.take_changes().into_iter();
        changes
            .map(|(side, px, qty)| (side as u8, px, qty))
            .collect()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.0.counts();
        let dict = PyDict::new(py);
        for (name, value) in [
            ("added", counts.added),
            ("changed", counts.changed),
            ("deleted", counts.deleted),
            ("crossing", counts.crossing),
            ("evicted", counts.evicted),
        ] {
            dict.set_item(name, value)?;
        }
        for (fault, value) in Fault::ALL.into_iter().zip(counts.faults) {
            dict.set_item(fault.name(), value)?;
        }
        Ok(dict)
    }
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<OrderBook>()
}
