//! Functions of several tensors.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyList;
use quantray_core::qparams::{QParams, Quantizer};

use super::QTensor;
use super::operators::values;
use crate::array::{Array, axis_in, contiguous, describe, np, tuple_text, type_name};
use crate::error::Error;

/// The tensors of a sequence, at least one.
fn tensors<'py>(sequence: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, QTensor>>> {
    let mut all = Vec::new();
    let items = sequence
        .try_iter()
        .map_err(|_| Error::type_("tensors", describe(sequence), "a sequence of QTensors"))?;
    for (i, item) in items.enumerate() {
        let item = item?;
        let kind = type_name(&item);
        all.push(
            item.cast_into::<QTensor>()
                .map_err(|_| Error::type_(format!("tensors[{i}]"), kind, "a QTensor: quantize it first"))?,
        );
    }
    match all.is_empty() {
        true => Err(Error::value("tensors", "an empty sequence", "at least one QTensor").into()),
        false => Ok(all),
    }
}

/// Joins the channels of tensors that are concatenated along the channel axis.
fn joined_channels(all: &[Bound<'_, QTensor>], axis: usize) -> Option<PyResult<Arc<Quantizer>>> {
    let first = all[0].get().quantizer();
    if first.axis() != Some(axis) {
        return None;
    }
    let symmetric = first.scheme().is_symmetric();
    let fits = all.iter().all(|q| {
        let z = q.get().quantizer();
        z.axis() == Some(axis) && z.dtype() == first.dtype() && z.scheme() == first.scheme()
    });
    if !fits {
        return Some(Err(Error::unsupported(
            "tensors concatenated along their channel axis must have the same dtype, scheme and axis",
            "requantize them alike, or call dequantize() first",
        )
        .into()));
    }
    let (mut scales, mut zeros, mut float_scales, mut float_zeros) = (vec![], vec![], vec![], vec![]);
    for q in all {
        match q.get().quantizer().params() {
            QParams::PerTensor { .. } => {}
            QParams::PerChannel { scales: s, zero_points: z, .. } => {
                scales.extend_from_slice(s);
                zeros.extend(z.iter().map(|&z| i64::from(z)));
            }
            QParams::PerChannelFloat { scales: s, zero_points: z, .. } => {
                float_scales.extend_from_slice(s);
                float_zeros.extend_from_slice(z);
            }
        }
    }
    let joined = match float_scales.is_empty() {
        true => Quantizer::per_channel(first.dtype(), &scales, &zeros, axis, symmetric),
        false => Quantizer::per_channel_float(first.dtype(), &float_scales, &float_zeros, axis),
    };
    Some(joined.map(Arc::new).map_err(|error| Error(error).into()))
}

/// Tensors one after the other along an axis that they have.
///
/// The result has the first one's dtype, scale and zero point; others are requantized to them. Along their
/// channel axis, per-channel tensors keep their own scales.
///
/// Parameters
/// ----------
/// tensors : sequence of QTensor
///     Of the same shape but for the axis.
/// dim : int
///     The axis; `axis` is a synonym.
///
/// >>> import quantray as qt
/// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
/// >>> qt.cat([q, q]).tolist()
/// [1.0, 2.0, 1.0, 2.0]
///
/// Source: `torch.cat`.
#[pyfunction]
#[pyo3(signature = (tensors, dim=0, *, axis=None))]
pub fn cat(py: Python<'_>, tensors: &Bound<'_, PyAny>, dim: isize, axis: Option<isize>) -> PyResult<QTensor> {
    let all = self::tensors(tensors)?;
    let first = all[0].get();
    let shape = first.dims(py);
    let at = axis_in(if axis.is_some() { "axis" } else { "dim" }, axis.unwrap_or(dim), shape.len())?;
    check_shapes(py, &all, Some(at))?;
    let (quantizer, codes) = match joined_channels(&all, at) {
        Some(joined) => {
            let codes = all.iter().map(|q| q.get().element_codes(py)).collect::<PyResult<Vec<_>>>()?;
            (joined?, codes)
        }
        None => (Arc::clone(first.quantizer()), alike(first, &all)?),
    };
    let made = np(py)?.call_method1("concatenate", (PyList::new(py, codes)?, at))?;
    QTensor::wrap(in_rows(made.cast_into()?)?, quantizer)
}

/// Tensors of one shape along a new axis.
///
/// The result has the first one's dtype, scale and zero point; others are requantized to them.
///
/// >>> import quantray as qt
/// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
/// >>> qt.stack([q, q]).shape
/// (2, 2)
///
/// Source: `torch.stack`.
#[pyfunction]
#[pyo3(signature = (tensors, dim=0, *, axis=None))]
pub fn stack(
    py: Python<'_>,
    tensors: &Bound<'_, PyAny>,
    dim: isize,
    axis: Option<isize>,
) -> PyResult<QTensor> {
    let all = self::tensors(tensors)?;
    let first = all[0].get();
    let at =
        axis_in(if axis.is_some() { "axis" } else { "dim" }, axis.unwrap_or(dim), first.dims(py).len() + 1)?;
    check_shapes(py, &all, None)?;
    let quantizer = match first.quantizer().axis() {
        Some(channels) if at <= channels => Arc::new(first.quantizer().with_axis(channels + 1)),
        _ => Arc::clone(first.quantizer()),
    };
    let codes = alike(first, &all)?;
    let made = np(py)?.call_method1("stack", (PyList::new(py, codes)?, at))?;
    QTensor::wrap(in_rows(made.cast_into()?)?, quantizer)
}

/// In rows, as torch joins; images, which have axes enough for channels last, stay in the order that they have in common.
fn in_rows(made: Array<'_>) -> PyResult<Array<'_>> {
    if made.ndim() < 4 { contiguous(&made) } else { Ok(made) }
}

/// The codes of all tensors in the first one's parameters.
fn alike<'py>(first: &QTensor, all: &[Bound<'py, QTensor>]) -> PyResult<Vec<Array<'py>>> {
    all.iter()
        .map(|q| {
            if let (Some(axis), false) = (first.quantizer().axis(), q.get().quantizer() == first.quantizer())
            {
                let n = q.get().dims(q.py())[axis];
                if Some(n) != first.quantizer().params().channels() {
                    let got = format!("{n} channels");
                    return Err(Error::value("tensors", got, "as many channels as the first one").into());
                }
            }
            first.recoded(q.as_any(), first.quantizer(), "tensors")
        })
        .collect()
}

fn check_shapes(py: Python<'_>, all: &[Bound<'_, QTensor>], but: Option<usize>) -> PyResult<()> {
    let without = |shape: &[usize]| -> Vec<Option<usize>> {
        shape.iter().enumerate().map(|(d, &n)| (Some(d) != but).then_some(n)).collect()
    };
    let first = all[0].get().dims(py);
    for (i, q) in all.iter().enumerate() {
        let shape = q.get().dims(py);
        if without(shape) != without(first) {
            let valid = match but {
                Some(axis) => format!("of the first one's shape {} but for axis {axis}", tuple_text(first)),
                None => format!("of the first one's shape {}", tuple_text(first)),
            };
            return Err(Error::value(format!("tensors[{i}]"), tuple_text(shape), valid).into());
        }
    }
    Ok(())
}

/// `input`'s elements where `condition` holds, `other`'s elsewhere, in `input`'s scale and zero point.
///
/// >>> import quantray as qt
/// >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
/// >>> qt.where([True, False], q, 0.5).tolist()
/// [1.0, 0.5]
///
/// Source: `torch.where`.
#[pyfunction]
#[pyo3(name = "where")]
pub fn where_<'py>(
    condition: &Bound<'py, PyAny>,
    input: &Bound<'py, QTensor>,
    other: &Bound<'py, PyAny>,
) -> PyResult<QTensor> {
    input.get().where_(input.py(), condition, other)
}

/// Whether two tensors have the same shape, dtype, scheme, parameters and codes.
///
/// Source: `torch.equal`.
#[pyfunction]
pub fn equal(input: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    let (input, other) = (compared(input, "input")?, compared(other, "other")?);
    input.get().equal(input.py(), other)
}

fn compared<'a, 'py>(object: &'a Bound<'py, PyAny>, arg: &str) -> Result<&'a Bound<'py, QTensor>, Error> {
    let valid = "a QTensor; numpy.array_equal compares values";
    object.cast::<QTensor>().map_err(|_| Error::type_(arg, describe(object), valid))
}

/// Whether all values lie within `atol + rtol * abs(other)` of each other's.
///
/// Source: `torch.allclose`.
#[pyfunction]
#[pyo3(signature = (input, other, rtol=1e-5, atol=1e-8, equal_nan=false))]
pub fn allclose(
    input: &Bound<'_, PyAny>,
    other: &Bound<'_, PyAny>,
    rtol: f64,
    atol: f64,
    equal_nan: bool,
) -> PyResult<bool> {
    // Values, of whichever of them is a tensor.
    let function = np(input.py())?.getattr("allclose")?;
    function.call1((values(input)?, values(other)?, rtol, atol, equal_nan))?.is_truthy()
}
