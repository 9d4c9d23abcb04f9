"""Which class of modules takes which one's place: torch's tables, of quantray's classes.

`prepare`, `convert` and `quantize_dynamic` have tables of their own, which hold more; these are for code that
asks torch's functions, and for `swap_module`.

Source: `torch.ao.quantization.quantization_mappings`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from quantray import nn, ops
from quantray.nn import functional as F
from quantray.nn import intrinsic, qat, quantizable, quantized
from quantray.nn.intrinsic import qat as fused_qat
from quantray.nn.intrinsic import quantized as fused_quantized
from quantray.nn.qat import dynamic as dynamic_qat
from quantray.nn.quantized import dynamic
from quantray.quantization._classes import Classes
from quantray.quantization.fake_quantize import (
    default_fixed_qparams_range_0to1_fake_quant,
    default_fixed_qparams_range_neg1to1_fake_quant,
)
from quantray.quantization.qconfig import Factory

#: A class of modules, or a function.
Kind: TypeAlias = Callable[..., object]
#: A table of torch's: classes of modules and those that take their place.
ClassTable: TypeAlias = dict[Kind, type[nn.Module]]


def _words(text: str) -> list[str]:
    return text.split()


#: Float modules, and fused or trained ones, and the modules of integers that they become.
DEFAULT_STATIC_QUANT_MODULE_MAPPINGS: ClassTable = {
    nn.QuantStub: quantized.Quantize,
    nn.DeQuantStub: quantized.DeQuantize,
    nn.FloatFunctional: quantized.QFunctional,
    **{
        getattr(nn, name): getattr(quantized, name)
        for name in _words(
            """
            BatchNorm2d BatchNorm3d Dropout Conv1d Conv2d Conv3d ConvTranspose1d
            ConvTranspose2d ConvTranspose3d ELU Embedding EmbeddingBag GroupNorm Hardswish
            InstanceNorm1d InstanceNorm2d InstanceNorm3d LayerNorm LeakyReLU Linear ReLU6
            PReLU
            """
        )
    },
    **{
        getattr(intrinsic, name): getattr(fused_quantized, name)
        for name in _words(
            """
            BNReLU2d BNReLU3d ConvReLU1d ConvReLU2d ConvReLU3d ConvAdd2d ConvAddReLU2d
            LinearReLU LinearLeakyReLU LinearTanh
            """
        )
    },
    fused_qat.ConvBn1d: quantized.Conv1d,
    fused_qat.ConvBn2d: quantized.Conv2d,
    fused_qat.ConvBn3d: quantized.Conv3d,
    fused_qat.ConvBnReLU1d: fused_quantized.ConvReLU1d,
    fused_qat.ConvBnReLU2d: fused_quantized.ConvReLU2d,
    fused_qat.ConvBnReLU3d: fused_quantized.ConvReLU3d,
    fused_qat.ConvReLU1d: fused_quantized.ConvReLU1d,
    fused_qat.ConvReLU2d: fused_quantized.ConvReLU2d,
    fused_qat.ConvReLU3d: fused_quantized.ConvReLU3d,
    fused_qat.LinearReLU: fused_quantized.LinearReLU,
    fused_qat.LinearBn1d: quantized.Linear,
    qat.Linear: quantized.Linear,
    qat.Conv1d: quantized.Conv1d,
    qat.Conv2d: quantized.Conv2d,
    qat.Conv3d: quantized.Conv3d,
}

#: Float modules, and fused ones, and those of training.
DEFAULT_QAT_MODULE_MAPPINGS: ClassTable = {
    nn.Conv1d: qat.Conv1d,
    nn.Conv2d: qat.Conv2d,
    nn.Conv3d: qat.Conv3d,
    nn.Linear: qat.Linear,
    **{made.fused: made for made in fused_qat.TRAINED.values()},
}

#: Float modules and those whose inputs are quantized as they come.
DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS: ClassTable = {
    nn.GRUCell: dynamic.GRUCell,
    nn.Linear: dynamic.Linear,
    dynamic_qat.Linear: dynamic.Linear,
    nn.LSTM: dynamic.LSTM,
    nn.GRU: dynamic.GRU,
    nn.LSTMCell: dynamic.LSTMCell,
    nn.RNNCell: dynamic.RNNCell,
    intrinsic.LinearReLU: fused_quantized.dynamic.LinearReLU,
    nn.EmbeddingBag: quantized.EmbeddingBag,
    nn.Embedding: quantized.Embedding,
}

#: Functions of floats and those of integers.
DEFAULT_FLOAT_TO_QUANTIZED_OPERATOR_MAPPINGS: dict[Kind | str, Kind] = {
    F.elu: ops.elu,
    F.hardswish: ops.hardswish,
    F.instance_norm: F.instance_norm,
    F.layer_norm: F.layer_norm,
    F.leaky_relu: ops.leaky_relu,
    F.dropout: F.dropout,
}

#: Modules whose output has a range that is known.
DEFAULT_MODULE_TO_ACT_POST_PROCESS: dict[Kind, Factory] = {
    nn.Hardsigmoid: default_fixed_qparams_range_0to1_fake_quant,
    nn.Sigmoid: default_fixed_qparams_range_0to1_fake_quant,
    nn.Softmax: default_fixed_qparams_range_0to1_fake_quant,
    nn.Tanh: default_fixed_qparams_range_neg1to1_fake_quant,
}


def get_default_static_quant_module_mappings() -> ClassTable:
    """Which class of integers each float one becomes: a copy of the table.

    >>> from quantray import nn, quantization as tq
    >>> tq.get_default_static_quant_module_mappings()[nn.Linear] is nn.quantized.Linear
    True
    """
    return dict(DEFAULT_STATIC_QUANT_MODULE_MAPPINGS)


def get_embedding_static_quant_module_mappings() -> ClassTable:
    """The same with the tables that were trained for it."""
    tables = {qat.EmbeddingBag: quantized.EmbeddingBag, qat.Embedding: quantized.Embedding}
    return {**DEFAULT_STATIC_QUANT_MODULE_MAPPINGS, **tables}


def get_default_qat_module_mappings() -> ClassTable:
    """Which class is trained in the place of each float one: a copy of the table.

    >>> from quantray import nn, quantization as tq
    >>> tq.get_default_qat_module_mappings()[nn.Linear] is nn.qat.Linear
    True
    """
    return dict(DEFAULT_QAT_MODULE_MAPPINGS)


def get_embedding_qat_module_mappings() -> ClassTable:
    """The same with tables that are looked up."""
    tables = {nn.EmbeddingBag: qat.EmbeddingBag, nn.Embedding: qat.Embedding}
    return {**DEFAULT_QAT_MODULE_MAPPINGS, **tables}


def get_default_dynamic_quant_module_mappings() -> ClassTable:
    """Which class of 8-bit weights each float one becomes; torch's function gives its table itself, too.

    >>> from quantray import nn, quantization as tq
    >>> tq.get_default_dynamic_quant_module_mappings()[nn.LSTM] is nn.quantized.dynamic.LSTM
    True
    """
    return DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS


def _class_of(kind: Kind, table: Classes, more: Classes | None, what: str) -> type[nn.Module]:
    found = {**table, **(more or {})}.get(kind)
    if found is None:
        name = getattr(kind, "__name__", repr(kind))
        raise ValueError(f"float_module_class must be one that has a {what} class, got {name}")
    return found


def get_static_quant_module_class(
    float_module_class: Kind,
    additional_static_quant_mapping: Classes | None = None,
    is_reference: bool = False,
) -> type[nn.Module]:
    """The class of integers of a float one.

    Parameters
    ----------
    float_module_class : type
    additional_static_quant_mapping : mapping, optional
        Looked at before the table.
    is_reference : bool
        False: there are no reference modules.

    Raises
    ------
    ValueError
        There is none.
    """
    if is_reference:
        raise ValueError("is_reference must be False, got True: quantray has graphs, not reference modules")
    table = DEFAULT_STATIC_QUANT_MODULE_MAPPINGS
    return _class_of(float_module_class, table, additional_static_quant_mapping, "quantized")


def get_dynamic_quant_module_class(
    float_module_class: Kind,
    additional_dynamic_quant_mapping: Classes | None = None,
) -> type[nn.Module]:
    """The class of 8-bit weights of a float one.

    Raises
    ------
    ValueError
        There is none.
    """
    table = DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS
    return _class_of(float_module_class, table, additional_dynamic_quant_mapping, "dynamic quantized")


def get_default_qconfig_propagation_list() -> set[Kind]:
    """Classes that `propagate_qconfig_` and `allow_list` speak of: all that the tables replace."""
    return {
        *DEFAULT_STATIC_QUANT_MODULE_MAPPINGS,
        *DEFAULT_QAT_MODULE_MAPPINGS,
        *DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS,
        nn.Sequential,
    }


def get_default_compare_output_module_list() -> set[Kind]:
    """Classes whose outputs are worth comparing: all in the tables, and what they become."""
    tables = (
        DEFAULT_STATIC_QUANT_MODULE_MAPPINGS,
        DEFAULT_QAT_MODULE_MAPPINGS,
        DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS,
    )
    return {nn.Sequential, *(kind for table in tables for kind in (*table, *table.values()))}


def get_default_float_to_quantized_operator_mappings() -> dict[Kind | str, Kind]:
    """Which function of integers each float one becomes: a copy of the table."""
    return dict(DEFAULT_FLOAT_TO_QUANTIZED_OPERATOR_MAPPINGS)


def get_quantized_operator(float_op: Kind | str) -> Kind:
    """The function of integers of a float one.

    Raises
    ------
    ValueError
        There is none.

    >>> from quantray import nn, ops, quantization as tq
    >>> tq.get_quantized_operator(nn.functional.elu) is ops.elu
    True
    """
    found = DEFAULT_FLOAT_TO_QUANTIZED_OPERATOR_MAPPINGS.get(float_op)
    if found is None:
        name = getattr(float_op, "__name__", repr(float_op))
        raise ValueError(f"float_op must be a function that has a quantized one, got {name}")
    return found


def no_observer_set() -> set[type[nn.Module]]:
    """Classes that no observer is put on as a whole: what is inside them is observed."""
    return {quantizable.LSTM, quantizable.MultiheadAttention}


def get_default_custom_config_dict() -> dict[str, ClassTable]:
    """What observed and converted recurrent layers and attentions are, for `prepare` and `convert`."""
    return {
        "float_to_observed_custom_module_class": {
            nn.LSTM: quantizable.LSTM,
            nn.MultiheadAttention: quantizable.MultiheadAttention,
        },
        "observed_to_quantized_custom_module_class": {
            quantizable.LSTM: quantized.LSTM,
            quantizable.MultiheadAttention: quantized.MultiheadAttention,
        },
    }
