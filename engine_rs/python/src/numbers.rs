//! Numbers as users write them, to whole steps.

use cobalt_core::decimal::Step;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

/// Floats this close to a whole step (as a share of it) count as that step: sums such as
/// `best_bid - 0.1` are a few units in the last place off.
const STEP_TOLERANCE: f64 = 1e-6;

/// A number as a count of steps; `None` where it is not a whole number of them. Text, `int` and
/// `Decimal` are taken exactly, a float is taken for the nearest step if it is within
/// [`STEP_TOLERANCE`] of it.
pub fn steps(name: &str, value: &Bound<'_, PyAny>, step: Step) -> PyResult<Option<i64>> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return float_steps(name, float.value(), step);
    }
    let text = if let Ok(text) = value.cast::<PyString>() {
        text.to_string()
    } else if value.is_instance_of::<PyBool>() {
        return Err(not_a_number(name, value)?);
    } else if value.is_instance_of::<PyInt>() || is_decimal(value)? {
        value
            .call_method1(
                "__format__",
                (if value.is_instance_of::<PyInt>() {
                    "d"
                } else {
                    "f"
                },),
            )?
            .extract()?
    } else if let Ok(number) = value.extract::<f64>() {
        return float_steps(name, number, step);
    } else {
        return Err(not_a_number(name, value)?);
    };
    match step.count(text.as_bytes()) {
        Ok(count) => Ok(Some(count)),
        Err(cobalt_core::Error::NotOnStep { .. }) => Ok(None),
        Err(error) => Err(PyValueError::new_err(format!("{name}: {error}"))),
    }
}

fn not_a_number(name: &str, value: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    Ok(PyTypeError::new_err(format!(
        "{name}: expected a number (text, int, Decimal or float), found {}",
        value.get_type().name()?
    )))
}

/// The number of an order; 0, which none has, for whole numbers that none could have.
pub fn order_id(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
        return Ok(value.extract().unwrap_or(0));
    }
    Err(PyTypeError::new_err(format!(
        "order_id: expected the number of an order, found {}",
        value.repr()?
    )))
}

fn is_decimal(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(value.get_type().name()? == "Decimal")
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the range is checked first"
)]
fn float_steps(name: &str, value: f64, step: Step) -> PyResult<Option<i64>> {
    let (mantissa, places) = step.parts();
    #[allow(clippy::cast_precision_loss, reason = "a float was given")]
    let count = value * 10f64.powi(places.cast_signed()) / mantissa as f64;
    if !count.is_finite() || count.abs() > 9e15 {
        return Err(PyValueError::new_err(format!(
            "{name}: expected a finite number of at most 9e15 steps of {step}, found {value}"
        )));
    }
    let nearest = count.round();
    Ok(((count - nearest).abs() <= STEP_TOLERANCE).then_some(nearest as i64))
}
