//! Functions of codes, element by element.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::gemm::Codes;
use quantray_core::ops::{self, Binary, Function, Operand, Target, TargetCodes};
use quantray_core::qparams::{DType, QParams, Quantizer};

use super::matrices::activation;
use super::order::Order;
use super::wide::is_wide;
use crate::array::{
    Array, Output, as_float32, contiguous, elements, elements_mut, finite, fresh_view, integer,
    is_contiguous, len, np, number, overlap, tuple_text,
};
use crate::create::quantize_to_range;
use crate::dtype::parse_dtype;
use crate::error::Error;
use crate::run::kernel;
use crate::tensor::{Given, QTensor};

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// What a result shall be: what was asked for, or else `default`.
pub(super) fn result_params(
    scale: Object<'_, '_>,
    zero_point: Object<'_, '_>,
    dtype: DType,
    default: (f64, i32),
) -> PyResult<Arc<Quantizer>> {
    let (scale, zero_point) = match (scale, zero_point) {
        (None, None) => (default.0, i64::from(default.1)),
        (Some(scale), zero_point) => {
            (number(scale, "scale")?, zero_point.map_or(Ok(0), |z| integer(z, "zero_point"))?)
        }
        (None, Some(z)) => {
            return Err(Error::value("zero_point", z, "given with scale, or not at all").into());
        }
    };
    if !matches!(dtype, DType::QInt8 | DType::QUInt8) {
        return Err(Error::value("dtype", dtype.name(), "qint8 or quint8").into());
    }
    Ok(Arc::new(Quantizer::per_tensor(dtype, scale, zero_point, false).map_err(Error)?))
}

pub(super) fn single(quantizer: &Quantizer) -> (f32, i32) {
    match quantizer.params() {
        QParams::PerTensor { scale, zero_point } => (*scale as f32, *zero_point),
        _ => unreachable!("made with one scale"),
    }
}

/// A tensor over the codes of an output: a view of our own where the caller gave the memory.
pub(super) fn tensor<'py>(
    output: Output<'py>,
    out: Object<'_, 'py>,
    order: Option<Order>,
    quantizer: Arc<Quantizer>,
) -> PyResult<QTensor> {
    let codes = output.finish()?;
    let codes = match (out, order) {
        (Some(_), _) => fresh_view(&codes)?,
        (None, Some(order)) => order.of_axes(&codes)?,
        (None, None) => codes,
    };
    Ok(QTensor::from_parts(codes, quantizer, None))
}

/// The fixed scale and zero point of a function whose results have a known range.
pub(super) type Fixed = fn(DType) -> (f64, i32);

/// What the caller says of a result.
pub(super) struct Wanted<'a, 'py> {
    pub(super) scale: Object<'a, 'py>,
    pub(super) zero_point: Object<'a, 'py>,
    pub(super) dtype: Object<'a, 'py>,
    pub(super) out: Object<'a, 'py>,
}

impl Wanted<'_, '_> {
    /// What is chosen from a range is chosen as a whole.
    pub(super) fn no_zero_point_alone(&self) -> PyResult<()> {
        match self.zero_point {
            Some(z) => Err(Error::value("zero_point", z, "given with scale, or not at all").into()),
            None => Ok(()),
        }
    }
}

/// A function of each element, by a table of 256 codes. Without a scale the result has the function's own, or the
/// input's.
pub(super) fn unary<'py>(
    input: &Bound<'py, QTensor>,
    function: Function,
    wanted: Wanted<'_, 'py>,
    fixed: Option<Fixed>,
) -> PyResult<QTensor> {
    let (py, q) = (input.py(), input.get());
    if is_wide(q) {
        return super::wide::unary(input, function, wanted, fixed);
    }
    let (x_scale, x_zero) = activation(q, "input")?;
    let from = q.quantizer().dtype();
    let to = wanted.dtype.map_or(Ok(from), parse_dtype)?;
    let default = match (fixed, q.quantizer().params()) {
        (Some(fixed), _) => fixed(to),
        (None, QParams::PerTensor { scale, zero_point }) if to == from || wanted.scale.is_some() => {
            (*scale, *zero_point)
        }
        _ => {
            return Err(Error::type_("scale", "None", format!("given for an output of {}", to.name())).into());
        }
    };
    let quantizer = result_params(wanted.scale, wanted.zero_point, to, default)?;
    let (y_scale, y_zero) = single(&quantizer);
    let table = ops::table(function, (from, x_scale, x_zero), (to, y_scale, y_zero));
    let own = q.codes(py);
    let order = wanted.out.is_none().then(|| Order::of(own)).flatten();
    let own = order.as_ref().map_or(Ok(own.clone()), |order| order.of_memory(own))?;
    let output = Output::codes(py, to, wanted.out, own.shape(), &own)?;
    let x = contiguous(&own)?;
    let from = codes(&x, q);
    let to = match to {
        DType::QInt8 => TargetCodes::I8(elements_mut(&output.array)),
        _ => TargetCodes::U8(elements_mut(&output.array)),
    };
    kernel(py, len(&x), "input", own.shape(), || ops::look_up(&table, from, to))?;
    tensor(output, wanted.out, order, quantizer)
}

/// The codes of a tensor, of any scheme, from `lo` to `hi`; None where they are not of 8 bits.
pub(crate) fn clamped<'py>(
    q: &QTensor,
    py: Python<'py>,
    (lo, hi): (i32, i32),
) -> PyResult<Option<Array<'py>>> {
    let dtype = q.quantizer().dtype();
    if !matches!(dtype, DType::QInt8 | DType::QUInt8) {
        return Ok(None);
    }
    let own = q.codes(py);
    let order = Order::of(own);
    let own = order.as_ref().map_or(Ok(own.clone()), |order| order.of_memory(own))?;
    let output = Output::codes(py, dtype, None, own.shape(), &own)?;
    let x = contiguous(&own)?;
    let to = match dtype {
        DType::QInt8 => TargetCodes::I8(elements_mut(&output.array)),
        _ => TargetCodes::U8(elements_mut(&output.array)),
    };
    let from = codes(&x, q);
    kernel(py, len(&x), "input", own.shape(), || ops::clamp(from, (lo, hi), to))?;
    let made = output.finish()?;
    order.map_or(Ok(made.clone()), |order| order.of_axes(&made)).map(Some)
}

/// Functions of a tensor with a docstring each, and what else they take.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $function:expr, $fixed:expr;)*) => {$(
        $(#[$doc])*
        #[pyfunction]
        #[pyo3(signature = (input, scale=None, zero_point=None, dtype=None, *, out=None))]
        pub fn $name<'py>(
            input: Given<'py>,
            scale: Option<&Bound<'py, PyAny>>,
            zero_point: Option<&Bound<'py, PyAny>>,
            dtype: Option<&Bound<'py, PyAny>>,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<QTensor> {
            let input = &*input;
            unary(input, $function, Wanted { scale, zero_point, dtype, out }, $fixed)
        }
    )*};
}

/// Results from 0 to 1, as torch has them.
pub(super) const UNIT: Option<Fixed> = Some(|dtype| match dtype {
    DType::QInt32 => (1.0 / 4_294_967_296.0, 0),
    _ => (1.0 / 256.0, dtype.qmin()),
});
/// Results from -1 to 1, as torch has them.
pub(super) const BOTH: Option<Fixed> = Some(|dtype| match dtype {
    DType::QInt32 => (2.0 / 4_294_967_296.0, 0),
    _ => (2.0 / 256.0, dtype.symmetric_zero_point()),
});

functions! {
    /// `x * min(max(x + 3, 0), 6) / 6` of each element; without a scale, in the input's.
    ///
    /// >>> import quantray as qt
    /// >>> qt.ops.hardswish(qt.quantize_per_tensor([-4.0, 1.0], 0.1, 0, qt.qint8), 1 / 16, 0).tolist()
    /// [0.0, 0.6875]
    ///
    /// Source: `torch.ops.quantized.hardswish`.
    hardswish = Function::Hardswish, None;

    /// `min(max(x + 3, 0), 6) / 6` of each element; without a scale, in steps of 1/256 from the least code on.
    ///
    /// Source: `torch.nn.functional.hardsigmoid` of a quantized tensor.
    hardsigmoid = Function::Hardsigmoid, UNIT;

    /// `min(max(x, 0), 6)` of each element; without a scale, in the input's.
    ///
    /// Source: `torch.nn.functional.relu6` of a quantized tensor.
    relu6 = Function::Relu6, None;
}

/// `x` where it is positive, else `negative_slope * x`; without a scale, in the input's.
///
/// Source: `torch.ops.quantized.leaky_relu`.
#[pyfunction]
#[pyo3(signature = (input, scale=None, zero_point=None, dtype=None, *, negative_slope=0.01, out=None))]
pub fn leaky_relu<'py>(
    input: Given<'py>,
    scale: Option<&Bound<'py, PyAny>>,
    zero_point: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    negative_slope: f32,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<QTensor> {
    let input = &*input;
    let wanted = Wanted { scale, zero_point, dtype, out };
    unary(input, Function::LeakyRelu(finite(negative_slope, "negative_slope")?), wanted, None)
}

/// `x` where it is positive, else `alpha * (exp(x) - 1)`; without a scale, in the input's.
///
/// Source: `torch.ops.quantized.elu`.
#[pyfunction]
#[pyo3(signature = (input, scale=None, zero_point=None, dtype=None, *, alpha=1.0, out=None))]
pub fn elu<'py>(
    input: Given<'py>,
    scale: Option<&Bound<'py, PyAny>>,
    zero_point: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    alpha: f32,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<QTensor> {
    let input = &*input;
    let wanted = Wanted { scale, zero_point, dtype, out };
    unary(input, Function::Elu(finite(alpha, "alpha")?), wanted, None)
}

/// Infinities of either sign have no sum: a tensor's values must be finite.
pub(super) fn check_finite(scale: f32, arg: &str) -> PyResult<()> {
    if (255.0 * scale).is_finite() {
        return Ok(());
    }
    let valid = format!("with a scale of at most {:e}, so that its values are finite", f32::MAX / 255.0);
    Err(Error::value(arg, format!("one with {scale:e}"), valid).into())
}

/// Arrays of two arguments, `a` and `b`, in their common shape.
pub(super) fn broadcast<'py>(a: &Array<'py>, b: &Array<'py>) -> PyResult<(Array<'py>, Array<'py>)> {
    if a.shape() == b.shape() {
        return Ok((a.clone(), b.clone()));
    }
    let both = np(a.py())?.call_method1("broadcast_arrays", (a, b)).map_err(|_| {
        let valid = format!("of a shape that broadcasts with {}, that of a", tuple_text(a.shape()));
        Error::value("b", tuple_text(b.shape()), valid)
    })?;
    Ok((both.get_item(0)?.cast_into()?, both.get_item(1)?.cast_into()?))
}

/// `op` of two tensors, which are broadcast; without a scale, in one chosen from the result's range.
pub(super) fn two<'py>(
    op: Binary,
    a: &Bound<'py, QTensor>,
    b: &Bound<'py, QTensor>,
    wanted: Wanted<'_, 'py>,
    relu: bool,
) -> PyResult<QTensor> {
    let py = a.py();
    let (a, b) = (a.get(), b.get());
    let dtype = wanted.dtype.map_or(Ok(a.quantizer().dtype()), parse_dtype)?;
    if wanted.scale.is_none() {
        wanted.no_zero_point_alone()?;
        if wanted.out.is_some() {
            return Err(Error::type_("scale", "None", "given together with out").into());
        }
        let name = match op {
            Binary::Add => "add",
            Binary::Sub => "subtract",
            Binary::Mul => "multiply",
        };
        let mut made = np(py)?.call_method1(name, (a.dequantized(py)?, b.dequantized(py)?))?;
        if relu {
            made = np(py)?.call_method1("maximum", (made, 0f32))?;
        }
        return quantize_to_range(py, &as_float32(&made, "the result")?, dtype, false);
    }
    if is_wide(a) && is_wide(b) {
        return super::wide::two(op, (a, b), &wanted, relu, py);
    }
    let ((a_scale, a_zero), (b_scale, b_zero)) = (activation(a, "a")?, activation(b, "b")?);
    check_finite(a_scale, "a")?;
    check_finite(b_scale, "b")?;
    let quantizer = result_params(wanted.scale, wanted.zero_point, dtype, (1.0, 0))?;
    let (y_scale, y_zero) = single(&quantizer);
    let (mut x, mut y) = broadcast(a.codes(py), b.codes(py))?;
    // A broadcast operand has no order of its own.
    let order = match wanted.out.is_some() || is_contiguous(&x) {
        true => None,
        false => Order::of(&x).or_else(|| Order::of(&y)),
    };
    if let Some(order) = &order {
        (x, y) = (order.of_memory(&x)?, order.of_memory(&y)?);
    }
    let (x, y) = (contiguous(&x)?, contiguous(&y)?);
    let shape = x.shape();
    let output = Output::codes(py, dtype, wanted.out, shape, &x)?;
    // The second operand may be what `out` is: element by element that does no harm, shifted it would.
    let y = if overlap(&output.array, &y) { y.call_method0("copy")?.cast_into()? } else { y };
    let a = Operand { codes: codes(&x, a), scale: a_scale, zero_point: a_zero };
    let b = Operand { codes: codes(&y, b), scale: b_scale, zero_point: b_zero };
    let to = match dtype {
        DType::QInt8 => TargetCodes::I8(elements_mut(&output.array)),
        _ => TargetCodes::U8(elements_mut(&output.array)),
    };
    let to = Target { codes: to, scale: y_scale, zero_point: y_zero };
    kernel(py, len(&x), "a", shape, || ops::binary(op, a, b, relu, to))?;
    tensor(output, wanted.out, order, quantizer)
}

pub(super) fn codes<'a>(array: &'a Array<'_>, q: &QTensor) -> Codes<'a> {
    match q.quantizer().dtype() {
        DType::QInt8 => Codes::I8(elements(array)),
        _ => Codes::U8(elements(array)),
    }
}

/// Operations of two tensors with a docstring each.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $op:expr;)*) => {$(
        $(#[$doc])*
        #[pyfunction]
        #[pyo3(signature = (a, b, scale=None, zero_point=None, dtype=None, *, relu=false, out=None))]
        pub fn $name<'py>(
            a: Given<'py>,
            b: Given<'py>,
            scale: Option<&Bound<'py, PyAny>>,
            zero_point: Option<&Bound<'py, PyAny>>,
            dtype: Option<&Bound<'py, PyAny>>,
            relu: bool,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<QTensor> {
            let (a, b) = (&*a, &*b);
            two($op, a, b, Wanted { scale, zero_point, dtype, out }, relu)
        }
    )*};
}

operations! {
    /// The difference of two tensors, as `add`.
    ///
    /// Source: `add` with the second tensor negated.
    sub = Binary::Sub;

    /// The product of two tensors, element by element, as `add`.
    ///
    /// Source: `torch.ops.quantized.mul`.
    mul = Binary::Mul;
}
