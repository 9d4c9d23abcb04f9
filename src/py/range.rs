//! The range of values: what observers gather.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::array::{as_float32, axis_in, elements, from_slice};
use super::run;
use crate::affine::Channels;
use crate::error::Error;
use crate::observe;

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
