//! Arithmetic. Of two QTensors, `+ - * @` give a QTensor whose scale and zero point are chosen from the result's
//! range, as `quantize_per_tensor_dynamic` does; everything else gives a float32 array.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::qparams::DType;

use super::QTensor;
use crate::array::{as_float32, np};
use crate::create::quantize_to_range;
use crate::error::Error;
use crate::ops::{matmul, multiplies};

/// A NumPy function of two operands, either of which may be a QTensor. The result is float32, or bool.
pub(super) fn float_op<'py>(
    function: &str,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let made = np(py)?.call_method1(function, (values(a)?, values(b)?))?;
    narrow(&made)
}

/// The values of a QTensor; anything else as it is.
pub(super) fn values<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match object.cast::<QTensor>() {
        Ok(q) => Ok(q.get().dequantized(object.py())?.into_any()),
        Err(_) => Ok(object.clone()),
    }
}

/// A float64 result of float32 values and something wider, as float32; tuples of them too; the rest as it is.
pub(super) fn narrow<'py>(made: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = made.py();
    if let Ok(many) = made.cast::<PyTuple>() {
        let narrowed = many.iter().map(|m| narrow(&m)).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyTuple::new(py, narrowed)?.into_any());
    }
    let Ok(dtype) = made.getattr("dtype") else { return Ok(made.clone()) };
    if made.is_instance(&np(py)?.getattr("generic")?)? || made.is_instance_of::<numpy::PyUntypedArray>() {
        let is_double = dtype.getattr("kind")?.extract::<char>()? == 'f'
            && dtype.getattr("itemsize")?.extract::<usize>()? > 4;
        if is_double {
            return made.call_method1("astype", ("float32",));
        }
    }
    Ok(made.clone())
}

impl QTensor {
    /// An operation of two QTensors, quantized again to its own range with this one's dtype (qint8 for a packed
    /// one: sums and products of a few levels have more).
    fn quantized_op<'py>(
        slf: &Bound<'py, Self>,
        function: &str,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let made = float_op(function, slf.as_any(), other)?;
        if !other.is_instance_of::<QTensor>() {
            return Ok(made);
        }
        let dtype = match slf.get().quantizer().dtype() {
            packed if packed.is_packed() => DType::QInt8,
            dtype => dtype,
        };
        Ok(Bound::new(py, quantize_to_range(py, &as_float32(&made, "the result")?, dtype, false)?)?
            .into_any())
    }
}

#[pymethods]
impl QTensor {
    fn __add__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::quantized_op(slf, "add", other)
    }

    fn __radd__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("add", other, slf.as_any())
    }

    fn __sub__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::quantized_op(slf, "subtract", other)
    }

    fn __rsub__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("subtract", other, slf.as_any())
    }

    fn __mul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::quantized_op(slf, "multiply", other)
    }

    fn __rmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("multiply", other, slf.as_any())
    }

    fn __matmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(other) = other.cast::<QTensor>()
            && multiplies(slf.py(), slf.get(), other.get())
        {
            return Ok(Bound::new(slf.py(), matmul(slf.py(), slf.into(), other.into(), None, None, None)?)?
                .into_any());
        }
        Self::quantized_op(slf, "matmul", other)
    }

    fn __rmatmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("matmul", other, slf.as_any())
    }

    fn __truediv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("true_divide", slf.as_any(), other)
    }

    fn __rtruediv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("true_divide", other, slf.as_any())
    }

    fn __floordiv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("floor_divide", slf.as_any(), other)
    }

    fn __rfloordiv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("floor_divide", other, slf.as_any())
    }

    fn __mod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("remainder", slf.as_any(), other)
    }

    fn __rmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("remainder", other, slf.as_any())
    }

    fn __divmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("divmod", slf.as_any(), other)
    }

    fn __rdivmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        float_op("divmod", other, slf.as_any())
    }

    fn __pow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        modulo: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match modulo.is_none() {
            true => float_op("power", slf.as_any(), other),
            false => Err(Error::type_("modulo", modulo, "absent").into()),
        }
    }

    fn __rpow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        modulo: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match modulo.is_none() {
            true => float_op("power", other, slf.as_any()),
            false => Err(Error::type_("modulo", modulo, "absent").into()),
        }
    }

    fn __neg__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        np(py)?.call_method1("negative", (self.dequantized(py)?,))
    }

    fn __pos__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.dequantized(py)?.into_any())
    }

    fn __abs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        np(py)?.call_method1("absolute", (self.dequantized(py)?,))
    }
}
