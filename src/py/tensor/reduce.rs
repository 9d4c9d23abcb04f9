//! Reductions: the smallest, the largest, sums and means.
//!
//! Scales are positive, so codes compare as their values do wherever one scale holds for all that are compared.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use super::QTensor;
use super::shape::keeps_channels;
use crate::array::{Array, as_array, describe, dim_in, np};
use crate::create::quantize_array;
use crate::error::{Error, Result};

/// What `sort`, `topk`, `min` and `max` give along an axis: a named tuple `(values, indices)`.
pub(super) fn values_and_indices<'py>(
    py: Python<'py>,
    values: QTensor,
    indices: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    values_and_indices_class(py)?.call1((values, indices))
}

/// The class of those tuples: an attribute of the module, so that they pickle.
pub fn values_and_indices_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static PAIR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let pair = PAIR.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item("module", "quantray")?;
        let make = py.import("collections")?.getattr("namedtuple")?;
        Ok::<_, PyErr>(make.call(("ValuesAndIndices", ("values", "indices")), Some(&options))?.unbind())
    })?;
    Ok(pair.bind(py))
}

/// `dim` or `axis`, an integer or several.
pub(super) fn axes_of(
    q: &QTensor,
    py: Python<'_>,
    dim: Option<&Bound<'_, PyAny>>,
    axis: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Vec<usize>>> {
    let (name, given) = match (dim, axis) {
        (Some(_), Some(_)) => {
            return Err(Error::type_("axis", "also dim", "given alone: they are synonyms").into());
        }
        (Some(d), None) => ("dim", d),
        (None, Some(a)) => ("axis", a),
        (None, None) => return Ok(None),
    };
    let ndim = q.dims(py).len();
    if let Ok(one) = given.extract::<isize>() {
        let axis = dim_in(name, one, ndim)?;
        return Ok(Some(if ndim == 0 { vec![] } else { vec![axis] }));
    }
    let many: Vec<isize> =
        given.extract().map_err(|_| Error::type_(name, describe(given), "an integer or a tuple of them"))?;
    let mut axes = many.iter().map(|&a| dim_in(name, a, ndim)).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::value(name, describe(given), "axes that differ").into());
    }
    // Without dimensions, 0 and -1 name none.
    axes.retain(|&axis| axis < ndim);
    Ok(Some(axes))
}

/// `keepdim`, torch's word, or `keepdims`, NumPy's.
fn keep(keepdim: bool, keepdims: Option<bool>) -> bool {
    keepdims.unwrap_or(keepdim)
}

pub(super) fn reduce<'py>(
    function: &str,
    values: &Array<'py>,
    axes: Option<&[usize]>,
    keepdims: bool,
    options: &[(&str, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let py = values.py();
    let kwargs = PyDict::new(py);
    for (name, value) in options {
        kwargs.set_item(name, value)?;
    }
    kwargs.set_item("keepdims", keepdims)?;
    match axes {
        Some([one]) => kwargs.set_item("axis", one)?,
        Some(many) => kwargs.set_item("axis", PyTuple::new(py, many)?)?,
        None => {}
    }
    np(py)?.call_method(function, (values,), Some(&kwargs))
}

impl QTensor {
    fn not_empty(&self, py: Python<'_>, what: &str, axis: Option<usize>) -> Result<()> {
        let n = axis.map_or_else(|| self.len_of(py), |a| self.dims(py).get(a).copied().unwrap_or(1));
        match n {
            0 => Err(Error::value(
                "the tensor",
                "no elements",
                format!("of at least one element for {what}()"),
            )),
            _ => Ok(()),
        }
    }

    /// The quantizer of a result that lacks an axis (unless it is kept), not the channels'.
    pub(super) fn without_axes(
        &self,
        axes: &[usize],
        keepdims: bool,
    ) -> Arc<quantray_core::qparams::Quantizer> {
        match self.quantizer().axis() {
            Some(channels) if !keepdims => {
                let before = axes.iter().filter(|&&a| a < channels).count();
                match before {
                    0 => Arc::clone(self.quantizer()),
                    _ => Arc::new(self.quantizer().with_axis(channels - before)),
                }
            }
            _ => Arc::clone(self.quantizer()),
        }
    }

    /// `min` and `max`, by the name of NumPy's function for the position.
    fn extreme<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        dim: Option<usize>,
        keepdims: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.not_empty(py, name, dim)?;
        let position = format!("arg{name}");
        let Some(axis) = dim else {
            let at: usize = self.position(py, &position)?;
            return Ok(Bound::new(py, self.flat_element(py, at)?)?.into_any());
        };
        keeps_channels(self, Some(axis), &format!("{name}() along the channel axis"))?;
        if self.dims(py).is_empty() {
            let zero = np(py)?.call_method1("zeros", ((), "int64"))?;
            return values_and_indices(py, self.copied(py)?, zero);
        }
        let codes = self.element_codes(py)?;
        let at = reduce(&position, &codes, Some(&[axis]), true, &[])?;
        let mut values = np(py)?.call_method1("take_along_axis", (&codes, &at, axis))?;
        let mut indices = at;
        if !keepdims {
            values = values.call_method1("squeeze", (axis,))?;
            indices = indices.call_method1("squeeze", (axis,))?;
        }
        let values = QTensor::wrap(as_array(&values)?, self.without_axes(&[axis], keepdims))?;
        values_and_indices(py, values, indices)
    }

    /// The flat position of an extreme value.
    fn position(&self, py: Python<'_>, function: &str) -> PyResult<usize> {
        let comparable = match self.single() {
            Some(_) => self.element_codes(py)?,
            None => self.dequantized(py)?,
        };
        np(py)?.call_method1(function, (comparable,))?.extract()
    }

    /// One element by its flat position, as a tensor of no dimensions and its own memory.
    fn flat_element(&self, py: Python<'_>, at: usize) -> PyResult<QTensor> {
        let codes = self.element_codes(py)?;
        let index: Bound<'_, PyTuple> =
            np(py)?.call_method1("unravel_index", (at, codes.getattr("shape")?))?.cast_into()?;
        let quantizer = match self.quantizer().axis() {
            None => Arc::clone(self.quantizer()),
            Some(axis) => {
                Arc::new(self.quantizer().channel(index.get_item(axis)?.extract()?).map_err(Error)?)
            }
        };
        let element = np(py)?.call_method1("array", (codes.get_item(index)?,))?;
        QTensor::wrap(element.cast_into()?, quantizer)
    }

    fn arg_extreme<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        dim: Option<usize>,
        keepdims: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.not_empty(py, name, dim)?;
        // Values, where channels are compared with each other.
        let dim = dim.filter(|_| !self.dims(py).is_empty());
        let mixes = self.quantizer().axis().is_some_and(|channels| dim.is_none_or(|d| d == channels));
        let comparable = if mixes { self.dequantized(py)? } else { self.element_codes(py)? };
        reduce(name, &comparable, dim.map(|d| [d]).as_ref().map(|d| &d[..]), keepdims, &[])
    }
}

#[pymethods]
impl QTensor {
    /// The smallest element, as a QTensor of no dimensions; or, along an axis, `(values, indices)`, with the
    /// values a QTensor and the indices int64.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([[3.0, 1.0], [2.0, 4.0]], 1.0, 0, qt.qint8)
    /// >>> q.min().item(), q.min(dim=1).values.tolist()
    /// (1.0, [1.0, 2.0])
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn min<'py>(
        &self,
        py: Python<'py>,
        dim: Option<isize>,
        keepdim: bool,
        axis: Option<isize>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.extreme(py, "min", self.one_axis(py, dim, axis)?, keep(keepdim, keepdims))
    }

    /// The largest element, as a QTensor of no dimensions; or, along an axis, `(values, indices)`.
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn max<'py>(
        &self,
        py: Python<'py>,
        dim: Option<isize>,
        keepdim: bool,
        axis: Option<isize>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.extreme(py, "max", self.one_axis(py, dim, axis)?, keep(keepdim, keepdims))
    }

    /// The position of the smallest element: flat, or along an axis, int64. The first one where several are equal.
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn argmin<'py>(
        &self,
        py: Python<'py>,
        dim: Option<isize>,
        keepdim: bool,
        axis: Option<isize>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.arg_extreme(py, "argmin", self.one_axis(py, dim, axis)?, keep(keepdim, keepdims))
    }

    /// The position of the largest element: flat, or along an axis, int64. The first one where several are equal.
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn argmax<'py>(
        &self,
        py: Python<'py>,
        dim: Option<isize>,
        keepdim: bool,
        axis: Option<isize>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.arg_extreme(py, "argmax", self.one_axis(py, dim, axis)?, keep(keepdim, keepdims))
    }

    /// The sum of the values, in float32 (added up in float64).
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.qint8).sum()
    /// np.float32(3.0)
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn sum<'py>(
        &self,
        py: Python<'py>,
        dim: Option<&Bound<'py, PyAny>>,
        keepdim: bool,
        axis: Option<&Bound<'py, PyAny>>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let axes = axes_of(self, py, dim, axis)?;
        let double = [("dtype", "float64".into_pyobject(py)?.into_any())];
        let sum = reduce("sum", &self.dequantized(py)?, axes.as_deref(), keep(keepdim, keepdims), &double)?;
        sum.call_method1("astype", ("float32",))
    }

    /// The mean of the values, quantized with this tensor's scale and zero point.
    ///
    /// Channels must not be averaged with each other, since they have scales of their own.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    /// >>> q.mean().item(), q.mean().q_scale()
    /// (1.5, 0.5)
    #[pyo3(signature = (dim=None, keepdim=false, *, axis=None, keepdims=None))]
    fn mean<'py>(
        &self,
        py: Python<'py>,
        dim: Option<&Bound<'py, PyAny>>,
        keepdim: bool,
        axis: Option<&Bound<'py, PyAny>>,
        keepdims: Option<bool>,
    ) -> PyResult<QTensor> {
        let axes = axes_of(self, py, dim, axis)?;
        match &axes {
            None => keeps_channels(self, None, "mean() over all elements")?,
            Some(axes) => {
                for &a in axes {
                    keeps_channels(self, Some(a), "mean() along the channel axis")?;
                }
            }
        }
        let counted: usize = axes
            .as_ref()
            .map_or_else(|| self.len_of(py), |axes| axes.iter().map(|&a| self.dims(py)[a]).product());
        if counted == 0 {
            return Err(
                Error::value("the tensor", "no elements", "of at least one element for mean()").into()
            );
        }
        let keepdims = keep(keepdim, keepdims);
        let double = [("dtype", "float64".into_pyobject(py)?.into_any())];
        let mean = reduce("mean", &self.dequantized(py)?, axes.as_deref(), keepdims, &double)?;
        let mean = crate::array::as_float32(&mean, "the mean")?;
        let quantizer = self.without_axes(axes.as_deref().unwrap_or(&[]), keepdims);
        quantize_array(py, &mean, &quantizer, None, "the mean")
    }

    /// The standard deviation of the values, in float32. `correction` is subtracted from the number of values,
    /// 1 by default as in torch.
    #[pyo3(signature = (dim=None, keepdim=false, *, correction=1.0, axis=None, keepdims=None))]
    fn std<'py>(
        &self,
        py: Python<'py>,
        dim: Option<&Bound<'py, PyAny>>,
        keepdim: bool,
        correction: f64,
        axis: Option<&Bound<'py, PyAny>>,
        keepdims: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let axes = axes_of(self, py, dim, axis)?;
        let options = [
            ("dtype", "float64".into_pyobject(py)?.into_any()),
            ("ddof", correction.into_pyobject(py)?.into_any()),
        ];
        let std = reduce("std", &self.dequantized(py)?, axes.as_deref(), keep(keepdim, keepdims), &options)?;
        std.call_method1("astype", ("float32",))
    }
}

impl QTensor {
    /// `all` or `any` of the values.
    pub(super) fn truth<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        dim: Option<&Bound<'py, PyAny>>,
        keepdims: bool,
        axis: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let axes = axes_of(self, py, dim, axis)?;
        let values: Array<'py> = self.dequantized(py)?;
        reduce(name, &values, axes.as_deref(), keepdims, &[])
    }
}
