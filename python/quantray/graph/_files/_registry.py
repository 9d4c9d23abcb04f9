"""What files of graphs may have beside functions of arrays: kinds of nodes, and values that passes make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from quantray.graph._files._read import Reader
    from quantray.graph._files._write import Writer

#: Types of Python's, and dtypes of quantized tensors, that may be arguments.
TYPES: dict[str, type[object]] = {kind.__name__: kind for kind in (bool, int, float, complex)}
QUANTIZED = ("qint8", "quint8", "qint32", "quint4x2", "quint2x4")
#: Kinds of nodes that the table of kinds has not, since no function of arrays computes them.
PLAIN = frozenset({"input", "constant", "parameter", "module", "python", "tap", "hook", "layer", "formula"})


class Codec(NamedTuple):
    """How values of a class are written and read."""

    kind: type[object]
    encode: Callable[[Any, Writer], object]
    decode: Callable[[object, Reader], object]


#: By the key of their object in JSON.
CODECS: dict[str, Codec] = {}
#: Kinds of nodes that no function of arrays computes: the capture's, and those of passes.
KINDS: list[frozenset[str]] = [PLAIN]


def register_value(
    key: str,
    kind: type[T],
    encode: Callable[[T, Writer], object],
    decode: Callable[[object, Reader], T],
) -> None:
    """Tells how values of a class that a pass puts into nodes are written to files, and read."""
    CODECS[key] = Codec(kind, encode, decode)


def register_kinds(names: frozenset[str]) -> None:
    """Tells kinds of nodes of a pass's own, so that files may have them."""
    KINDS.append(names)


class Unreadable(ValueError):
    """What stands in a file is no graph."""
