//! NumPy arrays of codes as matrices, and numbers as tables.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::gemm::{Codes, Matrix};
use quantray_core::qparams::{DType, QParams};

use crate::array::{Array, Element, contiguous, data, has_type, np, strides_that_matter};
use crate::error::{Error, Result};
use crate::tensor::QTensor;

/// Rows of codes, held by the array that they are the memory of.
pub struct Operand<'py> {
    array: Array<'py>,
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'py> Operand<'py> {
    /// The last axis as columns, all others as rows: the array's own memory where its strides allow it.
    pub fn new(array: &Array<'py>) -> PyResult<Self> {
        let shape = array.shape();
        let columns = *shape.last().unwrap_or(&1);
        let rows = shape[..shape.len().saturating_sub(1)].iter().product();
        if let (&[_, _], &[down, right]) = (shape, array.strides())
            && down >= 0
            && right >= 0
        {
            return Ok(Self {
                array: array.clone(),
                rows,
                columns,
                strides: [down as usize, right as usize],
            });
        }
        Ok(Self { array: contiguous(array)?, rows, columns, strides: [columns, 1] })
    }

    /// The matrix.
    pub fn matrix(&self) -> Matrix<'_> {
        let [down, right] = self.strides;
        let n = match self.rows > 0 && self.columns > 0 {
            true => (self.rows - 1) * down + (self.columns - 1) * right + 1,
            false => 0,
        };
        Matrix::new(reached(&self.array, n), self.rows, self.columns, down, right)
    }
}

/// The memory of an array of 8-bit codes without negative strides, from its first element to its last.
pub fn codes_of<'a>(array: &'a Array<'_>) -> Codes<'a> {
    let strides = strides_that_matter(array);
    let reach = |(n, stride): (&usize, &isize)| (n.max(&1) - 1) * stride.unsigned_abs();
    let n = match array.shape().contains(&0) || strides.iter().any(|&s| s < 0) {
        true => 0,
        false => array.shape().iter().zip(&strides).map(reach).sum::<usize>() + 1,
    };
    reached(array, n)
}

fn reached<'a>(array: &'a Array<'_>, n: usize) -> Codes<'a> {
    let start = data(array);
    if has_type(array, i8::TYPE) { Codes::I8(bytes(start.cast(), n)) } else { Codes::U8(bytes(start, n)) }
}

/// So many elements from the first one of an array on, all of which lie in its memory: strides are not negative.
pub fn elements_in_reach<'a, T: Element>(array: &'a Array<'_>, n: usize) -> &'a [T] {
    bytes(data(array).cast(), n)
}

fn bytes<'a, T: Element>(start: *const T, n: usize) -> &'a [T] {
    if n == 0 {
        return &[];
    }
    // SAFETY: the array's elements lie between its first and its last one, `n` bytes with non-negative strides, in
    // memory that it keeps alive; the slice's lifetime is cut to the operand's by `matrix`.
    unsafe { std::slice::from_raw_parts(start, n) }
}

/// An int8 or uint8 array as it is.
pub fn integers<'py>(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Array<'py>> {
    let array: Array<'py> = match object.cast() {
        Ok(a) => a.clone(),
        Err(_) => np(object.py())?.call_method1("asarray", (object,))?.cast_into()?,
    };
    if has_type(&array, i8::TYPE) || has_type(&array, u8::TYPE) {
        return Ok(array);
    }
    Err(Error::type_(arg, format!("dtype {}", array.dtype()), "an array of int8 or uint8").into())
}

/// The scale and the zero point of activations, which have one of each and 8 bits.
pub fn activation(q: &QTensor, arg: &str) -> Result<(f32, i32)> {
    eight_bits(q, arg)?;
    match q.quantizer().params() {
        QParams::PerTensor { scale, zero_point } => Ok((*scale as f32, *zero_point)),
        _ => Err(Error::type_(
            arg,
            format!("a tensor that is {}", q.quantizer().scheme().name()),
            "quantized per tensor: products add up over channels, which must share a scale",
        )),
    }
}

/// The scales and zero points of weights of 8 bits whose channels, if there are any, lie along `axis`.
pub fn weight(q: &QTensor, axis: usize, arg: &str) -> Result<(Vec<f32>, Vec<i32>)> {
    eight_bits(q, arg)?;
    match q.quantizer().params() {
        QParams::PerTensor { scale, zero_point } => Ok((vec![*scale as f32], vec![*zero_point])),
        QParams::PerChannel { scales, zero_points, axis: own } if *own == axis => {
            Ok((scales.iter().map(|&s| s as f32).collect(), zero_points.to_vec()))
        }
        QParams::PerChannel { axis: own, .. } => Err(Error::value(
            arg,
            format!("one with channels along axis {own}"),
            format!("quantized per tensor, or per channel along axis {axis}, that of the outputs"),
        )),
        QParams::PerChannelFloat { .. } => Err(Error::type_(
            arg,
            "one that is per_channel_affine_float_qparams",
            "quantized with integer zero points",
        )),
    }
}

fn eight_bits(q: &QTensor, arg: &str) -> Result<()> {
    match q.quantizer().dtype() {
        DType::QInt8 | DType::QUInt8 => Ok(()),
        other => Err(Error::type_(arg, format!("a tensor of {}", other.name()), "of qint8 or quint8")),
    }
}
