//! What torch's and NumPy's code asks a tensor about itself, and what does nothing here.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::QTensor;
use crate::array::Int;
use crate::ops;

/// Answers that are the same for every tensor.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        #[pymethods]
        impl QTensor {$(
            $(#[$doc])*
            #[getter]
            fn $name(&self) -> bool {
                $value
            }
        )*}
    };
}
answers! {
    /// True: there are codes, a scale and a zero point.
    is_quantized = true;
    /// True: memory is the CPU's.
    is_cpu = true;
    /// False: elements lie in strides.
    is_sparse = false;
    /// False: integers have no gradient.
    requires_grad = false;
    /// True: no gradient leads here.
    is_leaf = true;
    /// False: all tensors inside have a shape of their own.
    is_nested = false;
}

macro_rules! called_answers {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        #[pymethods]
        impl QTensor {$(
            $(#[$doc])*
            fn $name(&self) -> bool {
                $value
            }
        )*}
    };
}
called_answers! {
    /// False: values are real.
    is_complex = false;
    /// False: values are real.
    is_conj = false;
    /// False: no sign is pending.
    is_neg = false;
    /// False: elements are integers.
    is_floating_point = false;
    /// False: the whole tensor is here.
    is_distributed = false;
}

/// Methods that have nothing to do: they give the tensor itself.
macro_rules! identities {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        #[pymethods]
        impl QTensor {$(
            $(#[$doc])*
            fn $name<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
                slf.clone()
            }
        )*}
    };
}
identities! {
    /// The tensor itself, in the CPU's memory already.
    cpu;
    /// The tensor itself, which has no gradient.
    detach_;
    /// The tensor itself: values are real.
    conj;
    /// The tensor itself: values are real.
    conj_physical;
    /// The tensor itself: values are real.
    conj_physical_;
    /// The tensor itself: values are real.
    resolve_conj;
    /// The tensor itself: no sign is pending.
    resolve_neg;
    /// The tensor itself, which is dense.
    to_dense;
    /// The tensor itself.
    positive;
}

#[pymethods]
impl QTensor {
    /// Another object over the same memory: there is no gradient to leave behind.
    fn detach(&self, py: Python<'_>) -> QTensor {
        self.again(py)
    }

    /// "cpu".
    #[getter(device)]
    fn the_device(&self) -> &'static str {
        "cpu"
    }

    /// -1, as torch says for the CPU.
    fn get_device(&self) -> i32 {
        -1
    }

    /// "strided".
    #[getter]
    fn layout(&self) -> &'static str {
        "strided"
    }

    /// None: tensors have no names.
    #[getter]
    fn name(&self) -> Option<&'static str> {
        None
    }

    /// None: integers have no gradient.
    #[getter]
    fn grad_dtype(&self) -> Option<&'static str> {
        None
    }

    /// The size of one step: a float per tensor, an array per channel.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([0.5], 0.25, 3, qt.quint8)
    /// >>> q.scale, q.zero_point, q.axis
    /// (0.25, 3, None)
    #[getter]
    fn scale<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.single() {
            Some((scale, _)) => Ok(scale.into_pyobject(py)?.into_any()),
            None => Ok(crate::quantizer::scales_array(py, self.quantizer())?.into_any()),
        }
    }

    /// The code that stands for 0: an int per tensor, an array per channel.
    #[getter]
    fn zero_point<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.single() {
            Some((_, zero)) => Ok(zero.into_pyobject(py)?.into_any()),
            None => Ok(crate::quantizer::zero_points_array(py, self.quantizer())?.into_any()),
        }
    }

    /// The axis of the channels; None per tensor.
    #[getter]
    fn axis(&self) -> Option<usize> {
        self.quantizer().axis()
    }

    /// The number of axes.
    fn ndimension(&self, py: Python<'_>) -> usize {
        self.dims(py).len()
    }

    /// The number of axes: all of them are dense.
    fn dense_dim(&self, py: Python<'_>) -> usize {
        self.dims(py).len()
    }

    /// 0: no axis is sparse.
    fn sparse_dim(&self) -> usize {
        0
    }

    /// The number of elements.
    fn nelement(&self, py: Python<'_>) -> usize {
        self.len_of(py)
    }

    /// Bytes of one unit of memory: 1, or 4 for qint32.
    #[getter]
    fn itemsize(&self) -> usize {
        self.quantizer().dtype().item_size()
    }

    /// Whether another tensor or array has the same shape.
    fn is_same_size(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(super::axes::shape_of(other)?.extract::<Vec<usize>>()? == self.dims(py))
    }

    /// A tensor of `data`, on this tensor's grid; a copy of `data` where it is a QTensor.
    fn new_tensor(&self, data: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        let py = data.py();
        if let Ok(q) = data.cast::<QTensor>() {
            return q.get().copied(py);
        }
        crate::create::quantize_with(py, data, self.quantizer(), None)
    }

    /// A copy with memory of its own; `order` as in NumPy.
    #[pyo3(signature = (order="C"))]
    fn copy(&self, py: Python<'_>, order: &str) -> PyResult<QTensor> {
        if self.packed().is_some() {
            return self.copied(py);
        }
        Ok(self.with_codes(self.codes(py).call_method1("copy", (order,))?.cast_into()?))
    }

    /// The values rounded to so many decimals, as a float32 array.
    #[pyo3(signature = (decimals=0))]
    fn round<'py>(&self, py: Python<'py>, decimals: i32) -> PyResult<Bound<'py, PyAny>> {
        self.dequantized(py)?.call_method1("round", (decimals,))
    }

    /// Whether some value is not 0, of all or along an axis.
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn any<'py>(
        &self,
        py: Python<'py>,
        dim: Option<&Bound<'py, PyAny>>,
        keepdim: bool,
        axis: Option<&Bound<'py, PyAny>>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.truth(py, "any", dim, keepdims.unwrap_or(keepdim), axis)
    }

    /// Whether no value is 0, of all or along an axis.
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn all<'py>(
        &self,
        py: Python<'py>,
        dim: Option<&Bound<'py, PyAny>>,
        keepdim: bool,
        axis: Option<&Bound<'py, PyAny>>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.truth(py, "all", dim, keepdims.unwrap_or(keepdim), axis)
    }

    /// Where values are not 0: an array of positions for each axis, as in NumPy.
    fn nonzero<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.dequantized(py)?.call_method0("nonzero")
    }

    /// `1 / (1 + exp(-x))` of each element; see `quantray.ops.sigmoid`.
    fn sigmoid<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        ops::sigmoid(slf.as_any(), None, None, None, None)
    }

    /// `tanh(x)` of each element; see `quantray.ops.tanh`.
    fn tanh<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        ops::tanh(slf.as_any(), None, None, None, None)
    }

    /// The view of one position along an axis, or a copy of several: `select` or `index_select`.
    fn index(slf: &Bound<'_, Self>, dim: Int, index: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        match index.extract::<Int>() {
            Ok(one) if Self::is_number(index) => Self::select(slf, dim.0, one),
            _ => slf.get().index_select(slf.py(), dim, index),
        }
    }

    /// The integers for libraries that take DLPack, without a copy: `torch.from_dlpack(q)`. Scale and zero point stay
    /// here.
    #[pyo3(signature = (**kwargs))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.int_repr(py)?.call_method("__dlpack__", (), kwargs)
    }

    /// The CPU, as DLPack names it.
    fn __dlpack_device__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.int_repr(py)?.call_method0("__dlpack_device__")
    }
}
