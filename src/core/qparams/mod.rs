//! Data types, schemes, scale and zero point, their validation, and **the rounding contract**.
//!
//! Every kernel agrees, bit for bit, with the plain functions of this module. Float arithmetic is float32
//! without fused multiply-add; rounding is half to even.
//!
//! | step | formula |
//! | --- | --- |
//! | quantize | `inv = 1f32 / f32(scale)`; `q = clamp(rint(x * inv) + zero_point, qmin, qmax)` |
//! | dequantize | `f32(scale) * f32(q - zero_point)` |
//! | qint32 | `rint(x * inv)` in float32; the zero point and the clamp in float64 |
//! | packed, and float zero points | `q = clamp(rint(x * inv + zero_point))` |
//!
//! They are those of PyTorch 2.15 (`torch.quantize_per_tensor`, FBGEMM's `Quantize`), where it agrees with itself.

mod dtype;
mod params;
mod range;
mod rounding;

pub use dtype::{DType, Scheme};
pub use params::{QParams, Quantizer, check_scale, check_zero_point};
pub(crate) use range::usual_qparams;
pub use range::{check_quant_range, range_to_onnx_qparams, range_to_qparams};
pub use rounding::{
    dequantize_one, dequantize_one_float, fake_quantize_one, passes_gradient, quantize_one,
    quantize_one_before, quantize_one_i32,
};
