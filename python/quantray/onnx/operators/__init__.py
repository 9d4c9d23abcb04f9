"""What each operator of a file means; one module for each family."""

# Modules put their rows into the table when they are imported.
# pyright: reportUnusedImport=false

from quantray.onnx.operators import (  # noqa: F401
    _arithmetic,
    _attention,
    _blocks,
    _classical,
    _decoders,
    _einsum,
    _elementwise,
    _layouts,
    _losses,
    _movement,
    _norm,
    _padding,
    _pooling,
    _products,
    _quantized,
    _recurrent,
    _reduction,
    _resize,
    _self_attention,
    _sequences,
    _signal,
    _tables,
    _texts,
    _trees,
)
from quantray.onnx.operators._registry import (
    Array,
    Builder,
    Call,
    Given,
    Made,
    Operator,
    Outputs,
    find,
    known,
    layer,
    operator,
)

__all__ = [
    "Array",
    "Builder",
    "Call",
    "Given",
    "Made",
    "Operator",
    "Outputs",
    "find",
    "known",
    "layer",
    "operator",
]
