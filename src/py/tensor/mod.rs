//! `QTensor`: one NumPy integer array and the quantizer that belongs to it.
//!
//! The class is spread over the files of this folder by what a method does; this one holds what it is and how it
//! is read.

mod axes;
mod casts;
mod channels;
mod compare;
mod copies;
mod dispatch;
mod fill;
mod given;
mod in_place;
mod index;
pub mod join;
mod left_out;
mod like;
mod memory;
mod names;
mod numpy_moves;
mod operators;
mod packed;
mod pieces;
mod protocol;
mod reduce;
mod shape;
mod show;
mod sort;
mod state;

pub use given::Given;
pub use protocol::rebuild;
pub use reduce::values_and_indices_class;
pub use show::set_printoptions;

use std::sync::Arc;

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use quantray_core::qparams::{QParams, Quantizer};
use state::State;

use super::array::{
    Array, Output, axis_in, contiguous, dim_in, dtype_named, elements_mut, fresh_view, is_contiguous,
};
use super::dtype::{PyDType, PyScheme, dtype_object, scheme_object};
use super::{quantizer, run};
use crate::error::{Error, Result};

/// A quantized array: integers (the codes) that stand for floats by a scale and a zero point,
/// `value = scale * (code - zero_point)`.
///
/// Made by `quantize_per_tensor`, `quantize_per_channel`, `quantize_per_tensor_dynamic`, or around an integer
/// array by `make_per_tensor_quantized_tensor` and `make_per_channel_quantized_tensor`. The codes are one NumPy
/// array; views and `int_repr()` share its memory. NumPy functions see the dequantized float32 values.
///
/// A grid is a scale, a zero point and a dtype. What is written, and what becomes of it:
///
/// =========================================================== ==========================================================
/// `q[1:]`, `q.T`, `q.reshape(-1)`, `q.tile(2)`                elements moved: a QTensor of the same grid
/// `np.concatenate([q, q])`, `np.where(m, q, q)`, `np.flip(q)` the same, where all tensors are of one grid
/// `np.concatenate([q, x])`, `np.where(m, q, 0.0)`             float32: not all of one grid
/// `qt.cat([q, other])`, `qt.where(m, q, 0.0)`                 a QTensor of the first one's grid
/// `q[0]` of one axis                                          an element of its own, as NumPy's; `q[0, ...]` is the view
/// `q += 1`, `q[...] = x`, `q.fill_(x)`, `q.copy_(other)`      `q` itself, in its own grid; what lies beyond saturates
/// `q.relu()`, `q.clamp(0, 1)`, `q.max()`, `q.mean()`          a QTensor of the same grid, rounded to it
/// `q + q`, `q - q`, `q * q`, `q @ q`                          a QTensor of a new grid, chosen from the result's range
/// `q + 1`, `q * x`, `-q`, `q / q`, `q > 1`                    arrays of float32, or of bool
/// `np.mean(q)`, `np.exp(q)`, `q.sum()`, `q.std()`             arrays of float32
/// =========================================================== ==========================================================
///
/// >>> import numpy as np, quantray as qt
/// >>> q = qt.quantize_per_tensor([0.11, -0.25], scale=0.1, zero_point=0, dtype=qt.qint8)
/// >>> q[0] = 0.34
/// >>> q.int_repr()
/// array([ 3, -2], dtype=int8)
/// >>> round(float(np.mean(q)), 2)
/// 0.05
/// >>> whole = qt.quantize_per_tensor([2.0, 3.0], scale=1.0, zero_point=0, dtype=qt.qint8)
/// >>> whole.mean().item(), float(np.mean(whole))
/// (2.0, 2.5)
#[pyclass(module = "quantray", frozen, weakref)]
pub struct QTensor {
    state: State,
}

impl QTensor {
    /// From a view that nobody else holds, and a quantizer that fits it.
    pub fn from_parts(codes: Array<'_>, quantizer: Arc<Quantizer>, packed: Option<Box<[usize]>>) -> Self {
        Self { state: State::new(codes, quantizer, packed) }
    }

    /// The same parameters over other codes of the same layout.
    fn with_codes(&self, codes: Array<'_>) -> Self {
        let state = self.state.last();
        Self::from_parts(codes, Arc::clone(&state.quantizer), state.packed.clone())
    }

    /// The integers; the packed bytes, flat, of a packed dtype.
    pub fn codes<'py>(&self, py: Python<'py>) -> &Array<'py> {
        self.state.last().codes.bind(py)
    }

    /// The quantizer.
    pub fn quantizer(&self) -> &Arc<Quantizer> {
        &self.state.last().quantizer
    }

    /// The shape of a packed tensor, whose codes are flat bytes.
    fn packed(&self) -> Option<&[usize]> {
        self.state.last().packed.as_deref()
    }

    /// The shape of the tensor.
    pub fn dims<'a>(&'a self, py: Python<'a>) -> &'a [usize] {
        match self.packed() {
            Some(shape) => shape,
            None => self.codes(py).shape(),
        }
    }

    fn len_of(&self, py: Python<'_>) -> usize {
        self.dims(py).iter().product()
    }

    /// The scale and the zero point, where there is one of each.
    fn single(&self) -> Option<(f64, i32)> {
        match self.quantizer().params() {
            QParams::PerTensor { scale, zero_point } => Some((*scale, *zero_point)),
            _ => None,
        }
    }

    /// The values, as a fresh float32 array.
    pub fn dequantized<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        self.dequantize_into(py, None)
    }

    fn dequantize_into<'py>(&self, py: Python<'py>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Array<'py>> {
        let shape = self.dims(py);
        let own = self.codes(py);
        let output = Output::new::<f32>(py, out, shape, own)?;
        let codes = if is_contiguous(own) { own.clone() } else { contiguous(own)? };
        run::dequantize(
            py,
            self.quantizer(),
            shape,
            &codes,
            elements_mut::<f32>(&output.array),
            output.pages,
        )?;
        output.finish()
    }

    fn wrong_scheme(&self, method: &str, instead: &str) -> Error {
        Error::unsupported(
            format!("{method}() does not exist for {}", self.quantizer().scheme().name()),
            instead,
        )
    }

    /// An axis from `dim` or its NumPy synonym `axis`; 0 where there are no dimensions.
    fn one_axis(&self, py: Python<'_>, dim: Option<isize>, axis: Option<isize>) -> Result<Option<usize>> {
        let given = match (dim, axis) {
            (Some(_), Some(_)) => {
                return Err(Error::type_("axis", "also dim", "given alone: they are synonyms"));
            }
            (Some(d), None) => Some(("dim", d)),
            (None, Some(a)) => Some(("axis", a)),
            (None, None) => None,
        };
        given.map(|(name, d)| dim_in(name, d, self.dims(py).len())).transpose()
    }
}

#[pymethods]
impl QTensor {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let _ = (args, kwargs);
        Err(PyTypeError::new_err(
            "a QTensor is made by quantize_per_tensor or quantize_per_channel of floats, by \
             make_per_tensor_quantized_tensor of integers; quantray.tensor makes plain arrays",
        ))
    }

    /// The values as a float32 array of the same shape.
    ///
    /// Parameters
    /// ----------
    /// out : ndarray of float32, optional
    ///     An array of the same shape that the values are written to.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([0.26, 0.5], 0.25, 0, qt.quint8).dequantize()
    /// array([0.25, 0.5 ], dtype=float32)
    #[pyo3(signature = (out=None))]
    fn dequantize<'py>(&self, py: Python<'py>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Array<'py>> {
        self.dequantize_into(py, out)
    }

    /// The codes as a NumPy array that shares memory with the tensor: writing to one shows in the other.
    /// The packed bytes, flat, for quint4x2 and quint2x4. It has the buffer protocol and DLPack.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([0.25, 0.5], 0.25, 0, qt.quint8).int_repr()
    /// array([1, 2], dtype=uint8)
    pub fn int_repr<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        fresh_view(self.codes(py))
    }

    /// The size of one step, for a per-tensor scheme.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([0.5], 0.25, 0, qt.quint8).q_scale()
    /// 0.25
    fn q_scale(&self) -> PyResult<f64> {
        let (scale, _) =
            self.single().ok_or_else(|| self.wrong_scheme("q_scale", "use q_per_channel_scales()"))?;
        Ok(scale)
    }

    /// The code that stands for 0, for a per-tensor scheme.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([0.5], 0.25, 3, qt.quint8).q_zero_point()
    /// 3
    fn q_zero_point(&self) -> PyResult<i32> {
        let wrong = || self.wrong_scheme("q_zero_point", "use q_per_channel_zero_points()");
        Ok(self.single().ok_or_else(wrong)?.1)
    }

    /// The scales of the channels: float64 (float32 beside float zero points), shape (channels,).
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_channel([[1.0, 2.0]], [0.5, 0.25], 0, 1, qt.qint8).q_per_channel_scales()
    /// array([0.5 , 0.25])
    fn q_per_channel_scales<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        match self.single() {
            Some(_) => Err(self.wrong_scheme("q_per_channel_scales", "use q_scale()").into()),
            None => quantizer::scales_array(py, self.quantizer()),
        }
    }

    /// The zero points of the channels: int64 (float32 in the float scheme), shape (channels,).
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_channel([[1.0, 2.0]], [0.5, 0.25], 0, 1, qt.qint8).q_per_channel_zero_points()
    /// array([0, 0])
    fn q_per_channel_zero_points<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        match self.single() {
            Some(_) => Err(self.wrong_scheme("q_per_channel_zero_points", "use q_zero_point()").into()),
            None => quantizer::zero_points_array(py, self.quantizer()),
        }
    }

    /// The axis of the channels.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_channel([[1.0, 2.0]], [0.5, 0.25], 0, 1, qt.qint8).q_per_channel_axis()
    /// 1
    fn q_per_channel_axis(&self) -> PyResult<usize> {
        let none = || self.wrong_scheme("q_per_channel_axis", "there is one scale for the whole tensor");
        Ok(self.quantizer().axis().ok_or_else(none)?)
    }

    /// How codes map to values: `per_tensor_affine` and so on.
    fn qscheme<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyScheme>> {
        scheme_object(py, self.quantizer().scheme())
    }

    /// The scale, zero point, dtype and scheme as one object, with `quantize` and `dequantize` of its own.
    #[getter(quantizer)]
    fn get_quantizer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        quantizer::object(py, self.quantizer())
    }

    /// What the codes are: `qint8`, `quint8`, `qint32`, `quint4x2` or `quint2x4`.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype_object(py, self.quantizer().dtype())
    }

    /// The NumPy dtype of the codes.
    #[getter]
    fn numpy_dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDescr>> {
        dtype_named(py, self.quantizer().dtype().numpy_name())
    }

    /// The length along each axis.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.dims(py))
    }

    /// The shape, or the length along one axis.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([[1.0, 2.0]], 1.0, 0, qt.qint8)
    /// >>> q.size(), q.size(-1)
    /// ((1, 2), 2)
    #[pyo3(signature = (dim=None))]
    fn size<'py>(&self, py: Python<'py>, dim: Option<isize>) -> PyResult<Bound<'py, PyAny>> {
        match dim.map(|d| axis_in("dim", d, self.dims(py).len())).transpose()? {
            None => Ok(self.shape(py)?.into_any()),
            Some(d) => Ok(self.dims(py)[d].into_pyobject(py)?.into_any()),
        }
    }

    /// The number of axes.
    #[getter]
    fn ndim(&self, py: Python<'_>) -> usize {
        self.dims(py).len()
    }

    /// The number of axes.
    fn dim(&self, py: Python<'_>) -> usize {
        self.dims(py).len()
    }

    /// The number of elements.
    fn numel(&self, py: Python<'_>) -> usize {
        self.len_of(py)
    }

    /// Bytes that the codes take.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> usize {
        let codes = self.codes(py);
        codes.shape().iter().product::<usize>() * codes.dtype().itemsize()
    }

    /// Bytes of one unit of memory: 1, or 4 for qint32.
    fn element_size(&self) -> usize {
        self.quantizer().dtype().item_size()
    }

    /// The number of bytes from one element to the next along each axis.
    #[getter]
    fn strides<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.codes(py).strides())
    }

    /// The number of units of memory from one element to the next along each axis, or along one.
    #[pyo3(signature = (dim=None))]
    fn stride<'py>(&self, py: Python<'py>, dim: Option<isize>) -> PyResult<Bound<'py, PyAny>> {
        let item = self.quantizer().dtype().item_size() as isize;
        let mut strides: Vec<isize> = self.codes(py).strides().iter().map(|s| s / item).collect();
        let shape = self.codes(py).shape();
        if shape.contains(&0) {
            // NumPy's of no elements are all 0; torch's are those of rows of lengths of at least 1.
            let mut step = 1;
            for (stride, &n) in strides.iter_mut().zip(shape).rev() {
                *stride = step;
                step *= n.max(1) as isize;
            }
        }
        match dim.map(|d| axis_in("dim", d, self.dims(py).len())).transpose()? {
            None => Ok(PyTuple::new(py, strides)?.into_any()),
            Some(d) => Ok(strides.get(d).copied().unwrap_or(1).into_pyobject(py)?.into_any()),
        }
    }

    /// The value of a tensor of one element, as a Python float.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([0.5], 0.25, 0, qt.quint8).item()
    /// 0.5
    fn item(&self, py: Python<'_>) -> PyResult<f64> {
        match self.len_of(py) {
            1 => Ok(f64::from(super::array::elements::<f32>(&self.dequantized(py)?)[0])),
            n => Err(Error::value("the tensor", format!("{n} elements"), "of one element for item()").into()),
        }
    }

    /// The values as nested lists of Python floats.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.dequantized(py)?.call_method0(PyString::intern(py, "tolist"))
    }
}
