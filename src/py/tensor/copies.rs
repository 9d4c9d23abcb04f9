//! Tensors made of this one's elements, repeated, picked or in another order: with memory of their own.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use std::sync::Arc;

use super::QTensor;
use super::axes::one_or_more;
use super::shape::integers;
use crate::array::{Array, Int, as_array, axis_in, describe, dim_in, len, np, tuple_text};
use crate::error::{Error, Result};

impl QTensor {
    /// A function of NumPy on the codes, called as `function(codes, *args)`.
    fn moved_by<'py>(&self, py: Python<'py>, name: &str, args: &[Bound<'py, PyAny>]) -> PyResult<QTensor> {
        let function = np(py)?.getattr(name)?;
        self.moved(py, &format!("{name}()"), |a| {
            let all = std::iter::once(a.clone().into_any()).chain(args.iter().cloned());
            function.call1(PyTuple::new(py, all.collect::<Vec<_>>())?)
        })
    }

    /// The axis' length, for positions along it.
    fn along(&self, py: Python<'_>, arg: &str, dim: isize) -> Result<(usize, usize)> {
        let axis = axis_in(arg, dim, self.dims(py).len())?;
        Ok((axis, self.dims(py)[axis]))
    }
}

/// Integers as an array, checked to be positions in `0..n`, counted from the end where negative.
fn positions<'py>(object: &Bound<'py, PyAny>, arg: &str, n: usize) -> PyResult<Array<'py>> {
    let array = as_array(object)?;
    if len(&array) == 0 {
        return Ok(array.call_method1("astype", ("int64",))?.cast_into()?);
    }
    if !b"iu".contains(&array.dtype().kind()) {
        return Err(Error::type_(arg, format!("dtype {}", array.dtype()), "integers").into());
    }
    let least: i128 = array.call_method0("min")?.call_method0("item")?.extract()?;
    let most: i128 = array.call_method0("max")?.call_method0("item")?.extract()?;
    let n = n as i128;
    if least < -n || most >= n {
        let got = if least < -n { least } else { most };
        return Err(Error::index(arg, got, format!("positions in {} to {}", -n, n - 1)).into());
    }
    Ok(array)
}

#[pymethods]
impl QTensor {
    /// The tensor repeated along each axis: torch's `repeat`, NumPy's `tile`. With `axis=`, NumPy's `repeat`: each
    /// position of that axis as often as said.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.qint8)
    /// >>> q.repeat(2).tolist(), q.repeat(2, axis=0).tolist()
    /// ([1.0, 2.0, 1.0, 2.0], [1.0, 1.0, 2.0, 2.0])
    #[pyo3(signature = (*repeats, axis=None))]
    fn repeat(&self, py: Python<'_>, repeats: &Bound<'_, PyTuple>, axis: Option<Int>) -> PyResult<QTensor> {
        if let Some(axis) = axis {
            let one = match repeats.len() {
                1 => repeats.get_item(0)?,
                n => return Err(Error::value("repeats", format!("{n} of them"), "one beside axis").into()),
            };
            return self.repeat_interleave(py, &one, Some(axis), None);
        }
        let times = integers(repeats, "repeats")?;
        let ndim = self.dims(py).len();
        if times.len() < ndim || times.iter().any(|&n| n < 0) {
            let valid = format!("at least {ndim} numbers from 0 on, one for each axis");
            return Err(Error::value("repeats", format!("{times:?}"), valid).into());
        }
        self.tile(py, &PyTuple::new(py, times)?)
    }

    /// The tensor repeated along each axis; fewer numbers than axes are those of the last ones.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([[1.0], [2.0]], 1.0, 0, qt.qint8).tile(2).tolist()
    /// [[1.0, 1.0], [2.0, 2.0]]
    #[pyo3(signature = (*dims))]
    fn tile(&self, py: Python<'_>, dims: &Bound<'_, PyTuple>) -> PyResult<QTensor> {
        let times = integers(dims, "dims")?;
        if times.iter().any(|&n| n < 0) {
            return Err(Error::value("dims", format!("{times:?}"), "numbers from 0 on").into());
        }
        self.moved_by(py, "tile", &[PyTuple::new(py, times)?.into_any()])
    }

    /// Each position of an axis (of the flat tensor, without one) as often as said: NumPy's `repeat`.
    ///
    /// Parameters
    /// ----------
    /// repeats : int, or array_like of int, one for each position
    /// dim : int, optional
    /// output_size : int, optional
    ///     The sum of the repeats; it is checked.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0], 1.0, 0, qt.qint8).repeat_interleave([1, 2]).tolist()
    /// [1.0, 2.0, 2.0]
    #[pyo3(signature = (repeats, dim=None, *, output_size=None))]
    fn repeat_interleave(
        &self,
        py: Python<'_>,
        repeats: &Bound<'_, PyAny>,
        dim: Option<Int>,
        output_size: Option<usize>,
    ) -> PyResult<QTensor> {
        let times = as_array(repeats)?;
        let n = match dim {
            Some(dim) => self.along(py, "dim", dim.0)?.1,
            None => self.len_of(py),
        };
        let wrong = |valid: &str| Error::value("repeats", describe(repeats), valid.to_owned());
        if !b"iu".contains(&times.dtype().kind())
            || times.call_method1("__lt__", (0,))?.call_method0("any")?.is_truthy()?
        {
            return Err(wrong("integers from 0 on").into());
        }
        if times.ndim() > 1 || (len(&times) != 1 && len(&times) != n) {
            return Err(wrong(&format!("one number, or one for each of {n} positions")).into());
        }
        let made =
            self.moved_by(py, "repeat", &[times.into_any(), dim.map(|d| d.0).into_pyobject(py)?.into_any()])?;
        let length = dim.map_or(made.len_of(py), |d| {
            let shape = made.dims(py);
            shape[axis_in("dim", d.0, shape.len()).unwrap_or(0)]
        });
        match output_size {
            Some(size) if size != length => {
                Err(Error::value("output_size", size, format!("the sum of the repeats, {length}")).into())
            }
            _ => Ok(made),
        }
    }

    /// The elements moved along axes, those beyond the end to the beginning; without axes, along the flat tensor.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([1.0, 2.0, 3.0], 1.0, 0, qt.qint8).roll(1).tolist()
    /// [3.0, 1.0, 2.0]
    #[pyo3(signature = (shifts, dims=None, *, axis=None))]
    fn roll(
        &self,
        py: Python<'_>,
        shifts: &Bound<'_, PyAny>,
        dims: Option<&Bound<'_, PyAny>>,
        axis: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<QTensor> {
        let by = one_or_more(shifts, "shifts")?;
        let ndim = self.dims(py).len();
        let Some(given) = dims.or(axis) else {
            return match by[..] {
                [one] => self.moved_by(py, "roll", &[one.into_pyobject(py)?.into_any()]),
                _ => Err(Error::value("shifts", describe(shifts), "one number where dims is absent").into()),
            };
        };
        let axes: Vec<usize> =
            one_or_more(given, "dims")?.iter().map(|&a| axis_in("dims", a, ndim)).collect::<Result<_>>()?;
        if axes.len() != by.len() {
            let valid = format!("as many as shifts, {}", by.len());
            return Err(Error::value("dims", describe(given), valid).into());
        }
        self.moved_by(py, "roll", &[PyTuple::new(py, by)?.into_any(), PyTuple::new(py, axes)?.into_any()])
    }

    /// The elements at the given positions along an axis.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([[1.0, 2.0], [3.0, 4.0]], 1.0, 0, qt.qint8)
    /// >>> q.index_select(1, [1, 1]).tolist()
    /// [[2.0, 2.0], [4.0, 4.0]]
    pub(super) fn index_select(
        &self,
        py: Python<'_>,
        dim: Int,
        index: &Bound<'_, PyAny>,
    ) -> PyResult<QTensor> {
        if self.dims(py).is_empty() {
            dim_in("dim", dim.0, 0)?;
            let index = positions(index, "index", 1)?;
            return match len(&index) {
                1 => self.copied(py),
                n => Err(Error::value("index", format!("{n} positions"), "one, of an element").into()),
            };
        }
        let (axis, n) = self.along(py, "dim", dim.0)?;
        let index = positions(index, "index", n)?;
        if index.ndim() > 1 {
            return Err(Error::value("index", tuple_text(index.shape()), "of one dimension").into());
        }
        let index = index.call_method1("reshape", (-1,))?;
        self.moved_by(py, "take", &[index, axis.into_pyobject(py)?.into_any()])
    }

    /// The elements at the given positions, of the flat tensor or along an axis, in the positions' shape.
    #[pyo3(signature = (indices, axis=None))]
    fn take(&self, py: Python<'_>, indices: &Bound<'_, PyAny>, axis: Option<Int>) -> PyResult<QTensor> {
        let (axis, n) = match axis {
            Some(axis) => self.along(py, "axis", axis.0).map(|(axis, n)| (Some(axis), n))?,
            None => (None, self.len_of(py)),
        };
        let indices = positions(indices, "indices", n)?;
        self.moved_by(py, "take", &[indices.into_any(), axis.into_pyobject(py)?.into_any()])
    }

    /// Along an axis, the element at each of the given positions, which broadcast with the other axes.
    #[pyo3(signature = (indices, dim=None))]
    fn take_along_dim(
        &self,
        py: Python<'_>,
        indices: &Bound<'_, PyAny>,
        dim: Option<Int>,
    ) -> PyResult<QTensor> {
        let (axis, n) = match dim {
            Some(dim) => self.along(py, "dim", dim.0).map(|(axis, n)| (Some(axis), n))?,
            None => (None, self.len_of(py)),
        };
        let indices = positions(indices, "indices", n)?;
        if axis.is_some() && indices.ndim() != self.dims(py).len() {
            let valid = format!("of {} dimensions, as the tensor", self.dims(py).len());
            return Err(Error::value("indices", tuple_text(indices.shape()), valid).into());
        }
        self.moved_by(py, "take_along_axis", &[indices.into_any(), axis.into_pyobject(py)?.into_any()])
    }

    /// The elements where a mask holds, along one axis.
    fn masked_select(&self, py: Python<'_>, mask: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        let mask = super::fill::bools(mask, "mask")?;
        let shape = PyTuple::new(py, self.dims(py))?;
        let spread = np(py)?.call_method1("broadcast_to", (&mask, shape)).map_err(|_| {
            let valid = format!("of a shape that broadcasts to {}", tuple_text(self.dims(py)));
            Error::value("mask", tuple_text(mask.shape()), valid)
        })?;
        self.moved(py, "masked_select()", |a| a.get_item(&spread))
    }

    /// Sorted along the first axis, values alone.
    fn msort(slf: &Bound<'_, Self>) -> PyResult<QTensor> {
        let py = slf.py();
        let options = PyDict::new(py);
        options.set_item("dim", 0)?;
        let pair = slf.call_method("sort", (), Some(&options))?;
        let values = pair.getattr("values")?.cast_into::<Self>()?;
        Ok(values.get().again(py))
    }

    /// The diagonal of a matrix; for a tensor of one dimension, the matrix that has it and is 0 elsewhere.
    #[pyo3(signature = (diagonal=0))]
    fn diag(&self, py: Python<'_>, diagonal: i32) -> PyResult<QTensor> {
        let diagonal = i64::from(diagonal);
        match *self.dims(py) {
            [_, _] => self.moved(py, "diag()", |a| np(py)?.call_method1("diag", (a, diagonal)))?.copied(py),
            [n] => {
                let Some((_, zero)) = self.single() else {
                    return Err(super::channels::mixed("diag()").into());
                };
                let side = n + diagonal.unsigned_abs() as usize;
                let codes = self.element_codes(py)?;
                let made = np(py)?.call_method1("full", ((side, side), zero, codes.dtype()))?;
                let line = np(py)?.call_method1("arange", (n,))?;
                let down = line.call_method1("__add__", ((-diagonal).max(0),))?;
                let right = line.call_method1("__add__", (diagonal.max(0),))?;
                made.set_item((down, right), codes)?;
                QTensor::wrap(made.cast_into::<PyUntypedArray>()?, Arc::clone(self.quantizer()))
            }
            ref shape => {
                let valid = "of 1 or 2 dimensions for diag()";
                Err(Error::value("the tensor", tuple_text(shape), valid).into())
            }
        }
    }
}

impl QTensor {
    /// Another object over the same memory.
    pub(super) fn again(&self, py: Python<'_>) -> QTensor {
        self.with_codes(self.codes(py).clone())
    }
}
