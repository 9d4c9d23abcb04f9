//! Indexing and assignment.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PySlice, PyTuple};
use quantray_core::qparams::{DType, Quantizer, quantize_one};

use super::QTensor;
use super::channels::numbered;
use crate::array::{
    Array, as_array, as_float32, contiguous, data, elements, is_writable, len, np, tuple_text, view_of,
};
use crate::create::quantize_array;
use crate::error::Error;

/// An index: what NumPy gets, and whether it only selects a view.
struct Key<'py> {
    items: Bound<'py, PyTuple>,
    basic: bool,
    /// Whether the user wrote an ellipsis, which asks for a view also where a single element is left.
    ellipsis: bool,
}

impl<'py> Key<'py> {
    /// A tuple with an ellipsis, so that NumPy gives an array, and a view, also for a single element.
    fn parse(key: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = key.py();
        let items: Vec<Bound<'py, PyAny>> = match key.cast::<PyTuple>() {
            Ok(t) => t.iter().collect(),
            Err(_) => vec![key.clone()],
        };
        let basic = items.iter().all(is_basic);
        let has_ellipsis = items.iter().any(|i| i.is_instance_of::<PyEllipsis>());
        let mut items = items;
        if basic && !has_ellipsis {
            items.push(py.Ellipsis().into_bound(py));
        }
        Ok(Self { items: PyTuple::new(py, items)?, basic, ellipsis: has_ellipsis })
    }

    /// What the index holds for each axis of an array of `ndim` dimensions, in order: masks as the index arrays
    /// that they stand for. Ellipses and new axes, which take none, have no axis.
    fn by_axis(&self, ndim: usize) -> PyResult<Vec<(Option<usize>, Bound<'py, PyAny>)>> {
        let mut items = Vec::new();
        for item in self.items.iter() {
            match mask(&item)? {
                Some(mask) if mask.ndim() > 0 => {
                    let positions = mask.call_method0("nonzero")?.cast_into::<PyTuple>()?;
                    items.extend(positions.iter().map(|p| (true, p)));
                }
                Some(mask) => items.push((false, mask.into_any())),
                None => items.push((!item.is_none() && !item.is_instance_of::<PyEllipsis>(), item)),
            }
        }
        let used = items.iter().filter(|(takes, _)| *takes).count();
        let mut at = 0;
        let by_axis = items.into_iter().map(|(takes, item)| {
            let axis = takes.then_some(at);
            at += match takes {
                true => 1,
                false if item.is_instance_of::<PyEllipsis>() => ndim.saturating_sub(used),
                false => 0,
            };
            (axis, item)
        });
        Ok(by_axis.collect())
    }

    /// Whether the index holds one number for this axis of an array of `ndim` dimensions.
    fn selects(&self, axis: usize, ndim: usize) -> PyResult<bool> {
        Ok(self.by_axis(ndim)?.iter().any(|(at, item)| *at == Some(axis) && is_integer(item)))
    }

    /// An index like this one, which picks nothing, for an array of length 1 along all axes but `axis`: one that
    /// picks something along each, and what this one does along `axis`.
    fn picking_one(&self, axis: usize, shape: &[usize]) -> PyResult<Bound<'py, PyTuple>> {
        let py = self.items.py();
        let mut items = Vec::new();
        for (at, item) in self.by_axis(shape.len())? {
            let Some(at) = at else {
                items.push(item);
                continue;
            };
            let own = at == axis;
            items.push(if let Ok(slice) = item.cast::<PySlice>() {
                let keep = own && slice.indices(shape[axis] as isize)?.slicelength > 0;
                if keep { item } else { PySlice::new(py, 0, 1, 1).into_any() }
            } else if is_integer(&item) {
                if own { item } else { 0i64.into_pyobject(py)?.into_any() }
            } else {
                let positions = as_array(&item)?;
                let lengths: Vec<usize> = positions.shape().iter().map(|&n| n.max(1)).collect();
                match own && len(&positions) > 0 {
                    true => positions.into_any(),
                    false => np(py)?.call_method1("zeros", (lengths, "int64"))?,
                }
            });
        }
        PyTuple::new(py, items)
    }
}

/// An item of an index as a mask, where it is one: an array, list or number of bool.
fn mask<'py>(item: &Bound<'py, PyAny>) -> PyResult<Option<Array<'py>>> {
    if is_basic(item) {
        return Ok(None);
    }
    let array = as_array(item)?;
    Ok((array.dtype().kind() == b'b').then_some(array))
}

fn is_integer(item: &Bound<'_, PyAny>) -> bool {
    if item.is_instance_of::<PyBool>() {
        return false;
    }
    if item.is_instance_of::<PyInt>() {
        return true;
    }
    match item.cast::<PyUntypedArray>() {
        Ok(a) => a.ndim() == 0 && b"iu".contains(&a.dtype().kind()),
        // NumPy's integers; its bool has no __index__, lists neither.
        Err(_) => item.hasattr("__index__").unwrap_or(false),
    }
}

fn is_basic(item: &Bound<'_, PyAny>) -> bool {
    item.is_none()
        || item.is_instance_of::<PySlice>()
        || item.is_instance_of::<PyEllipsis>()
        || is_integer(item)
}

/// A position along an axis of `n` elements, counted from the end where negative.
fn position(i: isize, n: usize) -> Option<usize> {
    let i = if i < 0 { i + n as isize } else { i };
    (0..n as isize).contains(&i).then_some(i as usize)
}

#[pymethods]
impl QTensor {
    /// As in NumPy: slices give views, index arrays and masks copies, and a number for each axis an element of its
    /// own. `q[3, ...]` is the view of an element.
    pub(super) fn __getitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<QTensor> {
        if let Some(row) = self.plain_row(py, key)? {
            return Ok(row);
        }
        let key = Key::parse(key)?;
        if self.packed().is_some() {
            return match self.packed_element(py, &key)? {
                Some(element) => Ok(element),
                None => self.packed_view(py, &key.items, key.basic),
            };
        }
        if key.basic {
            let view = self.through(py, |a| a.get_item(&key.items))?;
            return if key.ellipsis || view.codes(py).ndim() > 0 { Ok(view) } else { view.copied(py) };
        }
        let codes = self.codes(py).get_item(&key.items)?;
        let codes = as_array(&codes)?;
        let quantizer = match self.quantizer().axis() {
            None => Arc::clone(self.quantizer()),
            Some(axis) => {
                let shape = self.dims(py);
                let selected = key.selects(axis, shape.len())?;
                if len(&codes) == 0 {
                    let ones: Vec<usize> =
                        (0..shape.len()).map(|d| if d == axis { shape[d].max(1) } else { 1 }).collect();
                    let picked = numbered(py, &ones, axis)?.get_item(key.picking_one(axis, shape)?)?;
                    self.follow_nothing(codes.shape(), &as_array(&picked)?, selected)?
                } else {
                    let picked = numbered(py, shape, axis)?.get_item(&key.items)?;
                    self.follow_picked(&as_array(&picked)?, selected)?
                }
            }
        };
        Ok(QTensor::from_parts(codes, quantizer, None))
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.assign_element(py, key, value)? {
            return Ok(());
        }
        self.assign(py, key, value)
    }

    fn __delitem__(&self, _key: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(Error::type_("a QTensor", "del q[...]", "indexed or assigned to: elements cannot be deleted")
            .into())
    }

    /// Copies `src` into this tensor, which keeps its own scale and zero point: other values are requantized.
    ///
    /// Parameters
    /// ----------
    /// src : QTensor or array_like
    ///     Broadcast to this tensor's shape.
    ///
    /// Returns
    /// -------
    /// QTensor
    ///     This tensor.
    ///
    /// >>> import quantray as qt
    /// >>> q = qt.quantize_per_tensor([0.0, 0.0], 0.5, 0, qt.qint8)
    /// >>> q.copy_([1.0, 2.0]).int_repr()
    /// array([2, 4], dtype=int8)
    fn copy_<'py>(slf: &Bound<'py, Self>, src: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        slf.get().assign(py, py.Ellipsis().bind(py), src)?;
        Ok(slf.clone())
    }

    /// Sets every element to one value.
    ///
    /// >>> import quantray as qt
    /// >>> qt.quantize_per_tensor([0.0, 0.0], 0.5, 0, qt.qint8).fill_(1.0).int_repr()
    /// array([2, 2], dtype=int8)
    fn fill_<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let value = as_float32(value, "value")?;
        if value.shape().iter().product::<usize>() != 1 {
            return Err(Error::value("value", tuple_text(value.shape()), "a single number").into());
        }
        slf.get().assign(py, py.Ellipsis().bind(py), value.as_any())?;
        Ok(slf.clone())
    }
}

impl QTensor {
    /// One element of a packed tensor, which shares its byte with others: a copy, where the index has a number for
    /// each axis.
    fn packed_element(&self, py: Python<'_>, key: &Key<'_>) -> PyResult<Option<QTensor>> {
        let numbers = key.items.iter().filter(is_integer).count();
        if key.ellipsis || !key.basic || numbers != key.items.len() - 1 || numbers != self.dims(py).len() {
            return Ok(None);
        }
        let quantizer = self.follow(py, |a| a.get_item(&key.items))?;
        let code = self.element_codes(py)?.get_item(&key.items)?.call_method1("copy", ("C",))?;
        Ok(Some(QTensor::wrap(code.cast_into()?, quantizer)?))
    }

    /// `q[3]`, the most common index, without a detour through NumPy's own indexing.
    fn plain_row(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<QTensor>> {
        if !key.is_exact_instance_of::<PyInt>() || self.packed().is_some() || self.single().is_none() {
            return Ok(None);
        }
        let codes = self.codes(py);
        let (shape, strides) = (codes.shape(), codes.strides());
        let Some(i) = shape.first().and_then(|&n| position(key.extract().ok()?, n)) else { return Ok(None) };
        // SAFETY: the i-th of the first axis' rows.
        let row = unsafe { view_of(codes, i as isize * strides[0], &shape[1..], &strides[1..])? };
        let row = self.with_codes(row);
        Ok(Some(if shape.len() == 1 { row.copied(py)? } else { row }))
    }

    /// `q[3] = 0.44` for a tensor of bytes with one axis; false where it is anything else.
    fn assign_element(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let dtype = self.quantizer().dtype();
        let Some((scale, zero_point)) = self.single() else { return Ok(false) };
        if !key.is_exact_instance_of::<PyInt>()
            || !value.is_exact_instance_of::<PyFloat>()
            || !matches!(dtype, DType::QInt8 | DType::QUInt8)
        {
            return Ok(false);
        }
        let codes = self.codes(py);
        let (&[n], &[stride]) = (codes.shape(), codes.strides()) else { return Ok(false) };
        let value = value.extract::<f64>()? as f32;
        let Some(i) = key.extract().ok().and_then(|i| position(i, n)) else { return Ok(false) };
        if value.is_nan() || !is_writable(codes) {
            return Ok(false);
        }
        let code = quantize_one(value, 1.0 / scale as f32, zero_point, dtype.qmin(), dtype.qmax());
        // SAFETY: the i-th of n bytes that lie `stride` apart, in writable memory.
        unsafe { data(codes).offset(i as isize * stride).write(code as u8) };
        Ok(true)
    }

    /// `q[key] = value`: all or nothing. What can fail comes before the first write, which is NumPy's.
    pub(super) fn assign(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !is_writable(self.codes(py)) {
            return Err(Error::value("the tensor", "read-only memory", "writable to be assigned to").into());
        }
        let key = Key::parse(key)?;
        if self.packed().is_some() {
            return self.assign_packed(py, &key.items, value);
        }
        if self.single().is_some() {
            let codes = self.codes_for(value, self.quantizer())?;
            return self.codes(py).set_item(&key.items, codes);
        }
        if key.basic {
            let target = self.through(py, |a| a.get_item(&key.items))?;
            let codes = match value.cast::<QTensor>() {
                Ok(q) if q.get().quantizer() == target.quantizer() && q.get().dims(py) == target.dims(py) => {
                    q.get().codes(py).clone()
                }
                _ => {
                    let values = broadcast(&as_float32(value, "value")?, target.dims(py))?;
                    quantize_array(py, &values, target.quantizer(), None, "value")?.codes(py).clone()
                }
            };
            np(py)?.call_method1("copyto", (target.codes(py), codes))?;
            return Ok(());
        }
        // Picked elements may be of any channels: each is quantized as a channel of its own.
        let Some(numbers) = self.channel_numbers(py)? else { return Ok(()) };
        let picked = as_array(&numbers.get_item(&key.items)?)?;
        let values = broadcast(&as_float32(value, "value")?, picked.shape())?;
        let kept: Vec<usize> = elements::<i64>(&contiguous(&picked)?).iter().map(|&n| n as usize).collect();
        let own = Arc::new(self.quantizer().take(&kept).with_axis(0));
        let flat: Array<'_> = values.call_method1("reshape", (-1,))?.cast_into()?;
        let codes = quantize_array(py, &flat, &own, None, "value")?;
        self.codes(py)
            .set_item(&key.items, codes.codes(py).call_method1("reshape", (picked.getattr("shape")?,))?)
    }

    /// The codes that a value has in a per-tensor quantizer, in the value's own shape: a QTensor of the same
    /// parameters gives its own.
    fn codes_for<'py>(&self, value: &Bound<'py, PyAny>, quantizer: &Arc<Quantizer>) -> PyResult<Array<'py>> {
        let py = value.py();
        if let Ok(q) = value.cast::<QTensor>()
            && q.get().quantizer().params() == quantizer.params()
            && q.get().quantizer().dtype() == quantizer.dtype()
        {
            return Ok(q.get().codes(py).clone());
        }
        let values = as_float32(value, "value")?;
        Ok(quantize_array(py, &values, quantizer, None, "value")?.codes(py).clone())
    }
}

/// A value as an array of a shape, as NumPy's assignment does it: leading axes of length 1 may be left over.
pub(super) fn broadcast<'py>(values: &Array<'py>, shape: &[usize]) -> PyResult<Array<'py>> {
    let py = values.py();
    let extra = values.ndim().saturating_sub(shape.len());
    let mut values = values.clone();
    if extra > 0 && values.shape()[..extra].iter().all(|&n| n == 1) {
        let kept = PyTuple::new(py, &values.shape()[extra..])?;
        values = values.call_method1("reshape", (kept,))?.cast_into()?;
    }
    let wanted = PyTuple::new(py, shape)?;
    let spread = np(py)?.call_method1("broadcast_to", (&values, wanted)).map_err(|_| {
        Error::value(
            "value",
            tuple_text(values.shape()),
            format!("one that broadcasts to {}", tuple_text(shape)),
        )
    })?;
    contiguous(&spread.cast_into()?)
}
