//! Views with their axes moved, cut or turned, by torch's names and NumPy's.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::QTensor;
use super::shape::integers;
use crate::array::{Int, axis_in, describe, dim_in, np, tuple_text, view_of};
use crate::error::{Error, Result};

/// One axis, or several.
pub(super) fn one_or_more(object: &Bound<'_, PyAny>, arg: &str) -> PyResult<Vec<isize>> {
    if let Ok(one) = object.extract::<Int>() {
        return Ok(vec![one.0]);
    }
    let many: Vec<Int> =
        object.extract().map_err(|_| Error::type_(arg, describe(object), "an integer or a tuple of them"))?;
    Ok(many.into_iter().map(|i| i.0).collect())
}

impl QTensor {
    pub(super) fn swapped(
        &self,
        py: Python<'_>,
        (a, b): ((&str, isize), (&str, isize)),
    ) -> PyResult<QTensor> {
        let ndim = self.dims(py).len();
        let (one, two) = (dim_in(a.0, a.1, ndim)?, dim_in(b.0, b.1, ndim)?);
        let mut axes: Vec<isize> = (0..ndim as isize).collect();
        if ndim > 0 {
            axes.swap(one, two);
        }
        self.permuted(py, &axes)
    }

    /// The view that a function of NumPy makes.
    fn view_by<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        arguments: impl Fn(&crate::array::Array<'py>) -> PyResult<Bound<'py, PyTuple>>,
    ) -> PyResult<QTensor> {
        self.not_packed(name)?;
        let function = np(py)?.getattr(name)?;
        self.through(py, |a| function.call1(arguments(a)?))
    }

    /// At least `least` axes, for a function that needs them.
    fn has_axes(&self, py: Python<'_>, name: &str, least: usize) -> Result<()> {
        match self.dims(py).len() {
            n if n < least => Err(Error::value(
                "the tensor",
                tuple_text(self.dims(py)),
                format!("of at least {least} dimensions for {name}()"),
            )),
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl QTensor {
    /// Two axes swapped. A view.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([[1.0, 2.0]], 1.0, 0, qt.qint8).swapaxes(0, 1).shape
    /// (2, 1)
    pub(super) fn swapaxes(&self, py: Python<'_>, axis0: Int, axis1: Int) -> PyResult<QTensor> {
        self.swapped(py, (("axis0", axis0.0), ("axis1", axis1.0)))
    }

    /// Two axes swapped. A view; the same as `swapaxes`.
    pub(super) fn swapdims(&self, py: Python<'_>, dim0: Int, dim1: Int) -> PyResult<QTensor> {
        self.swapped(py, (("dim0", dim0.0), ("dim1", dim1.0)))
    }

    /// A matrix with its axes swapped; a tensor of fewer dimensions as it is. A view.
    pub(super) fn t(&self, py: Python<'_>) -> PyResult<QTensor> {
        let ndim = self.dims(py).len();
        if ndim > 2 {
            let valid = "of at most 2 dimensions for t(); use transpose(dim0, dim1) or .T";
            return Err(Error::value("the tensor", tuple_text(self.dims(py)), valid).into());
        }
        let axes: Vec<isize> = (0..ndim as isize).rev().collect();
        self.permuted(py, &axes)
    }

    /// The last two axes swapped. A view.
    #[getter(mT)]
    fn matrix_transpose(&self, py: Python<'_>) -> PyResult<QTensor> {
        self.has_axes(py, "mT", 2)?;
        self.swapped(py, (("dim", -2), ("dim", -1)))
    }

    /// The last two axes swapped: values are real, so that nothing is conjugated. A view.
    fn adjoint(&self, py: Python<'_>) -> PyResult<QTensor> {
        if self.dims(py).is_empty() {
            return Ok(self.again(py));
        }
        self.has_axes(py, "adjoint", 2)?;
        self.swapped(py, (("dim", -2), ("dim", -1)))
    }

    /// Some axes moved to other positions; the others keep their order. A view.
    ///
    /// Parameters
    /// ----------
    /// source, destination : int or tuple of int
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> q = qt.quantize_per_tensor(np.zeros((2, 3, 4)), 1.0, 0, qt.qint8)
    /// >>> q.movedim(0, -1).shape, q.movedim((0, 1), (1, 0)).shape
    /// ((3, 4, 2), (3, 2, 4))
    fn movedim(
        &self,
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        destination: &Bound<'_, PyAny>,
    ) -> PyResult<QTensor> {
        let ndim = self.dims(py).len();
        let axes = |given: &Bound<'_, PyAny>, arg: &str| -> PyResult<Vec<usize>> {
            let axes: Vec<usize> =
                one_or_more(given, arg)?.iter().map(|&a| dim_in(arg, a, ndim)).collect::<Result<_>>()?;
            match axes.iter().enumerate().any(|(i, a)| axes[..i].contains(a)) {
                true => Err(Error::value(arg, describe(given), "axes that differ").into()),
                false => Ok(axes),
            }
        };
        let (from, to) = (axes(source, "source")?, axes(destination, "destination")?);
        if from.len() != to.len() {
            let valid = format!("as many axes as source has, {}", from.len());
            return Err(Error::value("destination", describe(destination), valid).into());
        }
        let mut order: Vec<isize> = (0..ndim).filter(|d| !from.contains(d)).map(|d| d as isize).collect();
        let mut pairs: Vec<_> = to.into_iter().zip(from).collect();
        pairs.sort_unstable();
        if ndim > 0 {
            pairs.into_iter().for_each(|(to, from)| order.insert(to, from as isize));
        }
        self.permuted(py, &order)
    }

    /// Some axes moved to other positions. A view; the same as `movedim`.
    fn moveaxis(
        &self,
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        destination: &Bound<'_, PyAny>,
    ) -> PyResult<QTensor> {
        self.movedim(py, source, destination)
    }

    /// The elements whose positions along two axes differ by `offset`; their axis is the last one. A read-only view.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([[1.0, 2.0], [3.0, 4.0]], 1.0, 0, qt.qint8).diagonal().tolist()
    /// [1.0, 4.0]
    #[pyo3(signature = (offset=Int(0), dim1=Int(0), dim2=Int(1), *, axis1=None, axis2=None),
           text_signature = "($self, offset=0, dim1=0, dim2=1, *, axis1=None, axis2=None)")]
    fn diagonal(
        &self,
        py: Python<'_>,
        offset: Int,
        dim1: Int,
        dim2: Int,
        axis1: Option<Int>,
        axis2: Option<Int>,
    ) -> PyResult<QTensor> {
        self.has_axes(py, "diagonal", 2)?;
        let ndim = self.dims(py).len();
        let one = axis_in("dim1", axis1.unwrap_or(dim1).0, ndim)?;
        let two = axis_in("dim2", axis2.unwrap_or(dim2).0, ndim)?;
        if one == two {
            return Err(Error::value("dim2", two, "another axis than dim1").into());
        }
        self.view_by(py, "diagonal", |a| (a, offset.0, one, two).into_pyobject(py))
    }

    /// The columns of a matrix in reverse order. A copy; `numpy.fliplr(q)` is a view.
    fn fliplr(&self, py: Python<'_>) -> PyResult<QTensor> {
        self.has_axes(py, "fliplr", 2)?;
        self.view_by(py, "fliplr", |a| PyTuple::new(py, [a]))?.copied(py)
    }

    /// The rows in reverse order. A copy; `numpy.flipud(q)` is a view.
    fn flipud(&self, py: Python<'_>) -> PyResult<QTensor> {
        self.has_axes(py, "flipud", 1)?;
        self.view_by(py, "flipud", |a| PyTuple::new(py, [a]))?.copied(py)
    }

    /// Turned `k` times by 90 degrees in the plane of two axes, from the first to the second. A copy; `numpy.rot90(q)`
    /// is a view.
    #[pyo3(signature = (k=1, dims=(0, 1)), text_signature = "($self, k=1, dims=(0, 1))")]
    fn rot90(&self, py: Python<'_>, k: i64, dims: (isize, isize)) -> PyResult<QTensor> {
        self.has_axes(py, "rot90", 2)?;
        let ndim = self.dims(py).len();
        let plane = (axis_in("dims", dims.0, ndim)?, axis_in("dims", dims.1, ndim)?);
        if plane.0 == plane.1 {
            return Err(Error::value("dims", format!("{dims:?}"), "two axes that differ").into());
        }
        self.view_by(py, "rot90", |a| (a, k.rem_euclid(4), plane).into_pyobject(py))?.copied(py)
    }

    /// The elements in a larger shape, those of axes of length 1 repeated without a copy. A read-only view.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.qint8).broadcast_to((2, 2)).tolist()
    /// [[1.0, 2.0], [1.0, 2.0]]
    #[pyo3(signature = (*size))]
    fn broadcast_to(&self, py: Python<'_>, size: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        self.expand(py, size)
    }

    /// The elements in the shape of another tensor or array, repeated without a copy. A read-only view.
    fn expand_as(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        self.expand(py, &PyTuple::new(py, [shape_of(other)?])?)
    }

    /// The elements in the shape of another tensor or array; a view wherever possible.
    fn reshape_as(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        self.reshaped(py, &integers(&shape_of(other)?, "shape")?, false)
    }

    /// The elements in the shape of another tensor or array, sharing memory.
    fn view_as(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        self.reshaped(py, &integers(&shape_of(other)?, "shape")?, true)
    }

    /// One axis as several, whose lengths multiply to its own; one of them may be -1. A view wherever possible.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0, 3.0, 4.0], 1.0, 0, qt.qint8).unflatten(0, (2, -1)).shape
    /// (2, 2)
    fn unflatten(&self, py: Python<'_>, dim: Int, sizes: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        let shape = self.dims(py);
        let axis = axis_in("dim", dim.0, shape.len())?;
        let wanted = one_or_more(sizes, "sizes")?;
        let inner = super::shape::resolve("sizes", shape[axis], &wanted)?;
        let whole: Vec<isize> =
            shape[..axis].iter().chain(&inner).chain(&shape[axis + 1..]).map(|&n| n as isize).collect();
        self.reshaped(py, &whole, false)
    }

    /// Windows of `size` positions along an axis, one every `step`; the windows' own axis is the last one. A view.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0, 3.0], 1.0, 0, qt.qint8).unfold(0, 2, 1).tolist()
    /// [[1.0, 2.0], [2.0, 3.0]]
    fn unfold(&self, py: Python<'_>, dimension: Int, size: Int, step: Int) -> PyResult<QTensor> {
        self.not_packed("unfold")?;
        let ndim = self.dims(py).len();
        if ndim == 0 {
            // The windows of one position are one, whose axis is the only one.
            dim_in("dimension", dimension.0, ndim)?;
            let windows = self.reshaped(py, &[1], false)?.unfold(py, Int(0), size, step)?;
            return windows.through(py, |a| a.get_item(0));
        }
        let axis = axis_in("dimension", dimension.0, ndim)?;
        let n = self.dims(py)[axis] as isize;
        if !(0..=n).contains(&size.0) {
            let valid = format!("from 0 to the length of axis {axis}, {n}");
            return Err(Error::value("size", size.0, valid).into());
        }
        if step.0 < 1 {
            return Err(Error::value("step", step.0, "at least 1").into());
        }
        if size.0 > 1 && step.0 != size.0 && self.quantizer().axis() == Some(axis) {
            return Err(super::channels::mixed("unfold() along the channel axis").into());
        }
        let windows = ((n - size.0) / step.0 + 1) as usize;
        self.through(py, |a| {
            let (mut shape, mut strides) = (a.shape().to_vec(), a.strides().to_vec());
            shape[axis] = windows;
            shape.push(size.0 as usize);
            strides.push(strides[axis]);
            // A step beyond the axis is never taken: there is one window then.
            strides[axis] = strides[axis].wrapping_mul(if windows > 1 { step.0 } else { 1 });
            // SAFETY: the last position is (windows - 1) * step + size - 1, inside of the axis' n.
            Ok(unsafe { view_of(a, 0, &shape, &strides)? }.into_any())
        })
    }
}

/// The shape of a tensor or an array, as a tuple.
pub(super) fn shape_of<'py>(other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let shape = other.getattr("shape").and_then(|s| Ok(s.cast_into::<PyTuple>()?));
    shape.map_err(|_| Error::type_("other", describe(other), "a tensor or an array").into())
}

impl QTensor {
    /// Whether an object is one number for an axis.
    pub(super) fn is_number(object: &Bound<'_, PyAny>) -> bool {
        object.is_instance_of::<PyInt>() || object.extract::<isize>().is_ok()
    }
}
