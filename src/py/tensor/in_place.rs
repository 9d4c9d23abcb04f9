//! Operators that assign: `q += 1` keeps the tensor, its memory and its grid, as NumPy's keeps the array and its dtype.
//! What lies beyond the grid saturates.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;

use super::QTensor;
use super::operators::float_op;
use crate::array::{Array, as_array, tuple_text};
use crate::error::Error;

impl QTensor {
    fn assign_op<'py>(slf: &Bound<'py, Self>, function: &str, other: &Bound<'py, PyAny>) -> PyResult<()> {
        let (py, me) = (slf.py(), slf.get());
        let made: Array<'py> = as_array(&float_op(function, slf.as_any(), other)?)?;
        if made.shape() != me.dims(py) {
            let valid = format!("one that broadcasts to the tensor's shape, {}", tuple_text(me.dims(py)));
            let got = format!("one that makes {} of it", tuple_text(made.shape()));
            return Err(Error::value("the operand", got, valid).into());
        }
        me.assign(py, py.Ellipsis().bind(py), made.as_any())
    }
}

macro_rules! operators {
    ($($name:ident = $function:literal;)*) => {
        #[pymethods]
        impl QTensor {$(
            fn $name<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<()> {
                Self::assign_op(slf, $function, other)
            }
        )*}
    };
}
operators! {
    __iadd__ = "add";
    __isub__ = "subtract";
    __imul__ = "multiply";
    __imatmul__ = "matmul";
    __itruediv__ = "true_divide";
    __ifloordiv__ = "floor_divide";
    __imod__ = "remainder";
}

#[pymethods]
impl QTensor {
    fn __ipow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        _modulo: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        Self::assign_op(slf, "power", other)
    }

    /// Negative values replaced by 0, in place.
    fn relu_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::take_over(slf, slf.get().relu(slf.py())?)
    }

    /// Values below `min` replaced by it, and those above `max`, in place; both rounded to the tensor's grid.
    #[pyo3(signature = (min=None, max=None))]
    fn clamp_<'py>(
        slf: &Bound<'py, Self>,
        min: Option<&Bound<'py, PyAny>>,
        max: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        Self::take_over(slf, slf.get().clamp(slf.py(), min, max)?)
    }

    /// Values below `min` replaced by it, and those above `max`; the same as `clamp`.
    #[pyo3(signature = (min=None, max=None))]
    fn clip(
        &self,
        py: Python<'_>,
        min: Option<&Bound<'_, PyAny>>,
        max: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<QTensor> {
        self.clamp(py, min, max)
    }

    /// Values below `min` replaced by it, and those above `max`, in place; the same as `clamp_`.
    #[pyo3(signature = (min=None, max=None))]
    fn clip_<'py>(
        slf: &Bound<'py, Self>,
        min: Option<&Bound<'py, PyAny>>,
        max: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        Self::clamp_(slf, min, max)
    }

    /// Sets every element to the value 0.
    fn zero_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        slf.get().assign(py, py.Ellipsis().bind(py), 0.0f64.into_pyobject(py)?.as_any())?;
        Ok(slf.clone())
    }
}

impl QTensor {
    /// Writes the codes of another tensor of the same grid and shape into this one's memory.
    fn take_over<'py>(slf: &Bound<'py, Self>, made: QTensor) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let made = Bound::new(py, made)?;
        slf.get().assign(py, py.Ellipsis().bind(py), made.as_any())?;
        Ok(slf.clone())
    }
}
