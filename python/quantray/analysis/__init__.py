"""Where quantization loses accuracy, why, and what would change it: tables and pictures of two models.

>>> import numpy as np
>>> from quantray import analysis, nn, quantization as tq
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
>>> x = np.random.default_rng(0).standard_normal((64, 4), np.float32)
>>> result = analysis.compare(model, tq.quantize(model, x, verbose=False), x)
>>> len(result)
3
"""

import sys
from typing import Never

from quantray._advice import other_tools
from quantray.analysis._compare import compare
from quantray.analysis._comparison import Comparison
from quantray.analysis._embeddings import Agreement
from quantray.analysis._plot_tensor import plot_tensor
from quantray.analysis._row import Row
from quantray.analysis._sensitivity import Alone, Sensitivity, sensitivity
from quantray.analysis._style import style

__all__ = [
    "Agreement",
    "Alone",
    "Comparison",
    "Row",
    "Sensitivity",
    "compare",
    "plot_tensor",
    "sensitivity",
    "style",
]


def __getattr__(name: str) -> Never:
    text = f"module 'quantray.analysis' has no attribute {name!r}{other_tools(name)}"
    raise AttributeError(text, name=name, obj=sys.modules[__name__])
