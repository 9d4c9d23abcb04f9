"""Functions of arrays that operators of files need, and that neither NumPy nor `nn.functional` has."""

from quantray.onnx.functions._attention import (
    attention_bias,
    linear_attention,
    mask_of_lengths,
    masked_softmax,
)
from quantray.onnx.functions._chance import bernoulli, dropout, multinomial, random_normal, random_uniform
from quantray.onnx.functions._elementwise import divide_integers, erf
from quantray.onnx.functions._four_bit_floats import matmul_four_bit_floats
from quantray.onnx.functions._grids import affine_grid, col2im, deform_conv, grid_sample, non_max_suppression
from quantray.onnx.functions._group_query import group_query_attention
from quantray.onnx.functions._integers import conv_integer, matmul_integer
from quantray.onnx.functions._losses import negative_log_likelihood
from quantray.onnx.functions._movement import (
    center_crop_pad,
    cumulative_product,
    determinant,
    gather_nd,
    inverse,
    non_zero,
    one_hot,
    reverse_sequence,
    scatter_elements,
    scatter_nd,
    tensor_scatter,
    top_k,
    unique,
)
from quantray.onnx.functions._pooling import (
    average_pool,
    lp_pool,
    max_pool,
    max_roi_pool,
    max_unpool,
    roi_align,
)
from quantray.onnx.functions._quantize import (
    dequantize_linear,
    dynamic_quantize_linear,
    fake_quantize,
    quantize_linear,
)
from quantray.onnx.functions._quantized_elementwise import (
    qlinear_add,
    qlinear_average_pool,
    qlinear_concat,
    qlinear_global_average_pool,
    qlinear_leaky_relu,
    qlinear_mul,
    qlinear_sigmoid,
    qlinear_softmax,
    qlinear_where,
)
from quantray.onnx.functions._quantized_products import (
    dynamic_quantize_matmul,
    gather_blocks,
    matmul_blocks,
    matmul_integer_to_float,
    qgemm,
    qlinear_conv,
    qlinear_matmul,
)
from quantray.onnx.functions._recurrent import dynamic_quantize_lstm, recurrent
from quantray.onnx.functions._resize import resize
from quantray.onnx.functions._signal import dft, mel_weight_matrix, stft, window
from quantray.onnx.functions._small_floats import to_few_bits, to_small
from quantray.onnx.functions._support_vectors import support_vector_sums, support_vector_votes
from quantray.onnx.functions._trees import tree_scores

__all__ = [
    "affine_grid",
    "attention_bias",
    "average_pool",
    "bernoulli",
    "center_crop_pad",
    "col2im",
    "conv_integer",
    "cumulative_product",
    "deform_conv",
    "dequantize_linear",
    "determinant",
    "dft",
    "divide_integers",
    "dropout",
    "dynamic_quantize_linear",
    "dynamic_quantize_lstm",
    "dynamic_quantize_matmul",
    "erf",
    "fake_quantize",
    "gather_blocks",
    "gather_nd",
    "grid_sample",
    "group_query_attention",
    "inverse",
    "linear_attention",
    "lp_pool",
    "mask_of_lengths",
    "masked_softmax",
    "matmul_blocks",
    "matmul_four_bit_floats",
    "matmul_integer",
    "matmul_integer_to_float",
    "max_pool",
    "max_roi_pool",
    "max_unpool",
    "mel_weight_matrix",
    "multinomial",
    "negative_log_likelihood",
    "non_max_suppression",
    "non_zero",
    "one_hot",
    "qgemm",
    "qlinear_add",
    "qlinear_average_pool",
    "qlinear_concat",
    "qlinear_conv",
    "qlinear_global_average_pool",
    "qlinear_leaky_relu",
    "qlinear_matmul",
    "qlinear_mul",
    "qlinear_sigmoid",
    "qlinear_softmax",
    "qlinear_where",
    "quantize_linear",
    "random_normal",
    "random_uniform",
    "recurrent",
    "resize",
    "reverse_sequence",
    "roi_align",
    "scatter_elements",
    "scatter_nd",
    "stft",
    "support_vector_sums",
    "support_vector_votes",
    "tensor_scatter",
    "to_few_bits",
    "to_small",
    "top_k",
    "tree_scores",
    "unique",
    "window",
]
