"""Calls of modules that stand for nodes of a file, as a graph remembers them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Called:
    """One call of a module that stands for a node of a file: what writes files may write that node again.

    Attributes
    ----------
    scope : str
        The module's path.
    args, output : object
        What it was called with, and what it gave: wires, lengths (`ArrayOfLengths`) and plain values.
    nodes : frozenset of str
        Names of the nodes that its call has made.
    decides : bool
        Whether it chose what to do by values or lengths, so that its nodes may hold for such alone.
    """

    scope: str
    args: tuple[object, ...]
    output: object
    nodes: frozenset[str] = frozenset()
    decides: bool = False


@dataclass(frozen=True, slots=True)
class ArrayOfLengths:
    """An array of lengths, which no node has made yet."""

    items: tuple[object, ...]
    shape: tuple[int, ...]
