//! Records of the core as numpy arrays: types that numpy knows, and views that copy nothing.

use numpy::ndarray::ArrayView1;
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::prelude::*;

/// A record of the core in a wrapper that is this crate's, so that it may be an array element.
///
/// # Safety
/// The wrapper is `repr(transparent)` over the record.
pub unsafe trait Record: Element {
    /// The record.
    type Core;
}

/// Elements of an array as the records that they are.
pub fn records<T: Record>(rows: &[T]) -> &[T::Core] {
    // SAFETY: `T` is `repr(transparent)` over `T::Core`.
    unsafe { std::slice::from_raw_parts(rows.as_ptr().cast(), rows.len()) }
}

/// Defines a transparent wrapper of a `repr(C)` record and the dtype of it: field, format, member.
macro_rules! row_type {
    ($(#[$doc:meta])* $name:ident, $core:ty, [$(($field:literal, $format:literal, $member:ident)),* $(,)?]) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub $core);

        // SAFETY: the record is a plain `repr(C)` struct of numbers without references, every bit
        // pattern of it is valid, and the dtype returned describes exactly its fields.
        unsafe impl numpy::Element for $name {
            const IS_COPY: bool = true;

            fn get_dtype(py: Python<'_>) -> Bound<'_, numpy::PyArrayDescr> {
                static DTYPE: pyo3::sync::PyOnceLock<Py<numpy::PyArrayDescr>> =
                    pyo3::sync::PyOnceLock::new();
                DTYPE
                    .get_or_init(py, || {
                        let fields = [$(($field, $format, std::mem::offset_of!($core, $member))),*];
                        $crate::rows::dtype(py, &fields, size_of::<$core>())
                            .expect("the dtype is valid")
                            .unbind()
                    })
                    .clone_ref(py)
                    .into_bound(py)
            }

            fn clone_ref(&self, _py: Python<'_>) -> Self {
                *self
            }
        }

        // SAFETY: so it is defined above.
        unsafe impl $crate::rows::Record for $name {
            type Core = $core;
        }
    };
}
pub(crate) use row_type;

/// A structured dtype from (name, format, offset) of each field.
pub fn dtype<'py>(
    py: Python<'py>,
    fields: &[(&str, &str, usize)],
    itemsize: usize,
) -> PyResult<Bound<'py, numpy::PyArrayDescr>> {
    use pyo3::types::{PyDict, PyList};

    let spec = PyDict::new(py);
    spec.set_item("names", PyList::new(py, fields.iter().map(|f| f.0))?)?;
    spec.set_item("formats", PyList::new(py, fields.iter().map(|f| f.1))?)?;
    spec.set_item("offsets", PyList::new(py, fields.iter().map(|f| f.2))?)?;
    spec.set_item("itemsize", itemsize)?;
    numpy::PyArrayDescr::new(py, spec)
}

/// A read-only view of records in memory that `owner` keeps alive.
///
/// # Safety
/// `rows` must stay allocated where it is as long as `owner` lives. It may be written meanwhile:
/// numpy then shows the new values.
pub unsafe fn view<'py, T: Record>(
    rows: &[T::Core],
    owner: Bound<'py, PyAny>,
) -> Bound<'py, PyArray1<T>> {
    // SAFETY: pointer and length are those of a slice, which the caller keeps allocated; `T` is
    // `repr(transparent)` over its elements.
    let array = unsafe { ArrayView1::from_shape_ptr(rows.len(), rows.as_ptr().cast()) };
    // SAFETY: as above; `owner` becomes the base object of the array.
    let array = unsafe { PyArray1::borrow_from_array(&array, owner) };
    if let Ok(exclusive) = array.try_readwrite() {
        // Ending the exclusive borrow with the flag cleared leaves the array read-only.
        let _ = exclusive.make_nonwriteable();
    }
    array
}

/// A float array of our own that Python can read but not write.
pub fn float_array(py: Python<'_>, length: usize) -> Py<PyArray1<f64>> {
    let array = PyArray1::<f64>::zeros(py, length, false);
    // Ending the exclusive borrow with the flag cleared leaves the array read-only.
    let _ = array.readwrite().make_nonwriteable();
    array.unbind()
}
