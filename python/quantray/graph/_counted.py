"""Lengths that values say: of what a node finds, such as places that are not 0, and what is made of it.

They differ from call to call, so that nothing may be decided by them when a model is captured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantray._typing import Args
from quantray.graph._graph import Node, Settings, wires

#: Functions that find as much as there is.
_FINDING = frozenset(
    {
        *(
            f"numpy.{name}"
            for name in ("nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress")
        ),
        *("ndarray.nonzero", "ndarray.compress"),
        *("onnx.non_zero", "onnx.non_max_suppression", "onnx.unique"),
    }
)
#: Functions whose result is as long as their first argument, whatever is written into that.
_WRITING = frozenset({"array.setitem", "onnx.scatter_nd", "onnx.scatter_elements", "onnx.tensor_scatter"})


class Counted:
    """The nodes of one run whose lengths values say, by their numbers.

    Parameters
    ----------
    nodes : sequence of Node
        Those that there are so far.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._numbers: set[str] = set()

    def note(self, number: str, kind: str, args: Args, kwargs: Settings) -> None:
        """Looks at a node before it is one."""
        of = args[:1] if kind in _WRITING else (args, kwargs)
        if self._is_finding(kind, args) or self.is_in(of):
            self._numbers.add(number)

    def _is_finding(self, kind: str, args: Args) -> bool:
        if kind != "array.getitem":
            return kind in _FINDING
        # A mask takes as many elements as it has truths.
        return any(self._nodes[int(ref.node)].facts[ref.out].dtype == np.bool_ for ref in wires(args[1:]))

    def is_in(self, tree: object) -> bool:
        """Whether there is such a length, or a wire of such, in a tree."""
        return bool(self._numbers) and any(ref.node in self._numbers for ref in wires(tree))

    def sources(self, number: str) -> list[str]:
        """Nodes that one is made of: what has been found comes from the values that it was found in."""
        node = self._nodes[int(number)]
        found = wires((node.args, dict(node.kwargs))) if number in self._numbers else node.inputs
        return [ref.node for ref in found]

    def cut_back(self, count: int) -> None:
        """Forgets all nodes from one number on."""
        self._numbers = {number for number in self._numbers if int(number) < count}
