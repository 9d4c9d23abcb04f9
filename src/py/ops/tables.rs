//! Rows of quantized tables.

use std::borrow::Cow;

use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::ops::embedding::{Bags, Cells, Mode, Table, counted_rows, embedding_bag as reduce};
use quantray_core::qparams::DType;

use crate::array::{
    Array, Element, Output, as_array, as_float32, contiguous, elements, elements_mut, from_slice, has_type,
    len, np, tuple_text,
};
use crate::error::Error;
use crate::run::kernel;
use crate::tensor::{Given, QTensor};

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A table and the array that its codes are the memory of.
struct Held<'py> {
    codes: Array<'py>,
    rows: usize,
    width: usize,
}

impl<'py> Held<'py> {
    fn new(weight: &QTensor, py: Python<'py>) -> PyResult<Self> {
        let &[rows, width] = weight.dims(py) else {
            let got = tuple_text(weight.dims(py));
            return Err(Error::value("weight", got, "of shape (rows, width)").into());
        };
        Ok(Self { codes: contiguous(weight.codes(py))?, rows, width })
    }

    /// As kernels take it.
    fn table<'a>(&'a self, weight: &'a QTensor) -> Table<'a> {
        let cells = match weight.quantizer().dtype() {
            DType::QInt8 => Cells::I8(elements(&self.codes)),
            DType::QUInt8 => Cells::U8(elements(&self.codes)),
            DType::QInt32 => Cells::I32(elements(&self.codes)),
            DType::QUInt4x2 => Cells::Fours(elements(&self.codes)),
            DType::QUInt2x4 => Cells::Twos(elements(&self.codes)),
        };
        Table { cells, width: self.width, params: weight.quantizer().params() }
    }

    /// Indices as int64, each one of them a row; where `from_end`, those below 0 are counted from the end.
    fn rows(&self, indices: &Bound<'py, PyAny>, from_end: bool) -> PyResult<Array<'py>> {
        let array = integers(indices, "indices")?;
        let found: &[i64] = elements(&array);
        let (at, valid) = match counted_rows(found, self.rows, from_end) {
            Ok(Cow::Borrowed(_)) => return Ok(array),
            Ok(Cow::Owned(counted)) => {
                let counted = from_slice(array.py(), &counted)?;
                return Ok(counted.call_method1("reshape", (array.shape().to_vec(),))?.cast_into()?);
            }
            Err(wrong) => wrong,
        };
        let place = np(array.py())?.call_method1("unravel_index", (at, array.shape().to_vec()))?;
        let place: Vec<usize> = place.try_iter()?.map(|i| i?.extract()).collect::<PyResult<_>>()?;
        Err(Error::index("indices", format!("{} at {}", found[at], tuple_text(&place)), valid).into())
    }
}

/// An array of integers as int64, contiguous.
fn integers<'py>(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let array = as_array(object)?;
    // An empty list has no dtype of its own.
    if len(&array) > 0 && !b"iu".contains(&array.dtype().kind()) {
        let got = format!("dtype {}", array.dtype());
        return Err(Error::type_(arg, got, "an array of integers").into());
    }
    if has_type(&array, i64::TYPE) {
        return contiguous(&array);
    }
    Ok(array.call_method1("astype", ("int64", "C"))?.cast_into()?)
}

/// Rows of a quantized table, dequantized.
///
/// Parameters
/// ----------
/// weight : QTensor
///     Shape (rows, width), of any dtype and scheme: the table. Only the rows that are asked for are read, but a table
///     that is not contiguous is copied first.
/// indices : array_like of int
///     Of any shape, from 0 to rows - 1.
/// from_end : bool
///     Whether rows may be counted from the end, -1 being the last one, as in ONNX files.
/// out : ndarray, optional
///     Shape (\*indices.shape, width), float32: where the rows go.
///
/// Returns
/// -------
/// numpy.ndarray
///     Shape (\*indices.shape, width), float32.
///
/// Raises
/// ------
/// IndexError
///     For a row that the table does not have.
///
/// >>> import numpy as np, quantray as qt
/// >>> table = qt.quantize_per_channel([[1.0, 2.0], [10.0, 20.0]], [0.5, 5.0], 0, axis=0, dtype=qt.quint8)
/// >>> qt.ops.embedding(table, [1, 0, 1]).tolist()
/// [[10.0, 20.0], [1.0, 2.0], [10.0, 20.0]]
///
/// Source: `torch.nn.functional.embedding`, `torch.ops.quantized.embedding_byte`.
#[pyfunction]
#[pyo3(signature = (weight, indices, *, from_end=false, out=None))]
pub fn embedding<'py>(
    weight: Given<'py>,
    indices: &Bound<'py, PyAny>,
    from_end: bool,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let weight = &*weight;
    let (py, weight) = (weight.py(), weight.get());
    let held = Held::new(weight, py)?;
    let rows = held.rows(indices, from_end)?;
    let shape: Vec<usize> = rows.shape().iter().copied().chain([held.width]).collect();
    let starts: Vec<i64> = (0..=len(&rows) as i64).collect();
    let bags = Bags { rows: elements(&rows), starts: &starts, weights: None };
    run(&held, weight, &bags, Mode::Sum, &shape, out)
}

/// The bags of a table into an array of this shape.
fn run<'py>(
    held: &Held<'py>,
    weight: &QTensor,
    bags: &Bags<'_>,
    mode: Mode,
    shape: &[usize],
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = held.codes.py();
    let output = Output::new::<f32>(py, out, shape, &held.codes)?;
    let (table, to) = (held.table(weight), elements_mut::<f32>(&output.array));
    let work = bags.rows.len() * held.width;
    kernel(py, work, "indices", shape, || reduce(&table, bags, mode, to))?;
    Ok(output.finish()?.into_any())
}

/// Where bags begin, and where the last one ends.
fn starts(rows: &Array<'_>, offsets: Object<'_, '_>, include_last_offset: bool) -> PyResult<Vec<i64>> {
    let (axes, n) = (rows.ndim(), len(rows) as i64);
    let Some(offsets) = offsets.filter(|_| axes == 1) else {
        let &[bags, each] = rows.shape() else {
            let with = if offsets.is_some() { " with offsets" } else { "" };
            let valid = "two-dimensional, or one-dimensional with offsets";
            return Err(Error::value("indices", format!("{axes} axes{with}"), valid).into());
        };
        if offsets.is_some() {
            return Err(Error::value("indices", "2 axes with offsets", "one-dimensional with offsets").into());
        }
        return Ok((0..=bags as i64).map(|bag| bag * each as i64).collect());
    };
    let array = integers(offsets, "offsets")?;
    if array.ndim() != 1 {
        return Err(Error::value("offsets", format!("{} axes", array.ndim()), "one-dimensional").into());
    }
    let mut starts = elements::<i64>(&array).to_vec();
    if let Some(&first) = starts.first().filter(|&&first| first != 0) {
        return Err(Error::value("offsets", first, "such that they begin with 0").into());
    }
    if include_last_offset && starts.is_empty() {
        let valid = "at least the end of the last bag with include_last_offset";
        return Err(Error::value("offsets", "none", valid).into());
    }
    if let Some(i) = starts.windows(2).position(|two| two[1] < two[0]) {
        return Err(
            Error::value("offsets", format!("{} at {}", starts[i], i), "such that none decrease").into()
        );
    }
    if let Some(i) = starts.iter().position(|&start| start > n) {
        let valid = format!("such that none exceed {n}, the number of indices");
        return Err(Error::value("offsets", format!("{} at {i}", starts[i]), valid).into());
    }
    if !include_last_offset {
        starts.push(n);
    }
    Ok(starts)
}

/// Sums, means or maxima of some rows of a quantized table.
///
/// Parameters
/// ----------
/// weight : QTensor
///     Shape (rows, width), of any dtype and scheme: the table. Only the rows that are asked for are read, but a table
///     that is not contiguous is copied first.
/// indices : array_like of int
///     Shape (bags, n), or with `offsets` one-dimensional; from 0 to rows - 1.
/// offsets : array_like of int, optional
///     Where each bag begins; the first one at 0.
/// mode : str
///     "sum", "mean" or "max". A bag without rows gives zeros.
/// per_sample_weights : array_like, optional
///     What each row is multiplied by, of the shape of `indices`; with mode "sum".
/// include_last_offset : bool
///     Whether the last one of the offsets is where the last bag ends.
/// out : ndarray, optional
///     Shape (bags, width), float32: where the results go.
///
/// Returns
/// -------
/// numpy.ndarray
///     Shape (bags, width), float32: added up from the first row to the last.
///
/// Raises
/// ------
/// IndexError
///     For a row that the table does not have.
/// ValueError
///     For offsets that go back or beyond the indices, another mode, and weights that do not fit.
///
/// >>> import numpy as np, quantray as qt
/// >>> table = qt.quantize_per_channel([[1.0, 2.0], [10.0, 20.0]], [0.5, 5.0], 0, axis=0, dtype=qt.quint8)
/// >>> qt.ops.embedding_bag(table, [1, 0, 1], offsets=[0, 2, 2]).tolist()
/// [[11.0, 22.0], [0.0, 0.0], [10.0, 20.0]]
///
/// Source: `torch.nn.functional.embedding_bag`, `torch.ops.quantized.embedding_bag_byte`.
#[pyfunction]
#[pyo3(signature = (
    weight, indices, offsets=None, *, mode="sum", per_sample_weights=None, include_last_offset=false, out=None
))]
pub fn embedding_bag<'py>(
    weight: Given<'py>,
    indices: &Bound<'py, PyAny>,
    offsets: Object<'_, 'py>,
    mode: &str,
    per_sample_weights: Object<'_, 'py>,
    include_last_offset: bool,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let weight = &*weight;
    let (py, weight) = (weight.py(), weight.get());
    let held = Held::new(weight, py)?;
    let rows = held.rows(indices, false)?;
    let kind = match mode {
        "sum" => Mode::Sum,
        "mean" => Mode::Mean,
        "max" => Mode::Max,
        _ => {
            let valid = "\"sum\", \"mean\" or \"max\"";
            return Err(Error::value("mode", format!("'{mode}'"), valid).into());
        }
    };
    let starts = starts(&rows, offsets, include_last_offset)?;
    let factors = per_sample_weights.map(|w| as_float32(w, "per_sample_weights")).transpose()?;
    if let Some(factors) = &factors
        && (kind != Mode::Sum || factors.shape() != rows.shape())
    {
        let got = format!("{} with \"{mode}\"", tuple_text(factors.shape()));
        let valid = format!("of shape {}, that of indices, with mode \"sum\"", tuple_text(rows.shape()));
        return Err(Error::value("per_sample_weights", got, valid).into());
    }
    let bags = Bags { rows: elements(&rows), starts: &starts, weights: factors.as_ref().map(elements) };
    run(&held, weight, &bags, kind, &[starts.len() - 1, held.width], out)
}
