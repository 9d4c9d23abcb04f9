//! Sums of two tensors, or of one and floats.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::ops::{self, Binary, Operand, Target, TargetCodes};
use quantray_core::qparams::DType;

use super::elementwise::{Wanted, broadcast, check_finite, codes, result_params, single, tensor, two};
use super::matrices::activation;
use super::order::{Order, strided_float32};
use crate::array::{
    Array, Output, as_float32, contiguous, elements, elements_mut, is_contiguous, len, np, overlap,
};
use crate::create::quantize_to_range;
use crate::dtype::parse_dtype;
use crate::error::Error;
use crate::run::kernel;
use crate::tensor::QTensor;

/// The sum of two tensors, which are broadcast; negative sums are 0 with `relu`. Without a scale it has one that is
/// chosen from its range.
///
/// One of them may be floats: what a product leaves unrounded is then rounded once, with the sum.
///
/// >>> import numpy as np, quantray as qt
/// >>> a = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
/// >>> qt.ops.add(a, a, scale=0.25, zero_point=0).tolist()
/// [2.0, 4.0]
/// >>> qt.ops.add(np.float32([0.3, -2.3]), a, scale=0.25, zero_point=0, relu=True).tolist()
/// [1.25, 0.0]
///
/// Source: `torch.ops.quantized.add`, `torch.ops.quantized.add_relu`; of floats and a tensor, what
/// `torch.ops.quantized.conv2d_add` adds.
#[pyfunction]
#[pyo3(signature = (a, b, scale=None, zero_point=None, dtype=None, *, relu=false, out=None))]
pub fn add<'py>(
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    scale: Option<&Bound<'py, PyAny>>,
    zero_point: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    relu: bool,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<QTensor> {
    let wanted = Wanted { scale, zero_point, dtype, out };
    match (a.cast::<QTensor>(), b.cast::<QTensor>()) {
        (Ok(a), Ok(b)) => two(Binary::Add, a, b, wanted, relu),
        (Err(_), Ok(q)) => with_floats(a, q, ("a", "b"), wanted, relu),
        (Ok(q), Err(_)) => with_floats(b, q, ("b", "a"), wanted, relu),
        (Err(_), Err(_)) => {
            let got = format!("{} and {}", a.get_type().name()?, b.get_type().name()?);
            Err(Error::type_("a", got, "a QTensor where b is none").into())
        }
    }
}

/// The sum of floats and a tensor; `args` are their names.
fn with_floats<'py>(
    floats: &Bound<'py, PyAny>,
    q: &Bound<'py, QTensor>,
    (float_arg, q_arg): (&str, &str),
    wanted: Wanted<'_, 'py>,
    relu: bool,
) -> PyResult<QTensor> {
    let (py, q) = (q.py(), q.get());
    let dtype = wanted.dtype.map_or(Ok(q.quantizer().dtype()), parse_dtype)?;
    let x = strided_float32(floats, float_arg)?;
    if wanted.scale.is_none() {
        wanted.no_zero_point_alone()?;
        if wanted.out.is_some() {
            return Err(Error::type_("scale", "None", "given together with out").into());
        }
        let mut made = np(py)?.call_method1("add", (x, q.dequantized(py)?))?;
        if relu {
            made = np(py)?.call_method1("maximum", (made, 0f32))?;
        }
        return quantize_to_range(py, &as_float32(&made, "the result")?, dtype, false);
    }
    let (y_scale, y_zero) = activation(q, q_arg)?;
    check_finite(y_scale, q_arg)?;
    let quantizer = result_params(wanted.scale, wanted.zero_point, dtype, (1.0, 0))?;
    let (scale, zero_point) = single(&quantizer);
    let (x, y) = match float_arg {
        "a" => broadcast(&x, q.codes(py))?,
        _ => {
            let (y, x) = broadcast(q.codes(py), &x)?;
            (x, y)
        }
    };
    let order = match wanted.out.is_some() || is_contiguous(&x) {
        true => None,
        false => Order::of(&x).or_else(|| Order::of(&y)),
    };
    let in_order = |a: &Array<'py>| -> PyResult<Array<'py>> {
        contiguous(&order.as_ref().map_or(Ok(a.clone()), |order| order.of_memory(a))?)
    };
    let (from, own) = (in_order(&x)?, in_order(&y)?);
    let output = Output::codes(py, dtype, wanted.out, from.shape(), &from)?;
    // The codes may be what `out` is: element by element that does no harm, shifted it would.
    let own = if overlap(&output.array, &own) { own.call_method0("copy")?.cast_into()? } else { own };
    let operand = Operand { codes: codes(&own, q), scale: y_scale, zero_point: y_zero };
    let to = match dtype {
        DType::QInt8 => TargetCodes::I8(elements_mut(&output.array)),
        _ => TargetCodes::U8(elements_mut(&output.array)),
    };
    let (to, values) = (Target { codes: to, scale, zero_point }, elements::<f32>(&from));
    kernel(py, len(&from), float_arg, from.shape(), || ops::add_floats(values, operand, relu, to))
        .map_err(|error| if order.is_some() { Order::of_error(error, &x, float_arg) } else { error })?;
    tensor(output, wanted.out, order, quantizer)
}
