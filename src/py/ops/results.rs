//! What operators with weights give: codes, floats, or the sums themselves; and what they add to them.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use quantray_core::gemm::{Finish, Results};
use quantray_core::qparams::{DType, QParams, Quantizer};

use crate::array::Element;
use crate::array::{
    Array, Output, as_float32, contiguous, elements, elements_mut, fresh_view, from_slice, has_type, integer,
    number, tuple_text,
};
use crate::dtype::parse_dtype;
use crate::error::{Error, Result};
use crate::tensor::QTensor;

/// What is added to the outputs.
pub enum Bias {
    /// Nothing.
    None,
    /// Real numbers.
    Float(Vec<f32>),
    /// In steps of a product: the scale of the input times the weight's.
    Int(Vec<i32>),
}

impl Bias {
    /// An array with a finite number, or an int32, for each output.
    pub fn parse(bias: Option<&Bound<'_, PyAny>>, outputs: usize) -> PyResult<Self> {
        let Some(bias) = bias else { return Ok(Self::None) };
        let given = bias.cast::<numpy::PyUntypedArray>().ok();
        let ints = given.is_some_and(|b| has_type(b, i32::TYPE));
        if let Some(given) = given.filter(|b| !ints && b"iu".contains(&b.dtype().kind())) {
            // Numbers, or steps of a product? Only int32, which is what files of integer layers hold, says it.
            let valid =
                "floats, which are real numbers, or int32, which counts steps of a product: use .astype()";
            return Err(Error::type_("bias", format!("dtype {}", given.dtype()), valid).into());
        }
        let array: Array<'_> = match ints {
            true => contiguous(bias.cast()?)?,
            false => as_float32(bias, "bias")?,
        };
        if array.shape() != [outputs] {
            let got = format!("shape {}", tuple_text(array.shape()));
            let valid = format!("of shape ({outputs},), one for each output");
            return Err(Error::value("bias", got, valid).into());
        }
        if ints {
            return Ok(Self::Int(elements::<i32>(&array).to_vec()));
        }
        let values = elements::<f32>(&array).to_vec();
        match values.iter().position(|b| !b.is_finite()) {
            Some(i) => Err(Error::value(format!("bias[{i}]"), values[i], "finite").into()),
            None => Ok(Self::Float(values)),
        }
    }

    /// The same, refused where an integer could carry a sum out of 32 bits; `sum` is what the sums of an output reach.
    pub fn within(self, sum: impl Fn(usize) -> i64) -> Result<Self> {
        if let Self::Int(bias) = &self {
            for (i, &b) in bias.iter().enumerate() {
                let room = i64::from(i32::MAX) - sum(i);
                if i64::from(b).abs() > room {
                    let valid = format!("from {} to {room}, so that no sum leaves 32 bits", -room);
                    return Err(Error::value(format!("bias[{i}]"), b, valid));
                }
            }
        }
        Ok(self)
    }

    /// As it was given, in float32 or int32.
    pub fn array<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        match self {
            Self::None => Ok(None),
            Self::Float(b) => from_slice(py, b).map(Some),
            Self::Int(b) => from_slice(py, b).map(Some),
        }
    }

    /// Its type, for a repr.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Float(_) => f32::NAME,
            Self::Int(_) => i32::NAME,
        }
    }

    /// As kernels take it.
    pub fn finish(&self, relu: bool) -> Finish<'_> {
        let (bias, int_bias) = match self {
            Self::None => (None, None),
            Self::Float(b) => (Some(&b[..]), None),
            Self::Int(b) => (None, Some(&b[..])),
        };
        Finish { bias, int_bias, relu, slopes: None, residual: None }
    }
}

/// What a caller asks for.
pub enum Form {
    /// 8-bit codes of this quantizer.
    Codes(Arc<Quantizer>),
    /// Real numbers.
    Floats,
    /// The sums, as qint32.
    Sums,
}

impl Form {
    /// From a scale and a zero point, or their absence, and a dtype, by default the input's.
    pub fn parse(
        scale: Option<&Bound<'_, PyAny>>,
        zero_point: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
        input: &QTensor,
    ) -> PyResult<Self> {
        let dtype = dtype.map(parse_dtype).transpose()?;
        let Some(scale) = scale else {
            if let Some(z) = zero_point {
                return Err(Error::value("zero_point", z, "given with scale, or not at all").into());
            }
            return match dtype {
                None => Ok(Self::Floats),
                Some(DType::QInt32) => Ok(Self::Sums),
                Some(d) => {
                    Err(Error::type_("scale", "None", format!("given for an output of {}", d.name())).into())
                }
            };
        };
        let dtype = dtype.unwrap_or(input.quantizer().dtype());
        if !matches!(dtype, DType::QInt8 | DType::QUInt8) {
            let valid = "qint8 or quint8 with a scale, or qint32 without one";
            return Err(Error::value("dtype", dtype.name(), valid).into());
        }
        let zero_point = zero_point.map_or(Ok(0), |z| integer(z, "zero_point"))?;
        let quantizer =
            Quantizer::per_tensor(dtype, number(scale, "scale")?, zero_point, false).map_err(Error)?;
        Ok(Self::Codes(Arc::new(quantizer)))
    }

    /// An array of this shape, `out` or a fresh one, that `run` has filled, and what it stands for. Sums have the
    /// scales of the input's times the weight's, which `weight` has along `axis` of the result.
    #[expect(clippy::too_many_arguments, reason = "each is a thing of its own")]
    pub fn fill<'py>(
        self,
        input: &Array<'py>,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        (x_scale, weight, axis): (f32, &Quantizer, usize),
        bias: &Bias,
        relu: bool,
        run: impl FnOnce(&Finish<'_>, Results<'_>) -> PyResult<()>,
    ) -> PyResult<(Array<'py>, Option<Arc<Quantizer>>)> {
        let py = input.py();
        let finish = bias.finish(relu);
        match self {
            Self::Floats => {
                let output = Output::new::<f32>(py, out, shape, input)?;
                run(&finish, Results::Floats(elements_mut(&output.array)))?;
                Ok((output.finish()?, None))
            }
            Self::Codes(quantizer) => {
                let QParams::PerTensor { scale, zero_point } = *quantizer.params() else { unreachable!() };
                check_scales(x_scale, weight.params(), scale as f32, bias)?;
                let output = Output::codes(py, quantizer.dtype(), out, shape, input)?;
                let (to, scale) = (&output.array, scale as f32);
                match quantizer.dtype() {
                    DType::QInt8 => run(&finish, Results::I8(elements_mut(to), scale, zero_point))?,
                    _ => run(&finish, Results::U8(elements_mut(to), scale, zero_point))?,
                }
                Ok((output.finish()?, Some(quantizer)))
            }
            Self::Sums => {
                if relu || matches!(bias, Bias::Float(_)) {
                    let got = if relu { "relu=True" } else { "a float bias" };
                    let valid = "qint8, quint8 or None with it: sums are neither clamped nor moved by parts of a step";
                    return Err(Error::value("dtype", format!("qint32 with {got}"), valid).into());
                }
                let quantizer = of_sums(weight, f64::from(x_scale), axis, shape)?;
                let output = Output::codes(py, DType::QInt32, out, shape, input)?;
                run(&finish, Results::Sums(elements_mut(&output.array)))?;
                Ok((output.finish()?, Some(Arc::new(quantizer))))
            }
        }
    }
}

/// Refuses scales with which float32 does not hold what turns sums into codes.
pub fn check_scales(x_scale: f32, weight: &QParams, y_scale: f32, bias: &Bias) -> Result<()> {
    let n = weight.channels().unwrap_or(1);
    let scale = |i: usize| match weight {
        QParams::PerTensor { scale, .. } => *scale as f32,
        QParams::PerChannel { scales, .. } => scales[i] as f32,
        QParams::PerChannelFloat { scales, .. } => scales[i],
    };
    let bias = if let Bias::Float(bias) = bias { Some(&bias[..]) } else { None };
    quantray_core::gemm::check_scales(x_scale, (n, scale), y_scale, bias).map_err(Error)
}

/// The scales that sums of products have.
fn of_sums(weight: &Quantizer, x_scale: f64, axis: usize, shape: &[usize]) -> PyResult<Quantizer> {
    Ok(match weight.params() {
        QParams::PerChannel { scales, .. } => {
            // Groups of outputs may share scales.
            let n = *shape.last().expect("results have an axis of outputs");
            let scales: Vec<f64> = (0..n).map(|i| scales[i % scales.len()] * x_scale).collect();
            Quantizer::per_channel(DType::QInt32, &scales, &vec![0; n], axis, false).map_err(Error)?
        }
        QParams::PerTensor { scale, .. } => {
            Quantizer::per_tensor(DType::QInt32, scale * x_scale, 0, false).map_err(Error)?
        }
        QParams::PerChannelFloat { .. } => unreachable!("refused at creation"),
    })
}

/// A result as the caller gets it; over a view of our own where the caller, who may assign to the shape of theirs, gave
/// the memory.
pub fn handed_out<'py>(
    array: Array<'py>,
    quantizer: Option<Arc<Quantizer>>,
    given: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(quantizer) = quantizer else { return Ok(array.into_any()) };
    let codes = if given { fresh_view(&array)? } else { array };
    Ok(Bound::new(codes.py(), QTensor::from_parts(codes.clone(), quantizer, None))?.into_any())
}
