//! A tensor in another dtype, on another device: the values as an array, or the tensor itself.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use quantray_core::qparams::DType;

use super::QTensor;
use crate::array::{describe, np};
use crate::dtype::PyDType;
use crate::error::Error;

#[pymethods]
impl QTensor {
    /// Torch's name of such a tensor's type; a dtype of the same memory gives the tensor itself.
    #[pyo3(name = "type", signature = (dtype=None))]
    fn type_<'py>(slf: &Bound<'py, Self>, dtype: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let own = slf.get().quantizer().dtype();
        let Some(dtype) = dtype else {
            let name = match own {
                DType::QInt8 => "QInt8Tensor",
                DType::QUInt8 => "QUInt8Tensor",
                DType::QInt32 => "QInt32Tensor",
                DType::QUInt4x2 => "QUInt4x2Tensor",
                DType::QUInt2x4 => "QUInt2x4Tensor",
            };
            return Ok(PyString::new(slf.py(), &format!("quantray.quantized.{name}")).into_any());
        };
        Ok(slf.get().in_dtype(slf, dtype)?.into_any())
    }

    /// The tensor itself, if the other one has its dtype; another dtype needs a scale of its own.
    fn type_as<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().in_dtype(slf, &other.getattr("dtype")?)
    }

    /// The tensor itself: it is in the CPU's memory and keeps its dtype.
    ///
    /// Parameters
    /// ----------
    /// args : str, dtype, QTensor
    ///     "cpu"; this tensor's dtype; or a NumPy dtype of floats, for the values as an array.
    /// copy : bool
    ///     A copy all the same.
    /// memory_format : str, optional
    ///     As in `contiguous`.
    #[pyo3(signature = (*args, device=None, dtype=None, non_blocking=false, copy=false, memory_format=None))]
    fn to<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        device: Option<&Bound<'py, PyAny>>,
        dtype: Option<&Bound<'py, PyAny>>,
        non_blocking: bool,
        copy: bool,
        memory_format: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = non_blocking; // Nothing runs elsewhere.
        let mut wanted = dtype.cloned();
        for (arg, item) in args.iter().map(|a| ("args", a)).chain(device.map(|d| ("device", d.clone()))) {
            let text = item.str()?.to_string();
            if text == "cpu" || item.is_instance_of::<pyo3::types::PyBool>() {
                continue;
            }
            match item.cast::<QTensor>() {
                Ok(other) => wanted = Some(other.getattr("dtype")?),
                Err(_) if arg == "device" || text.starts_with("cuda") || text == "mps" => {
                    return Err(Error::value(arg, describe(&item), "\"cpu\", the only device").into());
                }
                Err(_) => wanted = Some(item),
            }
        }
        let made = match wanted {
            Some(dtype) => slf.get().in_dtype(slf, &dtype)?,
            None => slf.clone().into_any(),
        };
        let Ok(tensor) = made.cast::<QTensor>() else { return Ok(made) };
        let tensor = match memory_format {
            Some(_) => QTensor::contiguous(tensor, memory_format)?,
            None => tensor.clone(),
        };
        match copy && tensor.is(slf) {
            true => Ok(Bound::new(slf.py(), slf.get().copied(slf.py())?)?.into_any()),
            false => Ok(tensor.into_any()),
        }
    }

    /// The values as an array of another dtype.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.5], 0.5, 0, qt.qint8).astype("float64")
    /// array([1. , 2.5])
    #[pyo3(signature = (dtype, *args, **kwargs))]
    fn astype<'py>(
        &self,
        py: Python<'py>,
        dtype: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if dtype.is_instance_of::<PyDType>() {
            let valid = "a NumPy dtype: another quantized one needs a scale of its own, q.requantize(scale, zero_point, dtype)";
            return Err(Error::type_("dtype", dtype, valid).into());
        }
        let mut all = vec![dtype.clone()];
        all.extend(args.iter());
        self.dequantized(py)?.call_method("astype", PyTuple::new(py, all)?, kwargs)
    }
}

impl QTensor {
    /// The tensor itself in its own dtype, its values in a NumPy dtype of numbers.
    fn in_dtype<'py>(
        &self,
        slf: &Bound<'py, Self>,
        dtype: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let own = self.quantizer().dtype();
        let text = dtype.str()?.to_string();
        let named = text.strip_prefix("torch.").unwrap_or(&text);
        if named == own.name() {
            return Ok(slf.clone().into_any());
        }
        if DType::ALL.iter().any(|d| d.name() == named) {
            let what = format!("{} has other codes than {named}", own.name());
            return Err(Error::unsupported(what, "use q.requantize(scale, zero_point, dtype)").into());
        }
        let given = if text == named { dtype.clone() } else { PyString::new(py, named).into_any() };
        let numpy = np(py)?.call_method1("dtype", (given,)).map_err(|_| {
            Error::type_("dtype", describe(dtype), "this tensor's dtype or a NumPy dtype of numbers")
        })?;
        self.dequantized(py)?.call_method1("astype", (numpy,))
    }
}
