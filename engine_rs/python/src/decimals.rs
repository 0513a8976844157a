//! Whole columns of decimal text and of floats to whole steps, for the readers of vendor files.

use cobalt_core::decimal::Step;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_py;

/// Reasons that are put in words; further rows are named by their index only.
const REASONS_MAX: usize = 1000;

/// Counts of steps, and the rows that have none.
#[derive(Default)]
struct Counted {
    steps: Vec<i64>,
    bad: Vec<i64>,
    reasons: Vec<String>,
    rounded: Vec<i64>,
}

impl Counted {
    fn with_capacity(rows: usize) -> Self {
        Self {
            steps: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    fn push_bad(&mut self, reason: impl FnOnce() -> String) {
        self.bad.push(self.steps.len().cast_signed() as i64);
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason());
        }
        self.steps.push(0);
    }

    fn push_rounded(&mut self, steps: i64) {
        self.rounded.push(self.steps.len().cast_signed() as i64);
        self.steps.push(steps);
    }
}

type Column<'py, T> = Bound<'py, PyArray1<T>>;

/// Texts as counts of `step`; text `i` is `data[offsets[i]..offsets[i + 1]]`, as Arrow keeps it.
/// Returns the counts, the indices of texts that have none (0 in the counts), the reasons of the
/// first 1,000 of those, and, where `nearest_places` allows texts of so many decimal places to be
/// taken for the nearest step, the indices of those that were.
#[pyfunction]
#[pyo3(signature = (offsets, data, step, nearest_places=None))]
#[allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    reason = "arguments and results as PyO3 wants them"
)]
fn decimal_steps<'py>(
    py: Python<'py>,
    offsets: PyReadonlyArray1<'py, i32>,
    data: PyReadonlyArray1<'py, u8>,
    step: &str,
    nearest_places: Option<u32>,
) -> PyResult<(
    Column<'py, i64>,
    Column<'py, i64>,
    Vec<String>,
    Column<'py, i64>,
)> {
    let step = Step::parse(step).map_err(to_py)?;
    let (offsets, data) = (offsets.as_slice()?, data.as_slice()?);
    let counted = py
        .detach(|| count_texts(offsets, data, step, nearest_places))
        .ok_or_else(|| {
            PyValueError::new_err(format!(
                "offsets: expected places within the {} bytes of data, ascending",
                data.len()
            ))
        })?;
    Ok((
        PyArray1::from_vec(py, counted.steps),
        PyArray1::from_vec(py, counted.bad),
        counted.reasons,
        PyArray1::from_vec(py, counted.rounded),
    ))
}

/// `None` where an offset lies outside the data.
fn count_texts(
    offsets: &[i32],
    data: &[u8],
    step: Step,
    nearest_places: Option<u32>,
) -> Option<Counted> {
    let mut counted = Counted::with_capacity(offsets.len());
    for pair in offsets.windows(2) {
        let start = usize::try_from(pair[0]).ok()?;
        let end = usize::try_from(pair[1]).ok()?;
        let text = data.get(start..end)?;
        let error = match step.count(text) {
            Ok(steps) => {
                counted.steps.push(steps);
                continue;
            }
            Err(error) => error,
        };
        match nearest_places.map(|places| step.count_nearest(text, places)) {
            Some(Ok((steps, _))) => counted.push_rounded(steps),
            Some(Err(error)) => counted.push_bad(|| error.to_string()),
            None => counted.push_bad(|| error.to_string()),
        }
    }
    Some(counted)
}

/// Floats as counts of `step`. A float is taken for the multiple that it denotes if it lies within
/// `tolerance` steps of it, plus four units in the last place of the count, which is what a product
/// or a quotient on the way to the file may be off; a count whose last place is worth more than
/// that denotes no multiple. Returns what [`decimal_steps`] does, but for the rounded ones.
#[pyfunction]
#[pyo3(signature = (values, step, tolerance=1e-6))]
#[allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    reason = "arguments and results as PyO3 wants them"
)]
fn float_steps<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, f64>,
    step: &str,
    tolerance: f64,
) -> PyResult<(Column<'py, i64>, Column<'py, i64>, Vec<String>)> {
    let step = Step::parse(step).map_err(to_py)?;
    if !(0.0..0.5).contains(&tolerance) {
        return Err(PyValueError::new_err(format!(
            "tolerance: expected a share of a step from 0 to below 0.5, found {tolerance}"
        )));
    }
    let values = values.as_slice()?;
    let counted = py.detach(|| count_floats(values, step, tolerance));
    Ok((
        PyArray1::from_vec(py, counted.steps),
        PyArray1::from_vec(py, counted.bad),
        counted.reasons,
    ))
}

/// 2^51: beyond it neighbouring floats are half a step and more apart.
const COUNT_MAX: f64 = 2_251_799_813_685_248.0;

#[allow(
    clippy::cast_possible_truncation,
    reason = "the range is checked first"
)]
fn count_floats(values: &[f64], step: Step, tolerance: f64) -> Counted {
    let (mantissa, places) = step.parts();
    #[allow(clippy::cast_precision_loss, reason = "floats were given")]
    let (scale, mantissa) = (10f64.powi(places.cast_signed()), mantissa as f64);
    let mut counted = Counted::with_capacity(values.len());
    for &value in values {
        let count = value * scale / mantissa;
        let nearest = count.round();
        let allowed = tolerance + 4.0 * f64::EPSILON * count.abs();
        if (count - nearest).abs() <= allowed && count.abs() < COUNT_MAX {
            counted.steps.push(nearest as i64);
        } else if count.abs() < COUNT_MAX {
            counted.push_bad(|| format!("{value:?} is not a multiple of the step {step}"));
        } else {
            counted.push_bad(|| {
                format!(
                    "decimal: expected a number of at most 2^51 steps of {step}, found {value:?}"
                )
            });
        }
    }
    counted
}

/// Adds this module's names.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(decimal_steps, m)?)?;
    m.add_function(wrap_pyfunction!(float_steps, m)?)
}
