//! Views with another shape. They share memory, and the channel axis follows.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySlice, PyTuple};
use quantray_core::qparams::Quantizer;

use super::QTensor;
use super::channels::mixed;
use crate::array::{Int, axis_in, data, describe, is_contiguous, np, tuple_text};
use crate::error::{Error, Result};

/// Integers given one by one, or as one tuple or list.
pub(super) fn integers(args: &Bound<'_, PyTuple>, name: &str) -> PyResult<Vec<isize>> {
    let items = match args.len() {
        1 if args.get_item(0)?.is_instance_of::<PyTuple>()
            || args.get_item(0)?.is_instance_of::<PyList>() =>
        {
            args.get_item(0)?
        }
        _ => args.clone().into_any(),
    };
    let found: Vec<Int> = items
        .extract()
        .map_err(|_| Error::type_(name, describe(&items), "integers, or one tuple of them"))?;
    Ok(found.into_iter().map(|i| i.0).collect())
}

/// A shape with at most one -1, which stands for what is left over.
pub(super) fn resolve(arg: &str, numel: usize, wanted: &[isize]) -> Result<Vec<usize>> {
    let text = || format!("{wanted:?}").replace('[', "(").replace(']', ")");
    let no = || Error::value(arg, text(), format!("one of {numel} elements, with at most one -1"));
    let unknown = wanted.iter().filter(|&&d| d == -1).count();
    if unknown > 1 || wanted.iter().any(|&d| d < -1) {
        return Err(no());
    }
    let known = wanted
        .iter()
        .filter(|&&d| d >= 0)
        .try_fold(1usize, |n, &d| n.checked_mul(d as usize))
        .ok_or_else(no)?;
    let rest = match unknown {
        0 if known == numel => 0,
        1 if known > 0 && numel.is_multiple_of(known) => numel / known,
        _ => return Err(no()),
    };
    Ok(wanted.iter().map(|&d| if d == -1 { rest } else { d as usize }).collect())
}

/// Where the channel axis of a shape is in another shape of the same elements, if it is there.
fn reshaped_axis(from: &[usize], axis: usize, to: &[usize]) -> Option<usize> {
    let inner: usize = from[axis + 1..].iter().product();
    let same = |k: usize| to[k] == from[axis] && to[k + 1..].iter().product::<usize>() == inner;
    (axis < to.len() && same(axis)).then_some(axis).or_else(|| (0..to.len()).find(|&k| same(k)))
}

impl QTensor {
    fn reshaped_quantizer(&self, from: &[usize], to: &[usize]) -> Result<Arc<Quantizer>> {
        let Some(axis) = self.quantizer().axis() else { return Ok(Arc::clone(self.quantizer())) };
        match reshaped_axis(from, axis, to) {
            Some(k) if k == axis => Ok(Arc::clone(self.quantizer())),
            Some(k) => Ok(Arc::new(self.quantizer().with_axis(k))),
            None if from[axis] == 1 => Ok(Arc::new(self.quantizer().channel(0)?)),
            None => Err(Error::unsupported(
                format!(
                    "a shape of {} would merge or split the channel axis, {axis} of {}, whose positions have scales of \
                     their own",
                    tuple_text(to),
                    tuple_text(from)
                ),
                "keep that axis whole, or call dequantize() first",
            )),
        }
    }

    /// The elements in another shape, a view wherever NumPy can make one; `must_view` where it has to.
    pub(super) fn reshaped(&self, py: Python<'_>, wanted: &[isize], must_view: bool) -> PyResult<QTensor> {
        let from = self.dims(py);
        let to = resolve("shape", self.len_of(py), wanted)?;
        let quantizer = self.reshaped_quantizer(from, &to)?;
        let own = self.codes(py);
        if self.packed().is_some() {
            return Ok(QTensor::from_parts(super::fresh_view(own)?, quantizer, Some(to.into())));
        }
        let codes = own.call_method1("reshape", (PyTuple::new(py, &to)?,))?.cast_into()?;
        if must_view && data(&codes) != data(own) && self.len_of(py) > 0 {
            let what =
                format!("a tensor with strides {:?} has no view of shape {}", own.strides(), tuple_text(&to));
            return Err(Error::unsupported(what, "use reshape(), which copies where it must").into());
        }
        Ok(QTensor::from_parts(codes, quantizer, None))
    }

    pub(super) fn not_packed(&self, method: &str) -> Result<()> {
        match self.packed() {
            None => Ok(()),
            Some(_) => Err(Error::unsupported(
                format!(
                    "{method}() would move elements of {} inside of their bytes",
                    self.quantizer().dtype().name()
                ),
                "call dequantize() first",
            )),
        }
    }

    pub(super) fn permuted(&self, py: Python<'_>, axes: &[isize]) -> PyResult<QTensor> {
        self.not_packed("permute")?;
        let ndim = self.dims(py).len();
        let axes = axes.iter().map(|&a| axis_in("dims", a, ndim)).collect::<Result<Vec<_>>>()?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        if sorted != (0..ndim).collect::<Vec<_>>() {
            return Err(Error::value("dims", tuple_text(&axes), format!("every axis of {ndim} once")).into());
        }
        let axes = PyTuple::new(py, axes)?;
        self.through(py, |a| a.call_method1("transpose", (&axes,)))
    }
}

#[pymethods]
impl QTensor {
    /// The same elements in another shape; a view wherever possible, a copy otherwise. One length may be -1.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([[1.0, 2.0], [3.0, 4.0]], 1.0, 0, qt.qint8)
    /// >>> q.reshape(-1).int_repr()
    /// array([1, 2, 3, 4], dtype=int8)
    #[pyo3(signature = (*shape))]
    fn reshape(&self, py: Python<'_>, shape: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.reshaped(py, &integers(shape, "shape")?, false)
    }

    /// The same elements in another shape, sharing memory. Raises a ValueError where that cannot be.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([[1.0, 2.0], [3.0, 4.0]], 1.0, 0, qt.qint8)
    /// >>> q.view(4).shape
    /// (4,)
    #[pyo3(signature = (*shape))]
    fn view(&self, py: Python<'_>, shape: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.reshaped(py, &integers(shape, "shape")?, true)
    }

    /// The axes from `start_dim` to `end_dim` as one; a view wherever possible.
    #[pyo3(signature = (start_dim=0, end_dim=-1), text_signature = "($self, start_dim=0, end_dim=-1)")]
    fn flatten(&self, py: Python<'_>, start_dim: isize, end_dim: isize) -> PyResult<QTensor> {
        let shape = self.dims(py);
        if shape.is_empty() {
            return self.reshaped(py, &[1], false);
        }
        let start = axis_in("start_dim", start_dim, shape.len())?;
        let end = axis_in("end_dim", end_dim, shape.len())?;
        if start > end {
            return Err(
                Error::value("start_dim", start_dim, format!("at or before end_dim, {end_dim}")).into()
            );
        }
        let mut wanted: Vec<isize> = shape[..start].iter().map(|&n| n as isize).collect();
        wanted.push(shape[start..=end].iter().product::<usize>() as isize);
        wanted.extend(shape[end + 1..].iter().map(|&n| n as isize));
        self.reshaped(py, &wanted, false)
    }

    /// All elements along one axis, one after the other in memory; a view where they lie so.
    fn ravel(&self, py: Python<'_>) -> PyResult<QTensor> {
        let flat = self.reshaped(py, &[self.len_of(py) as isize], false)?;
        if is_contiguous(flat.codes(py)) { Ok(flat) } else { flat.copied(py) }
    }

    /// Two axes swapped, as in torch; without arguments, or with every axis, as in NumPy. A view.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([[1.0, 2.0]], 1.0, 0, qt.qint8)
    /// >>> q.transpose(0, 1).shape
    /// (2, 1)
    #[pyo3(signature = (*dims))]
    fn transpose(&self, py: Python<'_>, dims: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        match integers(dims, "dims")?[..] {
            [] => self.reversed(py),
            [a, b] => self.swapped(py, (("dim0", a), ("dim1", b))),
            ref axes => self.permuted(py, axes),
        }
    }

    /// The axes in another order. A view.
    #[pyo3(signature = (*dims))]
    fn permute(&self, py: Python<'_>, dims: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.permuted(py, &integers(dims, "dims")?)
    }

    /// The axes in reverse order. A view.
    #[getter(T)]
    fn reversed(&self, py: Python<'_>) -> PyResult<QTensor> {
        let axes: Vec<isize> = (0..self.dims(py).len() as isize).rev().collect();
        self.permuted(py, &axes)
    }

    /// Without the axes of length 1, or without the given ones, one or a tuple, that have it. A view.
    #[pyo3(signature = (dim=None, *, axis=None))]
    pub(super) fn squeeze(
        &self,
        py: Python<'_>,
        dim: Option<&Bound<'_, PyAny>>,
        axis: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<QTensor> {
        let only = super::reduce::axes_of(self, py, dim, axis)?;
        let shape = self.dims(py);
        let gone = |d: usize| shape[d] == 1 && only.as_ref().is_none_or(|o| o.contains(&d));
        if self.packed().is_some() {
            let kept: Vec<isize> =
                (0..shape.len()).filter(|&d| !gone(d)).map(|d| shape[d] as isize).collect();
            return self.reshaped(py, &kept, false);
        }
        let gone = PyTuple::new(py, (0..shape.len()).filter(|&d| gone(d)).collect::<Vec<_>>())?;
        self.through(py, |a| a.call_method1("squeeze", (&gone,)))
    }

    /// With an axis of length 1 put in before `dim`. A view.
    #[pyo3(signature = (dim))]
    pub(super) fn unsqueeze(&self, py: Python<'_>, dim: isize) -> PyResult<QTensor> {
        let shape = self.dims(py);
        let at = axis_in("dim", dim, shape.len() + 1)?;
        if self.packed().is_some() {
            let mut wanted: Vec<isize> = shape.iter().map(|&n| n as isize).collect();
            wanted.insert(at, 1);
            return self.reshaped(py, &wanted, false);
        }
        // Not `expand_dims`: it reshapes, and an array without elements then forgets its strides.
        let mut key = vec![PySlice::full(py).into_any(); at];
        key.push(py.None().into_bound(py));
        let key = PyTuple::new(py, key)?;
        self.through(py, |a| a.get_item(&key))
    }

    /// The elements in reverse order along the given axes (all of them by default). A copy, as torch's;
    /// `numpy.flip(q)` and `q[::-1]` are views.
    #[pyo3(signature = (*dims))]
    fn flip(&self, py: Python<'_>, dims: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.not_packed("flip")?;
        let ndim = self.dims(py).len();
        let axes =
            integers(dims, "dims")?.iter().map(|&d| axis_in("dims", d, ndim)).collect::<Result<Vec<_>>>()?;
        if let Some((i, d)) = axes.iter().enumerate().find(|&(i, d)| axes[..i].contains(d)) {
            let valid = format!("different axes: the {}. and another one are both axis {d}", i + 1);
            return Err(Error::value("dims", dims, valid).into());
        }
        // NumPy would give an element of no dimensions, and an empty tuple, as in torch, names no axis.
        if ndim == 0 || axes.is_empty() && !dims.is_empty() {
            return self.copied(py);
        }
        let axes = match axes.is_empty() {
            true => py.None().into_bound(py),
            false => PyTuple::new(py, axes)?.into_any(),
        };
        self.through(py, |a| np(py)?.call_method1("flip", (a, &axes)))?.copied(py)
    }

    /// Axes of length 1, and new ones before them, repeated without a copy; -1 keeps a length. A read-only view:
    /// its elements share memory with each other.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([[1.0], [2.0]], 1.0, 0, qt.qint8).expand(-1, 3).tolist()
    /// [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    #[pyo3(signature = (*sizes))]
    pub(super) fn expand(&self, py: Python<'_>, sizes: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.not_packed("expand")?;
        let shape = self.dims(py);
        let sizes = integers(sizes, "sizes")?;
        let no = || {
            let one_channel = match self.quantizer().axis() {
                Some(axis) if shape[axis] == 1 => " (its channel axis keeps its length of 1)",
                _ => "",
            };
            let valid = format!("lengths that {} broadcasts to{one_channel}", tuple_text(shape));
            Error::value("sizes", format!("{sizes:?}"), valid)
        };
        let new = sizes.len().checked_sub(shape.len()).ok_or_else(no)?;
        let wanted = sizes.iter().enumerate().map(|(d, &n)| match (usize::try_from(n), d.checked_sub(new)) {
            (Ok(n), None) => Ok(n),
            (Ok(n), Some(old))
                if shape[old] == n || (shape[old] == 1 && self.quantizer().axis() != Some(old)) =>
            {
                Ok(n)
            }
            (Err(_), Some(old)) if n == -1 => Ok(shape[old]),
            _ => Err(no()),
        });
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        if wanted.iter().try_fold(1isize, |n, &d| n.checked_mul(d as isize)).is_none() {
            return Err(Error::value("sizes", format!("{sizes:?}"), "of a product below 2**63").into());
        }
        let wanted = PyTuple::new(py, wanted)?;
        self.through(py, |a| np(py)?.call_method1("broadcast_to", (a, &wanted)))
    }
}

/// Checks that an operation along `axis` does not mix channels.
pub(super) fn keeps_channels(q: &QTensor, axis: Option<usize>, what: &str) -> Result<()> {
    match q.quantizer().axis() {
        Some(channels) if axis.is_none_or(|a| a == channels) => Err(mixed(what)),
        _ => Ok(()),
    }
}
