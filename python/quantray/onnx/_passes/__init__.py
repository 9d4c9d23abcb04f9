"""What is done to a file's graph before modules are made of it: a pass is a function from graph to graph."""

from quantray.onnx._passes._clean import clean
from quantray.onnx._passes._fold_batch_norm import fold_batch_norm
from quantray.onnx._passes._inline import inline_functions

__all__ = ["clean", "fold_batch_norm", "inline_functions"]
