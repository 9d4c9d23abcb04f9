"""Errors of nodes: each says which one it is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from quantray.graph import Refused

#: What marks an error that says already where it is from; graphs that run know it, too.
_SAID = "_quantray_node"
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@contextmanager
def said_of(name: str) -> Generator[None]:
    """Errors out of the depths of a node's work become one ValueError, or MemoryError, that names the node.

    What a capture raises about code that cannot become nodes is no such error.
    """
    try:
        yield
    except Refused:
        raise
    except MemoryError as error:
        if hasattr(error, _SAID):
            raise
        known = MemoryError(f"{name}: {error}")
        setattr(known, _SAID, name)
        raise known from error
    except _FAULTS as error:
        if hasattr(error, _SAID):
            raise
        what = str(error) or type(error).__name__
        made = (
            error
            if what.startswith(name) and isinstance(error, ValueError)
            else ValueError(f"{name}: {what}")
        )
        setattr(made, _SAID, name)
        if made is error:
            raise
        raise made from error
