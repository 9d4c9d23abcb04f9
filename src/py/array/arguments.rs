//! Numbers, axes and lengths that users pass, and how messages name what they passed.

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::len;
use crate::error::{Error, Result};

/// A shape as Python writes it.
pub fn tuple_text(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The name of an object's type, for messages.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object".into(), |n| n.to_string())
}

/// An axis of an array with `ndim` dimensions, counted from the end where negative.
pub fn axis_in(arg: &str, axis: isize, ndim: usize) -> Result<usize> {
    let n = ndim as isize;
    if (-n..n).contains(&axis) {
        return Ok(if axis < 0 { axis + n } else { axis } as usize);
    }
    let valid = match ndim {
        0 => "an axis of the input, which has no dimensions".into(),
        _ => format!("in {} to {} for {ndim} dimensions", -n, n - 1),
    };
    Err(Error::index(arg, axis, valid))
}

/// The same for torch's methods, which take 0 and -1 where there are no dimensions.
pub fn dim_in(arg: &str, dim: isize, ndim: usize) -> Result<usize> {
    axis_in(arg, dim, ndim.max(1))
}

/// A number that has no elements, as a float64: Python and NumPy numbers, arrays of one element.
pub fn number(object: &Bound<'_, PyAny>, arg: &str) -> PyResult<f64> {
    // NumPy converts only arrays without dimensions; what observers calculate has one, of one element.
    if let Ok(a) = object.cast::<PyUntypedArray>()
        && len(a) == 1
        && b"iuf".contains(&a.dtype().kind())
    {
        return a.call_method0("item")?.extract();
    }
    object.extract::<f64>().map_err(|e| {
        if e.is_instance_of::<PyTypeError>(object.py()) {
            let several =
                arg == "scale" && object.len().is_ok_and(|n| n > 1) && !object.is_instance_of::<PyString>();
            let valid = if several { "one number; quantize_per_channel takes several" } else { "a number" };
            Error::type_(arg, describe(object), valid).into()
        } else {
            e
        }
    })
}

/// An index or a length as a function's argument. One beyond an isize is the nearest isize, which is as far out of
/// every valid range, so that it gets that range's message.
#[derive(Clone, Copy)]
pub struct Int(pub isize);

impl<'py> FromPyObject<'_, 'py> for Int {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<isize>() {
            Err(e) if e.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(if object.lt(0)? { isize::MIN } else { isize::MAX }))
            }
            Err(_) => Err(Error::type_("it", describe(&object), "an integer").into()),
            Ok(value) => Ok(Self(value)),
        }
    }
}

/// An integer: Python and NumPy integers, arrays of one; floats that are whole, as observers of float zero points give.
pub fn integer(object: &Bound<'_, PyAny>, arg: &str) -> PyResult<i64> {
    if let Ok(v) = object.extract::<i64>() {
        return Ok(v);
    }
    let item = match object.cast::<PyUntypedArray>() {
        Ok(a) if len(a) == 1 && b"iuf".contains(&a.dtype().kind()) => &a.call_method0("item")?,
        _ => object,
    };
    if let Ok(v) = item.extract::<i64>() {
        return Ok(v);
    }
    if let Ok(v) = item.extract::<f64>()
        && v.fract() == 0.0
        && v.abs() < 9e15
    {
        return Ok(v as i64);
    }
    if object.is_instance_of::<pyo3::types::PyInt>() {
        return Err(Error::value(arg, object, "a 64-bit integer").into());
    }
    Err(Error::type_(arg, describe(object), "an integer").into())
}

/// Lengths as an argument: integers from 0 on.
pub fn lengths(given: Option<Vec<Int>>, arg: &str) -> Result<Option<Vec<usize>>> {
    let Some(given) = given else { return Ok(None) };
    let found: Option<Vec<usize>> = given.iter().map(|n| usize::try_from(n.0).ok()).collect();
    match found {
        Some(found) => Ok(Some(found)),
        None => {
            let got: Vec<isize> = given.iter().map(|n| n.0).collect();
            Err(Error::value(arg, format!("{got:?}"), "lengths from 0 on"))
        }
    }
}

/// A float32 that is neither infinite nor NaN.
pub fn finite(value: f32, arg: &str) -> Result<f32> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::value(arg, value, "finite")),
    }
}

/// An object and its type, for messages.
pub fn describe(object: &Bound<'_, PyAny>) -> String {
    let text = object.repr().map_or_else(|_| "?".into(), |r| r.to_string());
    // In one line, whatever its repr.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(60).collect();
    format!("{short} ({})", type_name(object))
}

/// A NumPy dtype object by name.
pub fn dtype_named<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArrayDescr>> {
    PyArrayDescr::new(py, name)
}
