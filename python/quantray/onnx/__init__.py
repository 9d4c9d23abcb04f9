"""ONNX: models out of files, and into them.

>>> import quantray as qt                                    # doctest: +SKIP
>>> model = qt.onnx.load("model.onnx")                       # doctest: +SKIP
"""

from quantray.onnx._export import save
from quantray.onnx._load import load
from quantray.onnx._model import Model, Value

__all__ = ["Model", "Value", "load", "save"]
