//! The range of values: what observers gather.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::affine::Channels;
use quantray_core::observe::{self, Bins};

use super::array::{Array, as_float32, axis_in, elements, from_slice};
use super::run;
use crate::error::Error;

/// The smallest and the largest value, in one pass.
///
/// Parameters
/// ----------
/// input : array_like of real numbers
///     Rounded to float32 first.
/// axis : int, optional
///     The axis of channels: the range of each, over all other axes.
///
/// Returns
/// -------
/// tuple of two numpy.float32, or of two arrays of float32, shape (channels,)
///
/// Raises
/// ------
/// ValueError
///     For NaN (with count and first position), and where there is no value.
///
/// >>> import quantray as qt
/// >>> low, high = qt.min_max([[1.0, -2.0], [5.0, 0.5]])
/// >>> float(low), float(high)
/// (-2.0, 5.0)
/// >>> qt.min_max([[1.0, -2.0], [5.0, 0.5]], axis=1)
/// (array([ 1., -2.], dtype=float32), array([5. , 0.5], dtype=float32))
///
/// Source: `torch.aminmax`.
#[pyfunction]
#[pyo3(signature = (input, *, axis=None))]
pub fn min_max<'py>(
    py: Python<'py>,
    input: &Bound<'py, PyAny>,
    axis: Option<isize>,
) -> PyResult<Bound<'py, PyTuple>> {
    let x = as_float32(input, "input")?;
    let shape = x.shape();
    let values = elements::<f32>(&x);
    if values.is_empty() {
        return Err(Error::value("input", "no elements", "of at least one element").into());
    }
    let Some(axis) = axis else {
        let range = run::kernel(py, values.len(), "input", shape, || observe::min_max(values))?;
        let scalar = |v: f32| from_slice(py, &[v])?.get_item(0);
        return PyTuple::new(py, [scalar(range.min)?, scalar(range.max)?]);
    };
    let layout = Channels::of(shape, axis_in("axis", axis, shape.len())?);
    let ranges =
        run::kernel(py, values.len(), "input", shape, || observe::min_max_per_channel(values, layout))?;
    let min: Vec<f32> = ranges.iter().map(|r| r.min).collect();
    let max: Vec<f32> = ranges.iter().map(|r| r.max).collect();
    PyTuple::new(py, [from_slice(py, &min)?, from_slice(py, &max)?])
}

/// How many values lie in bins of width `2**exponent`, from number `first` on: what observers of histograms gather.
///
/// Number `j` from 0 on begins at `j * 2**exponent`; number `-1 - j` holds the negatives of that bin's values. Values
/// outside are not counted.
#[pyfunction(name = "_histogram")]
pub fn histogram<'py>(
    py: Python<'py>,
    input: &Bound<'py, PyAny>,
    exponent: i32,
    first: i32,
    bins: usize,
) -> PyResult<Array<'py>> {
    if !(-149..=127).contains(&exponent) {
        return Err(Error::value("exponent", exponent, "from -149 to 127").into());
    }
    let x = as_float32(input, "input")?;
    let values = elements::<f32>(&x);
    let bins = Bins { exponent, first, len: bins };
    let counts = run::kernel(py, values.len(), "input", x.shape(), || observe::histogram(values, bins))?;
    from_slice(py, &counts)
}

/// Exact sums of the finite values and of their squares, by exponent: four arrays of 256 integers, which add up.
///
/// For each exponent `e`, of values `m * 2**(max(e, 1) - 150)`: how many, and the sums of `m`, of the low 24 bits of
/// `m * m`, and of the bits above them.
#[pyfunction(name = "_power_sums")]
pub fn power_sums<'py>(py: Python<'py>, input: &Bound<'py, PyAny>) -> PyResult<[Array<'py>; 4]> {
    let x = as_float32(input, "input")?;
    let values = elements::<f32>(&x);
    let found = run::kernel(py, values.len(), "input", x.shape(), || observe::power_sums(values))?;
    let row = |row: &[i64]| from_slice(py, row);
    Ok([row(&found.counts)?, row(&found.sums)?, row(&found.squares_low)?, row(&found.squares_high)?])
}
