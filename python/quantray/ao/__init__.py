"""torch.ao's places of what is in `quantray.quantization` and `quantray.nn`: the same modules by other names.

`from quantray.ao.quantization import prepare` is `from quantray.quantization import prepare`, and
`quantray.ao.nn.quantized` is `quantray.nn.quantized`, so that `torch` alone has to be replaced in code.

>>> import quantray as torch
>>> torch.ao.quantization.MinMaxObserver is torch.quantization.MinMaxObserver
True
"""

import sys
from importlib import import_module
from typing import Never

from quantray import nn, quantization
from quantray._advice import advice

#: Below `ao`, and below `quantray`.
_PLACES = (
    "nn",
    "nn.intrinsic",
    "nn.intrinsic.qat",
    "nn.intrinsic.quantized",
    "nn.intrinsic.quantized.dynamic",
    "nn.qat",
    "nn.qat.dynamic",
    "nn.quantizable",
    "nn.quantized",
    "nn.quantized.dynamic",
    "nn.quantized.functional",
    "quantization",
    "quantization.fake_quantize",
    "quantization.fuser_method_mappings",
    "quantization.observer",
    "quantization.qconfig",
    "quantization.qconfig_mapping",
    "quantization.quant_type",
    "quantization.quantization_mappings",
    "quantization.stubs",
)

for _place in _PLACES:
    # An import finds what is there, and makes no second copy of it.
    sys.modules[f"quantray.ao.{_place}"] = import_module(f"quantray.{_place}")

__all__ = ["nn", "quantization"]


def __getattr__(name: str) -> Never:
    text = f"module 'quantray.ao' has no attribute {name!r}{advice(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])
