//! Functions of one number for tensors, by tables, and for floats, by vectors.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::float::{self, Function};
use quantray_core::ops;

use super::elementwise::{BOTH, Fixed, UNIT, Wanted, unary};
use crate::array::{Output, as_float32, describe, len};
use crate::error::Error;
use crate::run::{kernel, place};
use crate::tensor::QTensor;

/// A function of each element: a tensor's, with what is `wanted` of the result, or floats'.
fn either<'py>(
    input: &Bound<'py, PyAny>,
    (codes, fixed): (ops::Function, Option<Fixed>),
    floats: Function,
    wanted: Wanted<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = input.py();
    if let Ok(q) = input.cast::<QTensor>() {
        return Ok(Bound::new(py, unary(q, codes, wanted, fixed)?)?.into_any());
    }
    wanted.nothing_for_floats()?;
    let x = as_float32(input, "input")?;
    let output = Output::over::<f32>(py, wanted.out, &x)?;
    let place = place(&x, &output);
    kernel(py, len(&x), "input", x.shape(), || float::apply(floats, place))?;
    Ok(output.finish()?.into_any())
}

/// Functions with a docstring each.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $function:ident, $fixed:expr;)*) => {$(
        $(#[$doc])*
        #[pyfunction]
        #[pyo3(signature = (input, scale=None, zero_point=None, dtype=None, *, out=None))]
        pub fn $name<'py>(
            input: &Bound<'py, PyAny>,
            scale: Option<&Bound<'py, PyAny>>,
            zero_point: Option<&Bound<'py, PyAny>>,
            dtype: Option<&Bound<'py, PyAny>>,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let wanted = Wanted { scale, zero_point, dtype, out };
            either(input, (ops::Function::$function, $fixed), Function::$function, wanted)
        }
    )*};
}

functions! {
    /// `1 / (1 + exp(-x))` of each element, of a QTensor or of floats. A tensor's result without a scale is in steps of
    /// 1/256 from the least code on; floats give float32, within 4e-7.
    ///
    /// >>> import quantray as qt
    /// >>> qt.ops.sigmoid(qt.quantize_per_tensor([0.0, 4.0], 0.1, 0, qt.qint8)).tolist()
    /// [0.5, 0.98046875]
    /// >>> qt.ops.sigmoid([0.0, 200.0])
    /// array([0.5, 1. ], dtype=float32)
    ///
    /// Source: `torch.sigmoid`.
    sigmoid = Sigmoid, UNIT;

    /// `tanh(x)` of each element, of a QTensor or of floats. A tensor's result without a scale is in steps of 1/128
    /// around 0; floats give float32, within 4e-7.
    ///
    /// >>> import quantray as qt
    /// >>> qt.ops.tanh(qt.quantize_per_tensor([0.0, 1.0], 0.1, 0, qt.qint8)).tolist()
    /// [0.0, 0.7578125]
    ///
    /// Source: `torch.tanh`.
    tanh = Tanh, BOTH;

    /// `x / (1 + exp(-x))` of each element, of a QTensor or of floats. A tensor's result without a scale is in the
    /// input's; floats give float32, within 4e-7 of it or of 1.
    ///
    /// >>> import quantray as qt
    /// >>> qt.ops.silu([-1.0, 0.0, 1.0])
    /// array([-0.26894143,  0.        ,  0.73105854], dtype=float32)
    ///
    /// Source: `torch.nn.functional.silu`.
    silu = Silu, None;
}

/// The Gaussian error linear unit of each element, of a QTensor or of floats.
///
/// Parameters
/// ----------
/// input : QTensor or array_like of real numbers, any shape
///     Numbers that are not quantized are rounded to float32 first.
/// scale, zero_point, dtype : float, int and dtype, optional
///     Of a tensor's result; by default the input's. Floats take none.
/// approximate : str
///     "none": `x P(X <= x)`, X normally distributed; "tanh":
///     `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, which is up to 5e-4 off.
/// out : ndarray, optional
///     Of the result's shape and type; for floats it may be the input.
///
/// Returns
/// -------
/// QTensor, or ndarray of float32
///     Of the input's shape. Floats are within 4e-7 of the true value, or of 4e-7 times it.
///
/// Raises
/// ------
/// TypeError
///     For floats with a scale, a zero point or a dtype.
/// ValueError
///     For another approximation.
///
/// >>> import quantray as qt
/// >>> qt.ops.gelu([-1.0, 0.0, 1.0])
/// array([-0.15865526,  0.        ,  0.8413447 ], dtype=float32)
///
/// Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016); `torch.nn.functional.gelu`.
#[pyfunction]
#[pyo3(signature = (input, scale=None, zero_point=None, dtype=None, *, approximate="none", out=None))]
pub fn gelu<'py>(
    input: &Bound<'py, PyAny>,
    scale: Option<&Bound<'py, PyAny>>,
    zero_point: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    approximate: &str,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (codes, floats) = match approximate {
        "none" => (ops::Function::Gelu, Function::Gelu),
        "tanh" => (ops::Function::GeluTanh, Function::GeluTanh),
        other => {
            return Err(Error::value("approximate", format!("{other:?}"), "\"none\" or \"tanh\"").into());
        }
    };
    either(input, (codes, None), floats, Wanted { scale, zero_point, dtype, out })
}

impl Wanted<'_, '_> {
    /// Floats have no scale, no zero point and no dtype but float32.
    pub(super) fn nothing_for_floats(&self) -> PyResult<()> {
        for (arg, given) in [("scale", self.scale), ("zero_point", self.zero_point), ("dtype", self.dtype)] {
            if let Some(given) = given {
                let valid = "left out for an input of floats, whose result is float32 (a QTensor's is quantized; \
                             quantize_per_tensor makes one)";
                return Err(Error::type_(arg, describe(given), valid).into());
            }
        }
        Ok(())
    }
}
