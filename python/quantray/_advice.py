"""Torch's names that are left out on purpose, and where to go from each: the one list of them."""

from __future__ import annotations

from types import MappingProxyType

#: Names of torch's modules and functions, and what quantray has instead.
LEFT_OUT = MappingProxyType(
    {
        "cuda mps xpu backends": "arrays live in the CPU's memory; threads are set with "
        "quantray.set_num_threads",
        "device": 'the only device is "cpu"',
        "jit fx compile export _dynamo _inductor script trace": "nothing has to be compiled: models run",
        "autograd Generator": "quantray.nn computes gradients, quantray.manual_seed seeds the random numbers",
        "sparse sparse_coo_tensor sparse_csr_tensor to_mkldnn mkldnn": "there is one layout, the strided one",
        "bfloat16": "NumPy lacks it; arrays of ml_dtypes.bfloat16 are taken, and files of it loaded",
        "quint8_t qint8_t": "dtypes are quantray.qint8, quantray.quint8 and quantray.qint32",
        "hub utils distributed multiprocessing": "data comes from NumPy, more processes from joblib or dask",
        "convert_jit convert_dynamic_jit fuse_conv_bn_jit prepare_jit prepare_dynamic_jit quantize_jit "
        "quantize_dynamic_jit script_qconfig script_qconfig_dict": "nothing is compiled: quantize, "
        "quantize_dynamic, prepare, convert and fuse_modules take models as they are",
        "prepare_fx prepare_qat_fx convert_fx convert_to_reference_fx fuse_fx quantize_fx FXFloatFunctional "
        "get_fuser_method_new MatchAllNode Pattern get_combined_dict prepare_pt2e convert_pt2e "
        "quantize_pt2e": "models are captured as graphs by themselves: prepare, prepare_qat and convert do "
        "it, quantray.graph shows it",
        "DEFAULT_REFERENCE_STATIC_QUANT_MODULE_MAPPINGS get_default_static_quant_reference_module_mappings": (
            "there are no reference modules: quantray.graph says what a model computes"
        ),
        "DEFAULT_STATIC_SPARSE_QUANT_MODULE_MAPPINGS DEFAULT_DYNAMIC_SPARSE_QUANT_MODULE_MAPPINGS "
        "get_default_static_sparse_quant_module_mappings get_default_dynamic_sparse_quant_module_mappings": (
            "weights are dense: the tables without SPARSE are all"
        ),
        "backend_config BackendConfig get_native_backend_config": "there is one backend; "
        "quantray.graph.register_layer tells what layers of one's own become",
    }
)


def left_out() -> dict[str, str]:
    """Torch's names that are not here on purpose, each with what to write instead.

    >>> import quantray as qt
    >>> qt.left_out()["prepare_fx"].partition(":")[0]
    'models are captured as graphs by themselves'
    """
    return {name: text for names, text in LEFT_OUT.items() for name in names.split()}


def advice(name: str) -> str:
    """What to write instead of a name, as the end of a sentence; nothing where none is known."""
    import numpy as np

    text = left_out().get(name)
    if text is not None:
        return f": {text}"
    if not name.startswith("_") and hasattr(np, name):
        return f": use numpy.{name}, which takes QTensors and arrays"
    return ""
