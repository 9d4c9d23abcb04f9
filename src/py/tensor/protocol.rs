//! What Python and NumPy ask of an array: conversion, iteration, formatting, pickling, copies.

use std::sync::Arc;

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyTuple};
use quantray_core::qparams::{DType, Quantizer, Scheme};

use super::QTensor;
use crate::array::contiguous;
use crate::dtype::parse_dtype;
use crate::error::Error;
use crate::{create, io, quantizer};

#[pymethods]
impl QTensor {
    /// The values as a fresh array, float32 unless another dtype is asked for.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if copy == Some(false) {
            let valid = "True or None: values are computed from the codes; int_repr() shares their memory";
            return Err(Error::value("copy", "False", valid).into());
        }
        let values = self.dequantized(py)?.into_any();
        let Some(dtype) = dtype.filter(|d| !d.is_none()) else { return Ok(values) };
        let dtype = PyArrayDescr::new(py, dtype)?;
        if dtype.is_equiv_to(&numpy::dtype::<f32>(py)) {
            return Ok(values);
        }
        values.call_method1("astype", (dtype,))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let none = || PyTypeError::new_err("len() of a QTensor without dimensions");
        self.dims(py).first().copied().ok_or_else(none)
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let n = length(slf)?;
        elements(slf, slf.py().import("builtins")?.call_method1("range", (n,))?)
    }

    fn __reversed__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let n = length(slf)? as isize;
        elements(slf, slf.py().import("builtins")?.call_method1("range", (n - 1, -1, -1))?)
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        self.item(py)
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PyFloat::new(py, self.item(py)?).call_method0("__int__")
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        match self.len_of(py) {
            1 => Ok(self.item(py)? != 0.0),
            n => {
                let valid = "of one element to be true or false; compare with (q != 0).any() or .all()";
                Err(Error::value("the tensor", format!("{n} elements"), valid).into())
            }
        }
    }

    fn __format__<'py>(slf: &Bound<'py, Self>, spec: &str) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let me = slf.get();
        if me.dims(py).is_empty() && !spec.is_empty() {
            return PyFloat::new(py, me.item(py)?).call_method1("__format__", (spec,));
        }
        slf.str()?.call_method1("__format__", (spec,)).map_err(|_| {
            let valid = "one of texts, or used for a single element, as in f\"{q[0]:.2f}\"";
            Error::value("a format of tensors", format!("{spec:?}"), valid).into()
        })
    }

    /// Pickles as its codes, whose memory pickle's protocol 5 and joblib move without a copy, and its parameters.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let me = slf.get();
        let z = me.quantizer();
        let rebuild = py.import("quantray._core")?.getattr("_rebuild")?;
        let args = (
            contiguous(me.codes(py))?,
            z.dtype().name(),
            z.scheme().name(),
            quantizer::scales_array(py, z)?.call_method0("tolist")?,
            quantizer::zero_points_array(py, z)?.call_method0("tolist")?,
            z.axis(),
            me.packed().as_ref().map(|p| PyTuple::new(py, p.iter())).transpose()?,
        );
        Ok((rebuild, args.into_pyobject(py)?))
    }

    fn __copy__(&self, py: Python<'_>) -> PyResult<QTensor> {
        self.copied(py)
    }

    fn __deepcopy__(&self, py: Python<'_>, _memo: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        self.copied(py)
    }

    /// Writes the tensor to a safetensors file: codes, with scale, zero point and scheme in its metadata.
    /// `quantray.load` reads it back.
    ///
    /// Parameters
    /// ----------
    /// path : str or path
    ///     An existing file is replaced, as a whole, once the new one is complete.
    fn save<'py>(slf: &Bound<'py, Self>, path: &Bound<'py, PyAny>) -> PyResult<()> {
        io::save(slf.as_any(), path, None)
    }
}

/// Makes a tensor from what `__reduce__` took apart. Everything is checked, since pickles come from anywhere.
#[pyfunction]
#[pyo3(name = "_rebuild")]
pub fn rebuild<'py>(
    codes: &Bound<'py, PyUntypedArray>,
    dtype: &Bound<'py, PyAny>,
    scheme: &str,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    axis: Option<usize>,
    size: Option<Vec<usize>>,
) -> PyResult<QTensor> {
    let scheme = Scheme::ALL
        .into_iter()
        .find(|s| s.name() == scheme)
        .ok_or_else(|| Error::value("scheme", scheme, "the name of a scheme"))?;
    let quantizer = quantizer_of(parse_dtype(dtype)?, scheme, scales, zero_points, axis)?;
    create::adopt(codes, Arc::new(quantizer), size)
}

/// A quantizer from lists of scales and zero points.
pub fn quantizer_of(
    dtype: DType,
    scheme: Scheme,
    scales: &Bound<'_, PyAny>,
    zero_points: &Bound<'_, PyAny>,
    axis: Option<usize>,
) -> PyResult<Quantizer> {
    let missing = || Error::value("axis", "None", format!("an axis for {}", scheme.name()));
    let single = |n: usize| Error::value("scales", format!("{n} of them"), "one of them, per tensor");
    Ok(match scheme {
        Scheme::PerTensorAffine | Scheme::PerTensorSymmetric => {
            let (s, z): (Vec<f64>, Vec<i64>) = (scales.extract()?, zero_points.extract()?);
            let (&[s], &[z]) = (&s[..], &z[..]) else { return Err(single(s.len()).into()) };
            Quantizer::per_tensor(dtype, s, z, scheme.is_symmetric()).map_err(Error)?
        }
        Scheme::PerChannelAffine | Scheme::PerChannelSymmetric => {
            let (s, z): (Vec<f64>, Vec<i64>) = (scales.extract()?, zero_points.extract()?);
            Quantizer::per_channel(dtype, &s, &z, axis.ok_or_else(missing)?, scheme.is_symmetric())
                .map_err(Error)?
        }
        Scheme::PerChannelAffineFloatQParams => {
            let (s, z): (Vec<f32>, Vec<f32>) = (scales.extract()?, zero_points.extract()?);
            Quantizer::per_channel_float(dtype, &s, &z, axis.ok_or_else(missing)?).map_err(Error)?
        }
    })
}

/// The length of the first axis, along which elements come one after the other.
fn length(tensor: &Bound<'_, QTensor>) -> PyResult<usize> {
    let none = || PyTypeError::new_err("iteration over a QTensor without dimensions");
    tensor.get().dims(tensor.py()).first().copied().ok_or_else(none)
}

/// An iterator over elements, by their numbers.
fn elements<'py>(tensor: &Bound<'py, QTensor>, numbers: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let element = tensor.getattr("__getitem__")?;
    tensor.py().import("builtins")?.call_method1("map", (element, numbers))
}
