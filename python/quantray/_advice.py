"""Where to go from torch's names that are left out on purpose."""

from __future__ import annotations

#: Names of torch's, and what quantray has instead.
_LEFT_OUT = {
    "cuda mps xpu backends": "arrays live in the CPU's memory; threads are set with quantray.set_num_threads",
    "device": 'the only device is "cpu"',
    "jit fx compile export _dynamo _inductor script trace": "nothing has to be compiled: models run",
    "autograd Generator": "quantray.nn computes gradients, quantray.manual_seed seeds the random numbers",
    "sparse sparse_coo_tensor sparse_csr_tensor to_mkldnn mkldnn": "there is one layout, the strided one",
    "bfloat16": "NumPy lacks it; arrays of ml_dtypes.bfloat16 are taken, and files of it loaded",
    "ao": "its names are quantray.quantization and quantray.nn.quantized",
    "quint8_t qint8_t": "dtypes are quantray.qint8, quantray.quint8 and quantray.qint32",
    "hub utils distributed multiprocessing": "data comes from NumPy, more processes from joblib or dask",
}


def advice(name: str) -> str:
    """What to write instead of a name, as the end of a sentence; nothing where none is known."""
    import numpy as np

    for names, text in _LEFT_OUT.items():
        if name in names.split():
            return f": {text}"
    if not name.startswith("_") and hasattr(np, name):
        return f": use numpy.{name}, which takes QTensors and arrays"
    return ""
