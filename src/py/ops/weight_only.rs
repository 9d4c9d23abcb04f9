//! `PackedWeightOnlyLinear`: codes in groups, packed for this CPU, and float inputs.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use quantray_core::arch::Isa;
use quantray_core::qparams::dequantize_one;
use quantray_core::weight_only::{Finish, Groups, InputBits, Layout, PackedGroups, multiply, quantize};

use super::matrices::integers;
use super::results::Bias;
use crate::array::{
    Array, Element, Int, Output, as_float32, contiguous, elements, elements_mut, from_slice, has_type,
    tuple_text,
};
use crate::error::{Error, Result};
use crate::run::kernel;

/// A linear layer of float inputs, `y = x @ weight.T + bias`, whose weight has 4 or 8 bits and, in groups along the
/// inputs, scales and zero points of its own: the form in which language models are shipped.
///
/// Inputs are multiplied as integers of `input_bits`, in steps that each group of each row has for itself, and all sums
/// within a group are exact. With 24 bits, the default, nothing is lost: results are as near to `x @ layer.weight().T` in
/// real numbers as float32 products are. With 16 or 8 bits inputs are rounded on the way, and products take two thirds or a
/// third of the work. A row's results are the same bits on every CPU, in every batch and at every number of threads; but with
/// 24 bits a batch of many rows (12, on CPUs that do not multiply bytes) is multiplied by the weights in float32, whose
/// last bits may differ. A row that holds NaN or an infinity becomes NaN. It pickles as its plain codes, and packs itself again where it is loaded.
///
/// Parameters
/// ----------
/// weight : array_like of real numbers
///     Shape (out_features, in_features). Each group of each row is quantized from its own range.
/// bias : array_like, optional
///     Shape (out_features,), finite.
/// bits : int
///     4 or 8.
/// group_size : int
///     Weights of a row that share a scale: 16, 32, 64, 128 or 256. The last group of a row may be shorter.
/// symmetric : bool
///     Whether the middle code stands for 0: `scale = max(abs(w)) / ((2**bits - 1) / 2)`. Otherwise each group has a
///     zero point too: `scale = (max(w) - min(w)) / (2**bits - 1)`, `zero_point = -round(min(w) / scale)`.
/// input_bits : int
///     What inputs keep, in steps of their group's own. 24: the step is a power of two, at most 2^-22 of the largest input.
///     16: the same, at most 2^-14. 8: `max(abs(x)) / 127`, as llama.cpp's Q8_0 and onnxruntime's `accuracy_level=4` round
///     them; NumPy's float32 is its `accuracy_level=1`.
///
/// Raises
/// ------
/// TypeError, ValueError
///     For a weight or a bias of another shape, that is not finite or not of real numbers, and for numbers of bits and
///     group sizes that there are none of.
///
/// >>> import numpy as np, quantray as qt
/// >>> w = np.linspace(-0.75, 0.75, 64, dtype=np.float32).reshape(2, 32)
/// >>> linear = qt.ops.PackedWeightOnlyLinear(w, bias=[0.5, 0.0], bits=4, group_size=32)
/// >>> linear(np.ones((1, 32))).round(2)
/// array([[-11.7,  12.1]], dtype=float32)
/// >>> linear.codes().shape, linear.scales().shape
/// ((2, 32), (2, 1))
/// >>> fast = qt.ops.PackedWeightOnlyLinear(w, bits=4, group_size=32, input_bits=8)
/// >>> x = np.linspace(-1, 1, 32)
/// >>> bool(abs(fast(x) - w @ x).max() < 0.5), fast.input_bits
/// (True, 8)
///
/// Source: Frantar et al., GPTQ (2022); onnxruntime's `MatMulNBits` (`accuracy_level`); llama.cpp's Q4_0 by Q8_0;
/// `torch.ops.aten._weight_int4pack_mm_for_cpu`.
#[pyclass(module = "quantray.ops", frozen)]
pub struct PackedWeightOnlyLinear {
    pub(super) packed: Arc<PackedGroups>,
    pub(super) bias: Bias,
    pub(super) input_bits: InputBits,
}

#[pymethods]
impl PackedWeightOnlyLinear {
    #[new]
    #[pyo3(
        signature = (weight, bias=None, *, bits=Int(4), group_size=Int(128), symmetric=true, input_bits=Int(24)),
        text_signature = "(weight, bias=None, *, bits=4, group_size=128, symmetric=True, input_bits=24)"
    )]
    fn new(
        weight: &Bound<'_, PyAny>,
        bias: Option<&Bound<'_, PyAny>>,
        bits: Int,
        group_size: Int,
        symmetric: bool,
        input_bits: Int,
    ) -> PyResult<Self> {
        let py = weight.py();
        let input_bits = InputBits::new(input_bits.0).map_err(Error)?;
        let weight = as_float32(weight, "weight")?;
        let layout = layout(&weight, "weight", bits, group_size)?;
        let bias = float_bias(bias, layout.columns)?;
        let x = elements::<f32>(&weight);
        let packed = kernel(py, x.len(), "weight", weight.shape(), || {
            Ok(quantize(x, &layout, symmetric)?.map(|(codes, scales, zero_points)| {
                let zero_points = zero_points.as_deref();
                PackedGroups::new(
                    Isa::current(),
                    layout,
                    Groups { codes: &codes, scales: &scales, zero_points },
                )
            }))
        })?
        .map_err(Error)?;
        Ok(Self { packed: Arc::new(packed), bias, input_bits })
    }

    /// The layer of a weight that is quantized already, as checkpoints hold it (GPTQ, AWQ, MatMulNBits):
    /// `weight[n, k] = scales[n, k // group_size] * (codes[n, k] - zero_points[n, k // group_size])`.
    ///
    /// Parameters
    /// ----------
    /// codes : array_like of int8 or uint8
    ///     Shape (out_features, in_features), one code in each element: from 0 to `2**bits - 1` where it is uint8, from
    ///     `-2**(bits - 1)` to `2**(bits - 1) - 1` where it is int8. Codes that share integers are taken apart by
    ///     `packed[..., None] >> np.arange(0, 8, 4) & 15`, and their like.
    /// scales : array_like of real numbers
    ///     Shape (out_features, groups), finite, with `groups = ceil(in_features / group_size)`.
    /// zero_points : array_like of integers, optional
    ///     Shape (out_features, groups), in the range of the codes: those that stand for 0. By default the middle,
    ///     `2**(bits - 1)` for uint8 and 0 for int8.
    /// bias : array_like, optional
    ///     Shape (out_features,), finite.
    /// bits, group_size, input_bits : int
    ///     As for the class.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> packed = np.array([[0x98, 0x7f]], np.uint8)        # the first code in the low bits
    /// >>> codes = (packed[..., None] >> np.arange(0, 8, 4, dtype=np.uint8) & 15).reshape(1, 4)
    /// >>> linear = qt.ops.PackedWeightOnlyLinear.from_codes(codes, [[0.5]], bits=4, group_size=32)
    /// >>> linear.weight()
    /// array([[ 0. ,  0.5,  3.5, -0.5]], dtype=float32)
    #[classmethod]
    #[expect(clippy::too_many_arguments, reason = "of the Python signature")]
    #[pyo3(
        signature = (codes, scales, zero_points=None, bias=None, bits=Int(4), group_size=Int(128), input_bits=Int(24)),
        text_signature = "($cls, codes, scales, zero_points=None, bias=None, bits=4, group_size=128, input_bits=24)"
    )]
    fn from_codes(
        _cls: &Bound<'_, PyType>,
        codes: &Bound<'_, PyAny>,
        scales: &Bound<'_, PyAny>,
        zero_points: Option<&Bound<'_, PyAny>>,
        bias: Option<&Bound<'_, PyAny>>,
        bits: Int,
        group_size: Int,
        input_bits: Int,
    ) -> PyResult<Self> {
        let py = codes.py();
        let input_bits = InputBits::new(input_bits.0).map_err(Error)?;
        let codes = contiguous(&integers(codes, "codes")?)?;
        let layout = layout(&codes, "codes", bits, group_size)?;
        let bias = float_bias(bias, layout.columns)?;
        let signed = has_type(&codes, i8::TYPE);
        let codes = match signed {
            true => unsigned(elements::<i8>(&codes), "codes", codes.shape(), &layout, true)?,
            false => unsigned(elements::<u8>(&codes), "codes", codes.shape(), &layout, false)?,
        };
        let scales = as_float32(scales, "scales")?;
        of_groups(&scales, "scales", &layout)?;
        let scales = elements::<f32>(&scales);
        if let Some(i) = scales.iter().position(|s| !s.is_finite()) {
            return Err(Error::value(
                name("scales", i, &[layout.columns, layout.groups()]),
                scales[i],
                "finite",
            )
            .into());
        }
        let zero_points = zero_points.map(|z| self::zero_points(z, &layout, signed)).transpose()?;
        let groups = Groups { codes: &codes, scales, zero_points: zero_points.as_deref() };
        let isa = Isa::current();
        let packed = kernel(py, codes.len(), "codes", &[], || Ok(PackedGroups::new(isa, layout, groups)))?;
        Ok(Self { packed: Arc::new(packed), bias, input_bits })
    }

    /// The layer of a float input.
    ///
    /// Parameters
    /// ----------
    /// input : array_like of real numbers
    ///     Shape (..., in_features), rounded to float32 first.
    /// relu : bool
    ///     Whether negative outputs become 0.
    /// out : numpy.ndarray, optional
    ///     Shape (..., out_features), float32: where the output goes.
    ///
    /// Returns
    /// -------
    /// numpy.ndarray
    ///     Shape (..., out_features), float32.
    #[pyo3(signature = (input, *, relu=false, out=None))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, PyAny>,
        relu: bool,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Array<'py>> {
        let layout = self.packed.layout();
        let x = as_float32(input, "input")?;
        let shape: Vec<usize> = match x.shape().split_last() {
            Some((&last, rows)) if last == layout.depth => {
                rows.iter().copied().chain([layout.columns]).collect()
            }
            _ => {
                let valid = format!("of shape (..., {}), as deep as the weight", layout.depth);
                return Err(Error::value("input", tuple_text(x.shape()), valid).into());
            }
        };
        let output = Output::new::<f32>(py, out, &shape, &x)?;
        let (values, to) = (elements::<f32>(&x), elements_mut::<f32>(&output.array));
        let bias = self.bias.finish(relu).bias;
        // Products per element that a kernel of `run` handles in as much time.
        let work = to.len() * layout.depth / 16;
        let finish = Finish { bias, relu };
        kernel(py, work, "input", &[], || multiply(values, self.input_bits, &self.packed, &finish, to))?;
        output.finish()
    }

    /// The weight that the codes stand for: shape (out_features, in_features), float32.
    fn weight<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        let layout = self.packed.layout();
        let (codes, scales, zero_points) =
            (self.packed.codes(), self.packed.scales(), self.packed.zero_points());
        let groups = Groups { codes: &codes, scales: &scales, zero_points: zero_points.as_deref() };
        let value = |i: usize| {
            let at = i / layout.depth * layout.groups() + i % layout.depth / layout.group;
            dequantize_one(codes[i].into(), scales[at], groups.zero_point(layout, at).into())
        };
        let values: Vec<f32> = (0..codes.len()).map(value).collect();
        reshaped(from_slice(py, &values)?, [layout.columns, layout.depth])
    }

    /// The codes, from 0 to `2**bits - 1`: shape (out_features, in_features), uint8.
    fn codes<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        let layout = self.packed.layout();
        reshaped(from_slice(py, &self.packed.codes())?, [layout.columns, layout.depth])
    }

    /// The scales: shape (out_features, groups), float32.
    fn scales<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        let layout = self.packed.layout();
        reshaped(from_slice(py, &self.packed.scales())?, [layout.columns, layout.groups()])
    }

    /// The zero points: shape (out_features, groups), uint8; or None where all of them are the middle, `2**(bits - 1)`.
    fn zero_points<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        let layout = self.packed.layout();
        let Some(zero_points) = self.packed.zero_points() else { return Ok(None) };
        reshaped(from_slice(py, &zero_points)?, [layout.columns, layout.groups()]).map(Some)
    }

    /// The bias: shape (out_features,), float32; or None.
    fn bias<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        self.bias.array(py)
    }

    /// Length of the input's last axis.
    #[getter]
    fn in_features(&self) -> usize {
        self.packed.layout().depth
    }

    /// Length of the output's last axis.
    #[getter]
    fn out_features(&self) -> usize {
        self.packed.layout().columns
    }

    /// Bits of a code.
    #[getter]
    fn bits(&self) -> usize {
        self.packed.layout().bits
    }

    /// Weights of a row that share a scale.
    #[getter]
    fn group_size(&self) -> usize {
        self.packed.layout().group
    }

    /// Bits that inputs keep.
    #[getter]
    fn input_bits(&self) -> usize {
        self.input_bits.bits()
    }

    /// Bytes of the packed weight: its codes, scales and zero points.
    #[getter]
    fn nbytes(&self) -> usize {
        self.packed.bytes()
    }

    /// The instruction set that the weight is packed for: a name as in `cpu_info()["available"]`.
    #[getter]
    fn kernel(&self) -> &'static str {
        self.packed.isa().name()
    }

    fn __repr__(&self) -> String {
        let Layout { columns, depth, group, bits } = self.packed.layout();
        format!(
            "PackedWeightOnlyLinear(in_features={depth}, out_features={columns}, bits={bits}, group_size={group}, \
             symmetric={}, input_bits={}, bias={}, kernel={})",
            if self.packed.zero_points().is_none() { "True" } else { "False" },
            self.input_bits(),
            self.bias.name(),
            self.packed.isa().name()
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let Layout { group, bits, .. } = *this.packed.layout();
        let arrays = (this.codes(py)?, this.scales(py)?, this.zero_points(py)?, this.bias(py)?);
        let args = (arrays.0, arrays.1, arrays.2, arrays.3, bits, group, this.input_bits());
        Ok((slf.get_type().getattr("from_codes")?, args.into_pyobject(py)?))
    }
}

/// The layout of a matrix.
fn layout(matrix: &Array<'_>, arg: &str, bits: Int, group_size: Int) -> Result<Layout> {
    let &[columns, depth] = matrix.shape() else {
        return Err(Error::value(arg, tuple_text(matrix.shape()), "of shape (out_features, in_features)"));
    };
    Ok(Layout::new(columns, depth, group_size.0, bits.0)?)
}

/// A bias of real numbers.
fn float_bias(bias: Option<&Bound<'_, PyAny>>, outputs: usize) -> PyResult<Bias> {
    // An array of int32 would count steps of a product, which these layers do not have.
    match bias.map(|b| as_float32(b, "bias")).transpose()? {
        Some(bias) => Bias::parse(Some(&bias), outputs),
        None => Ok(Bias::None),
    }
}

fn reshaped<'py>(array: Array<'py>, shape: [usize; 2]) -> PyResult<Array<'py>> {
    let shape = PyTuple::new(array.py(), shape)?;
    Ok(array.call_method1("reshape", (shape,))?.cast_into()?)
}

/// Checks that there is one for each group.
fn of_groups(array: &Array<'_>, arg: &str, layout: &Layout) -> Result<()> {
    let shape = [layout.columns, layout.groups()];
    if array.shape() == shape {
        return Ok(());
    }
    let valid =
        format!("of shape {}, one for each {} inputs of each output", tuple_text(&shape), layout.group);
    Err(Error::value(arg, tuple_text(array.shape()), valid))
}

/// One element's name, by its flat position.
fn name(arg: &str, i: usize, shape: &[usize]) -> String {
    format!("{arg}[{}, {}]", i / shape[1], i % shape[1])
}

/// Codes or zero points, checked, from 0 on.
fn unsigned<T: Copy + Into<i64>>(
    values: &[T],
    arg: &str,
    shape: &[usize],
    layout: &Layout,
    signed: bool,
) -> Result<Vec<u8>> {
    let (middle, greatest) = (i64::from(layout.middle()), i64::from(layout.greatest()));
    let offset = if signed { middle } else { 0 };
    let wrong = |value: i64| !(0..=greatest).contains(&(value + offset));
    if let Some(i) = values.iter().position(|&v| wrong(v.into())) {
        let kind = if signed { "signed" } else { "unsigned" };
        let valid =
            format!("from {} to {}, as {kind} codes of {} bits are", -offset, greatest - offset, layout.bits);
        return Err(Error::value(name(arg, i, shape), values[i].into(), valid));
    }
    Ok(values.iter().map(|&v| (v.into() + offset) as u8).collect())
}

/// Zero points of any type of integers, from 0 on.
fn zero_points(object: &Bound<'_, PyAny>, layout: &Layout, signed: bool) -> PyResult<Vec<u8>> {
    let numpy = crate::array::np(object.py())?;
    let array: Array<'_> = numpy.call_method1("asarray", (object,))?.cast_into()?;
    if !b"iu".contains(&array.dtype().kind()) {
        let valid =
            "an array of integers; where scales come with float offsets, no integer code stands for 0";
        return Err(Error::type_("zero_points", format!("dtype {}", array.dtype()), valid).into());
    }
    of_groups(&array, "zero_points", layout)?;
    // Beyond what an int64 holds is beyond the range, too.
    let wide = numpy.call_method1("clip", (&array, -1 << 9, 1 << 9))?.call_method1("astype", ("int64",))?;
    let wide = contiguous(wide.cast::<PyUntypedArray>()?)?;
    Ok(unsigned(elements::<i64>(&wide), "zero_points", array.shape(), layout, signed)?)
}
