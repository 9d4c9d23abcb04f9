"""What a model computes: captured from its code as a graph of named nodes and wires.

`capture` makes a graph, `run` computes it, passes make other graphs of it. Quantization, files and reports
speak it; it imports neither layers of integers nor quantization.

>>> import numpy as np
>>> from quantray import graph, nn
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU()).eval()
>>> found = graph.normalize(graph.capture(model, (np.zeros((2, 4), np.float32),)))
>>> [(node.name, node.kind) for node in found if node.kind != "parameter"]
[('input', 'input'), ('0', 'linear'), ('1', 'relu')]
"""

from quantray.graph._capture import CaptureError, capture
from quantray.graph._graph import Expr, Fact, Graph, Guard, Node, Place, Ref, Refusal
from quantray.graph._refused import Refused
from quantray.graph._rewriter import Rewriter
from quantray.graph._run import run
from quantray.graph._simplify import normalize
from quantray.graph._tracer import apply
from quantray.graph.kinds import Kind, Part, kind_of, register, register_layer, spelling

__all__ = [
    "CaptureError",
    "Expr",
    "Fact",
    "Graph",
    "Guard",
    "Kind",
    "Node",
    "Part",
    "Place",
    "Ref",
    "Refusal",
    "Refused",
    "Rewriter",
    "apply",
    "capture",
    "kind_of",
    "normalize",
    "register",
    "register_layer",
    "run",
    "spelling",
]
