"""ONNX: models out of files, and into them.

>>> import os, tempfile, numpy as np
>>> import quantray as qt
>>> from quantray import nn, quantization as tq
>>> file = os.path.join(tempfile.mkdtemp(), "model.onnx")
>>> x = np.random.default_rng(0).random((32, 4), np.float32)
>>> qt.onnx.save(nn.Sequential(nn.Linear(4, 8), nn.Sigmoid()), file, x)
>>> model = qt.onnx.load(file)
>>> model.inputs, model(x).shape
((Value(name='input', dtype='float32', shape=('n', 4)),), (32, 8))
>>> int8 = tq.quantize(model, x, verbose=False)
>>> bool(np.abs(int8(x) - model(x)).max() < 0.01)
True
"""

import sys
from typing import Any

from quantray._advice import other_tools
from quantray.onnx._export import save
from quantray.onnx._load import load
from quantray.onnx._model import Model, Value

__all__ = ["Model", "Value", "load", "save"]


def __getattr__(name: str) -> Any:
    hint = ": use save(model, path, example_inputs)" if name == "export" else other_tools(name)
    text = f"module 'quantray.onnx' has no attribute {name!r}{hint}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])
