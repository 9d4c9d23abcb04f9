"""Names of modules for what a file calls its nodes.

Exporters write paths: "/encoder/layer.0/attention/MatMul" becomes the module `encoder.layer.0.attention.MatMul`,
so that tables, settings and states read as those of the model that was exported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from quantray.nn import Module

#: What is no part of a name stands as an underscore.
_OTHER = re.compile(r"[^0-9A-Za-z_]")


class Names:
    """Gives each node a path that no other one has.

    >>> names = Names()
    >>> [names.path("/fc/Gemm", "Gemm"), names.path("/fc/Gemm", "Gemm"), names.path("", "Relu")]
    ['fc.Gemm', 'fc.Gemm_2', 'Relu_0']
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: Counter[str] = Counter()

    def path(self, name: str, op: str) -> str:
        """A dotted path for a node of a name, which may be empty, and of an operator."""
        if not name:
            name = f"{op}_{self._counts[op]}"
            self._counts[op] += 1
        parts = [_part(part) for part in re.split(r"[/.]", name) if part]
        wanted = ".".join(parts) or "node"
        return unique(wanted, self._taken.__contains__, self._taken.add)


def _part(text: str) -> str:
    """One name between dots: no attribute of modules, and nothing but letters, digits and underscores."""
    made = _OTHER.sub("_", text).lstrip("_") or "_"
    return f"{made}_" if hasattr(Module, made) or made in _OWN else made


#: Names of what steps keep for themselves.
_OWN = frozenset({"call", "training"})


def unique(wanted: str, is_taken: Callable[[str], bool], take: Callable[[str], object]) -> str:
    """A name, with a number after it where it is taken."""
    made, count = wanted, 1
    while is_taken(made):
        count += 1
        made = f"{wanted}_{count}"
    take(made)
    return made
