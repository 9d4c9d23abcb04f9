//! The binding: argument checking, NumPy views, the `QTensor` class. Nothing here computes.

mod array;
mod create;
mod dtype;
mod error;
mod fake;
mod files;
mod fingerprint;
mod io;
mod onnx;
mod ops;
mod quantizer;
mod range;
mod rounding;
mod run;
mod settings;
mod tensor;

use pyo3::prelude::*;

/// The compiled part of quantray; everything public in it is re-exported by `quantray`.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::create::{
        make_per_channel_quantized_tensor, make_per_tensor_quantized_tensor, quantize_per_channel,
        quantize_per_tensor, quantize_per_tensor_dynamic,
    };
    #[pymodule_export]
    use super::dtype::{PyDType, PyScheme};
    #[pymodule_export]
    use super::fake::{
        fake_quantize_learnable_per_channel_affine_backward,
        fake_quantize_learnable_per_tensor_affine_backward, fake_quantize_per_channel_affine,
        fake_quantize_per_channel_affine_backward, fake_quantize_per_tensor_affine,
        fake_quantize_per_tensor_affine_backward,
    };
    #[pymodule_export]
    use super::fingerprint::fingerprint;
    #[pymodule_export]
    use super::io::{load, read_metadata, replace_file, save};
    #[pymodule_export]
    use super::onnx::{read_onnx, write_onnx};
    #[pymodule_export]
    use super::ops::Program;
    #[pymodule_export]
    use super::ops::{
        PackedConv1d, PackedConv2d, PackedConv3d, PackedConvTranspose1d, PackedConvTranspose2d,
        PackedConvTranspose3d, PackedLinear, adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d,
        adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d, add, avg_pool1d, avg_pool2d,
        avg_pool3d, elu, embedding, embedding_bag, explain, gelu, hardsigmoid, hardswish, int_mm, layer_norm,
        leaky_relu, matmul, max_pool1d, max_pool2d, max_pool3d, mul, peaks, read_bandwidth, relu6,
        self_attention, sigmoid, silu, softmax, sub, tanh,
    };
    #[pymodule_export]
    use super::ops::{PackedGRU, PackedGRUCell, PackedLSTM, PackedLSTMCell, PackedRNNCell, gru, lstm, rnn};
    #[pymodule_export]
    use super::ops::{PackedWeightOnlyLinear, resize, tree_scores};
    #[pymodule_export]
    use super::quantizer::{PerChannelAffineQuantizer, PerTensorAffineQuantizer};
    #[pymodule_export]
    use super::range::{histogram, min_max, power_sums};
    #[pymodule_export]
    use super::settings::{cpu_info, get_num_threads, set_isa, set_num_threads};
    #[pymodule_export]
    use super::tensor::join::{allclose, cat, equal, stack, where_};
    #[pymodule_export]
    use super::tensor::{QTensor, rebuild, set_printoptions};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        quantray_core::arch::from_env().map_err(super::error::Error)?;
        quantray_core::threads::from_env().map_err(super::error::Error)?;
        super::run::install_interrupt_check();
        super::dtype::register(module)?;
        module.add("ValuesAndIndices", super::tensor::values_and_indices_class(module.py())?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
