//! Elements replaced: by a mask, by positions, by a slice. The grid stays; values are requantized to it.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PySlice, PyTuple};

use super::QTensor;
use crate::array::{Array, Int, as_array, as_float32, axis_in, describe, len, np, tuple_text};
use crate::error::Error;

/// An array of bool.
pub(super) fn bools<'py>(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let array = match object.cast::<PyUntypedArray>() {
        Ok(a) => a.clone(),
        Err(_) => as_array(object)?,
    };
    match array.dtype().kind() {
        b'b' => Ok(array),
        _ => Err(Error::type_(arg, format!("dtype {}", array.dtype()), "an array of bool").into()),
    }
}

/// A single number, as an array.
fn scalar<'py>(value: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let value = as_float32(value, arg)?;
    match len(&value) {
        1 => Ok(value.call_method1("reshape", ((),))?.cast_into()?),
        _ => Err(Error::value(arg, tuple_text(value.shape()), "a single number").into()),
    }
}

#[pymethods]
impl QTensor {
    /// Sets the elements where a mask holds to one value, rounded to the tensor's grid. The mask broadcasts.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    /// >>> q.masked_fill_(q > 1.5, 0.5).tolist()
    /// [1.0, 0.5]
    fn masked_fill_<'py>(
        slf: &Bound<'py, Self>,
        mask: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let (py, me) = (slf.py(), slf.get());
        let mask = bools(mask, "mask")?;
        let shape = PyTuple::new(py, me.dims(py))?;
        let spread = np(py)?.call_method1("broadcast_to", (&mask, shape)).map_err(|_| {
            let valid = format!("of a shape that broadcasts to {}", tuple_text(me.dims(py)));
            Error::value("mask", tuple_text(mask.shape()), valid)
        })?;
        me.assign(py, &spread, scalar(value, "value")?.as_any())?;
        Ok(slf.clone())
    }

    /// A copy with the elements where a mask holds set to one value, rounded to the tensor's grid.
    fn masked_fill<'py>(
        &self,
        py: Python<'py>,
        mask: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        Self::masked_fill_(&Bound::new(py, self.copied(py)?)?, mask, value)
    }

    /// Sets the elements at `indices`, a tuple of index arrays or masks, to `values`, rounded to the tensor's grid.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([1.0, 2.0, 3.0], 0.5, 0, qt.qint8)
    /// >>> q.index_put_(([0, 2],), 0.5).tolist()
    /// [0.5, 2.0, 0.5]
    #[pyo3(signature = (indices, values, accumulate=false))]
    fn index_put_<'py>(
        slf: &Bound<'py, Self>,
        indices: &Bound<'py, PyAny>,
        values: &Bound<'py, PyAny>,
        accumulate: bool,
    ) -> PyResult<Bound<'py, Self>> {
        if accumulate {
            let what = "index_put_(accumulate=True) would add codes of different sums to one grid";
            return Err(Error::unsupported(what, "add on q.dequantize() and quantize the result").into());
        }
        let py = slf.py();
        let key: Vec<Bound<'py, PyAny>> = match indices.try_iter() {
            Ok(items) => items.collect::<PyResult<_>>()?,
            Err(_) => {
                return Err(Error::type_("indices", describe(indices), "a tuple of index arrays").into());
            }
        };
        slf.get().assign(py, PyTuple::new(py, key)?.as_any(), values)?;
        Ok(slf.clone())
    }

    /// A copy with the elements at `indices`, a tuple of index arrays or masks, set to `values`.
    #[pyo3(signature = (indices, values, accumulate=false))]
    fn index_put<'py>(
        &self,
        py: Python<'py>,
        indices: &Bound<'py, PyAny>,
        values: &Bound<'py, PyAny>,
        accumulate: bool,
    ) -> PyResult<Bound<'py, Self>> {
        Self::index_put_(&Bound::new(py, self.copied(py)?)?, indices, values, accumulate)
    }

    /// A copy with the positions `start` to `end` along an axis, every `step`, set to `src`'s elements.
    #[pyo3(signature = (src, dim=Int(0), start=None, end=None, step=Int(1)),
           text_signature = "($self, src, dim=0, start=None, end=None, step=1)")]
    fn slice_scatter(
        &self,
        py: Python<'_>,
        src: &Bound<'_, PyAny>,
        dim: Int,
        start: Option<Int>,
        end: Option<Int>,
        step: Int,
    ) -> PyResult<QTensor> {
        let axis = axis_in("dim", dim.0, self.dims(py).len())?;
        if step.0 < 1 {
            return Err(Error::value("step", step.0, "at least 1").into());
        }
        let slice = py.get_type::<PySlice>().call1((start.map(|s| s.0), end.map(|e| e.0), step.0))?;
        let mut key = vec![PySlice::full(py).into_any(); axis];
        key.push(slice);
        let copy = self.copied(py)?;
        copy.assign(py, PyTuple::new(py, key)?.as_any(), src)?;
        Ok(copy)
    }

    /// A copy with one position along an axis set to `src`'s elements.
    fn select_scatter(
        &self,
        py: Python<'_>,
        src: &Bound<'_, PyAny>,
        dim: Int,
        index: Int,
    ) -> PyResult<QTensor> {
        let axis = axis_in("dim", dim.0, self.dims(py).len())?;
        let mut key = vec![PySlice::full(py).into_any(); axis];
        key.push(index.0.into_pyobject(py)?.into_any());
        let copy = self.copied(py)?;
        copy.assign(py, PyTuple::new(py, key)?.as_any(), src)?;
        Ok(copy)
    }
}
