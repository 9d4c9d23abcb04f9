"""Names of modules for what a file calls its nodes.

Exporters write paths: torch's "/layer1/layer1.0/conv1/Conv" becomes the module `layer1.0.conv1`, so that
tables, settings and states read as those of the model that was exported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from quantray.nn import Module

#: What is no part of a name stands as an underscore.
_OTHER = re.compile(r"[^0-9A-Za-z_]")
#: Names of what modules of a file keep for themselves.
_OWN = frozenset({"call", "training", "plan", "slots", "operator", "layer", "taken", "around"})


class Names:
    """Gives each node a path that no other one has.

    Parameters
    ----------
    nodes : iterable of (str, str)
        All names that will be asked for, with their operators: one that stands alone in its scope is called
        as the scope is.

    >>> nodes = [("/fc/Gemm", "Gemm"), ("/b/b.0/Conv", "Conv"), ("/b/b.0/Relu", "Relu"), ("", "Add")]
    >>> nodes += [("m/act/Relu;m/bias/BiasAdd;m/conv/Conv2D", "Conv"), ("c/depthwise", "Conv"), ("c", "Conv")]
    >>> names = Names(nodes)
    >>> [names.path(*node) for node in nodes]
    ['fc', 'b.0.Conv', 'b.0.Relu', 'Add_0', 'm.act.Relu', 'c.depthwise', 'c.Conv']
    """

    def __init__(self, nodes: Iterable[tuple[str, str]] = ()) -> None:
        self._taken: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()
        self._whole: set[str] = set()
        #: The path of each node that has a name.
        self.paths: dict[str, str] = {}
        for name, _ in nodes:
            parts = _parts(name)
            self._whole.add(".".join(parts))
            for i in range(len(parts)):
                self._inside[".".join(parts[:i])] += 1

    def path(self, name: str, op: str) -> str:
        """A dotted path for a node of a name, which may be empty, and of an operator."""
        made = self._path(name, op)
        if name:
            self.paths[name] = made
        return made

    def _path(self, name: str, op: str) -> str:
        if not name:
            name = f"{op}_{self._counts[op]}"
            self._counts[op] += 1
        parts = _parts(name) or ["node"]
        scope = ".".join(parts[:-1])
        if scope and parts[-1] == op and self._inside[scope] == 1 and scope not in self._whole:
            return unique(scope, self._taken.__contains__, self._taken.add)
        if ".".join(parts) in self._inside:
            # A layer is no group of others: what takes its place would take theirs.
            parts.append(_part(op))
        return unique(".".join(parts), self._is_used, self._taken.add)

    def _is_used(self, path: str) -> bool:
        return path in self._taken or path in self._inside


def _parts(name: str) -> list[str]:
    """The parts of a path; a scope that says its own path again says it once.

    Of nodes that TensorFlow has fused, whose name lists all of their names, the first one is taken.
    """
    whole: list[str] = []
    for scope in name.partition(";")[0].split("/"):
        last = whole[-1] if whole else ""
        if last and scope.startswith(f"{last}."):
            whole[-1] = scope
        elif scope:
            whole.append(scope)
    return [_part(part) for scope in whole for part in scope.split(".") if part]


def _part(text: str) -> str:
    """One name between dots: no attribute of modules, and nothing but letters, digits and underscores."""
    made = _OTHER.sub("_", text).lstrip("_") or "_"
    return f"{made}_" if hasattr(Module, made) or made in _OWN else made


def unique(wanted: str, is_taken: Callable[[str], bool], take: Callable[[str], object]) -> str:
    """A name, with a number after it where it is taken."""
    made, count = wanted, 1
    while is_taken(made):
        count += 1
        made = f"{wanted}_{count}"
    take(made)
    return made
