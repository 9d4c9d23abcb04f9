"""What each operator of a file means; one module for each family."""

from quantray.onnx.operators import (  # noqa: F401  # pyright: ignore[reportUnusedImport]
    _arithmetic,
    _attention,
    _elementwise,
    _losses,
    _movement,
    _norm,
    _pooling,
    _products,
    _quantized,
    _recurrent,
    _reduction,
    _resize,
    _self_attention,
    _signal,
)
from quantray.onnx.operators._registry import Array, Builder, Call, Operator, find, known, layer, operator

__all__ = ["Array", "Builder", "Call", "Operator", "find", "known", "layer", "operator"]
