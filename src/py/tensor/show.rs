//! How a tensor prints: as torch prints it, and as a card in Jupyter.

use std::sync::Mutex;

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::display::{self, CardStats, PrintOptions};
use quantray_core::qparams::{DType, QParams, dequantize_one, dequantize_one_float};

use super::QTensor;
use crate::array::{Array, contiguous, data, describe, elements};
use crate::error::Error;
use crate::quantizer;

static OPTIONS: Mutex<Option<PrintOptions>> = Mutex::new(None);

fn options() -> PrintOptions {
    let stored = OPTIONS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    stored.clone().unwrap_or_default()
}

/// How tensors print from now on; what is not given stays.
///
/// Parameters
/// ----------
/// precision : int, optional
///     Digits after the point (4).
/// threshold : int, optional
///     The number of elements from which a tensor is summarized (1000).
/// edgeitems : int, optional
///     The number of elements shown at each end of a summarized axis (3).
/// linewidth : int, optional
///     Characters to a line (80).
/// profile : {"default", "short", "full"}, optional
///     A set of the above to begin with.
/// sci_mode : bool, optional
///     Scientific notation always, or never; by default where it helps.
///
/// >>> import quantray as qt
/// >>> qt.set_printoptions(precision=2)
/// >>> print(qt.quantize_per_tensor([0.5], 0.5, 0, qt.qint8))
/// QTensor([0.50], size=(1,), dtype=qint8, quantization_scheme=per_tensor_affine,
///         scale=0.5, zero_point=0)
/// >>> qt.set_printoptions(profile="default")
///
/// Source: `torch.set_printoptions`.
#[pyfunction]
#[pyo3(signature = (precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None))]
pub fn set_printoptions(
    precision: Option<usize>,
    threshold: Option<&Bound<'_, PyAny>>,
    edgeitems: Option<usize>,
    linewidth: Option<usize>,
    profile: Option<&str>,
    sci_mode: Option<bool>,
) -> PyResult<()> {
    let mut new = match profile {
        None => options(),
        Some(name) => PrintOptions::profile(name).ok_or_else(|| {
            Error::value("profile", format!("{name:?}"), "\"default\", \"short\" or \"full\"")
        })?,
    };
    if precision.is_some_and(|p| p > 64) {
        return Err(Error::value("precision", precision.unwrap_or(0), "at most 64").into());
    }
    if linewidth == Some(0) {
        return Err(Error::value("linewidth", 0, "at least 1").into());
    }
    if let Some(threshold) = threshold {
        // Infinity is what torch's users give for "never".
        let given: f64 = threshold.extract()?;
        if given.is_nan() || given < 0.0 {
            return Err(Error::value("threshold", describe(threshold), "0 or more").into());
        }
        new.threshold = given as usize;
    }
    new.precision = precision.unwrap_or(new.precision);
    new.edgeitems = edgeitems.unwrap_or(new.edgeitems);
    new.linewidth = linewidth.unwrap_or(new.linewidth);
    new.sci_mode = sci_mode; // as in torch: not given means automatic
    *OPTIONS.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(new);
    Ok(())
}

/// Reads single values of a tensor, whatever its strides.
struct Reader<'a> {
    tensor: &'a QTensor,
    codes: *const u8,
    strides: Vec<isize>,
}

impl<'a> Reader<'a> {
    fn new(tensor: &'a QTensor, codes: &Array<'_>, shape: &[usize]) -> Self {
        let mut strides = codes.strides().to_vec();
        if tensor.packed().is_some() {
            // In elements, of a shape in C order.
            strides = vec![1; shape.len()];
            for d in (0..shape.len().saturating_sub(1)).rev() {
                strides[d] = strides[d + 1] * shape[d + 1] as isize;
            }
        }
        Self { tensor, codes: data(codes), strides }
    }

    fn code(&self, index: &[usize]) -> i32 {
        let at: isize = index.iter().zip(&self.strides).map(|(&i, &s)| i as isize * s).sum();
        let dtype = self.tensor.quantizer().dtype();
        // SAFETY: an index inside of the shape, by the array's own strides.
        unsafe {
            match dtype {
                DType::QInt8 => i32::from(self.codes.offset(at).cast::<i8>().read()),
                DType::QUInt8 => i32::from(self.codes.offset(at).read()),
                DType::QInt32 => self.codes.offset(at).cast::<i32>().read_unaligned(),
                DType::QUInt4x2 | DType::QUInt2x4 => {
                    let (per_byte, at) = (dtype.elements_per_item(), at as usize);
                    let byte = self.codes.add(at / per_byte).read();
                    i32::from(byte) >> (at % per_byte * dtype.bits()) & dtype.qmax()
                }
            }
        }
    }

    fn value(&self, index: &[usize]) -> f32 {
        let code = self.code(index);
        match self.tensor.quantizer().params() {
            QParams::PerTensor { scale, zero_point } => dequantize_one(code, *scale as f32, *zero_point),
            QParams::PerChannel { scales, zero_points, axis } => {
                let c = index[*axis];
                dequantize_one(code, scales[c] as f32, zero_points[c])
            }
            QParams::PerChannelFloat { scales, zero_points, axis } => {
                let c = index[*axis];
                dequantize_one_float(code, scales[c], zero_points[c])
            }
        }
    }
}

/// Counts of codes over the representable range, in at most 256 bins, and how many lie at its two ends.
fn count(dtype: DType, codes: &Array<'_>) -> (Vec<u64>, u64, u64) {
    let bins = (i64::from(dtype.qmax()) - i64::from(dtype.qmin()) + 1).min(256) as usize;
    let mut counts = vec![0u64; bins];
    let (mut low, mut high) = (0, 0);
    let mut add = |code: i32| {
        let position = (i64::from(code) - i64::from(dtype.qmin())) as usize;
        counts[if dtype == DType::QInt32 { position >> 24 } else { position }] += 1;
        low += u64::from(code == dtype.qmin());
        high += u64::from(code == dtype.qmax());
    };
    match dtype {
        DType::QInt8 => elements::<i8>(codes).iter().for_each(|&c| add(i32::from(c))),
        DType::QInt32 => elements::<i32>(codes).iter().for_each(|&c| add(c)),
        _ => elements::<u8>(codes).iter().for_each(|&c| add(i32::from(c))),
    }
    (counts, low, high)
}

/// Elements that are counted for a card: some 0.1 s.
const MOST_COUNTED: usize = 1 << 27;

impl QTensor {
    fn text(&self, py: Python<'_>, options: &PrintOptions) -> String {
        let shape = self.dims(py);
        let codes: &Bound<'_, PyUntypedArray> = self.codes(py);
        let reader = Reader::new(self, codes, shape);
        let mut zeros = Vec::new();
        let params = quantizer::text(self.quantizer().params(), &mut zeros);
        let (dtype, scheme) = (self.quantizer().dtype().name(), self.quantizer().scheme().name());
        display::repr(shape, &|i| reader.value(i), dtype, scheme, &params, options)
    }
}

#[pymethods]
impl QTensor {
    fn __repr__(&self, py: Python<'_>) -> String {
        self.text(py, &options())
    }

    /// A card for notebooks: shape, scheme, bytes, a histogram of the codes, and how many may have been clipped.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let dtype = self.quantizer().dtype();
        let shape = self.dims(py);
        // A picture of more takes longer than somebody who scrolls by waits.
        let looked_at = self.len_of(py) <= MOST_COUNTED;
        let codes = match looked_at {
            true => contiguous(&self.element_codes(py)?)?,
            false => crate::array::empty(py, crate::array::code_type(dtype), &[0])?,
        };
        let (histogram, clipped_low, clipped_high) = count(dtype, &codes);
        let stats = looked_at.then_some(CardStats {
            histogram: &histogram,
            qmin: i64::from(dtype.qmin()),
            qmax: i64::from(dtype.qmax()),
            clipped_low,
            clipped_high,
            numel: self.len_of(py) as u64,
        });
        let mut zeros = Vec::new();
        let params = quantizer::text(self.quantizer().params(), &mut zeros);
        let scheme = self.quantizer().scheme().name();
        let nbytes = self.nbytes(py) as u64;
        // A look at the values, not all of them: notebooks keep every output.
        let brief = PrintOptions { threshold: 100, ..options() };
        let preview = self.text(py, &brief);
        Ok(display::html(shape, dtype.name(), scheme, &params, nbytes, stats.as_ref(), &preview))
    }
}
