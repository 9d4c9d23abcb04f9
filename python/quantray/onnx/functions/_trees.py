"""Ensembles of decision trees: all trees go down by one level at a time."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantray._typing import Array

if TYPE_CHECKING:
    from quantray.onnx.operators import Call

#: What a branch asks of a value and its threshold.
_MODES: Mapping[str, Callable[[Array, Array], Array]] = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}


@dataclass(frozen=True, eq=False)
class Forest:
    """Nodes of all trees, numbered through; leaves lead to themselves.

    Attributes
    ----------
    roots : array of int, shape (trees,)
    features, ifs, elses : array of int, shape (nodes,)
    thresholds : array of float32, shape (nodes,)
    modes : array of int, shape (nodes,)
        Places in `kinds`.
    kinds : tuple of str
        What branches ask.
    missing : array of bool, shape (nodes,)
        Whether NaN counts as true.
    leaves : array of int, shape (nodes,)
        For each leaf its row of weights.
    weights : array of float32, shape (rows, targets)
    base : array of float32, shape (targets,)
    aggregate : str
    depth : int
    """

    roots: Array
    features: Array
    ifs: Array
    elses: Array
    thresholds: Array
    modes: Array
    kinds: tuple[str, ...]
    missing: Array
    leaves: Array
    weights: Array
    base: Array
    aggregate: str
    depth: int
    #: Whether one target alone has weights, which one, and whether none of them is negative.
    has_one_target: bool
    target: int
    is_positive: bool

    @property
    def arguments(self) -> tuple[object, ...]:
        """What `tree_scores` takes."""
        walk = (self.roots, self.features, self.ifs, self.elses, self.thresholds, self.modes, self.missing)
        return (*walk, self.leaves, self.weights, self.base, self.kinds, self.aggregate, self.depth)

    @classmethod
    def of(cls, call: Call, kind: str, targets: int) -> Forest:
        """The trees that a node's attributes say; `kind` is "target" or "class"."""
        trees = np.asarray(call.need("nodes_treeids"))
        ids = list(zip(trees.tolist(), call.need("nodes_nodeids"), strict=True))
        place = {pair: at for at, pair in enumerate(ids)}
        said = call.need("nodes_modes")
        unknown = sorted(set(said) - {*_MODES, "LEAF"})
        if unknown:
            raise call.error(f"nodes_modes must be LEAF, {', '.join(_MODES)}, got {', '.join(unknown)}")
        is_leaf = np.array([mode == "LEAF" for mode in said])
        own = np.arange(len(ids))

        def led(name: str) -> Array:
            to = [
                at if leaf else place.get((tree, node), -1)
                for at, (leaf, tree, node) in enumerate(
                    zip(is_leaf, trees.tolist(), call.need(name), strict=True)
                )
            ]
            if -1 in to:
                raise call.error(f"{name} leads to a node that its tree does not have")
            return np.array(to)

        ifs, elses = led("nodes_truenodeids"), led("nodes_falsenodeids")
        inner = ~is_leaf
        reached = set(ifs[inner].tolist()) | set(elses[inner].tolist())
        roots = np.array([at for at in own.tolist() if at not in reached])
        kinds = tuple(sorted(set(said) - {"LEAF"}))
        modes = np.array([0 if mode == "LEAF" else kinds.index(mode) for mode in said])
        holders = list(zip(call.need(f"{kind}_treeids"), call.need(f"{kind}_nodeids"), strict=True))
        scored = np.asarray(call.need(f"{kind}_ids"), np.int64)
        values = np.asarray(call.need(f"{kind}_weights"), np.float32)
        if len(scored) and not 0 <= scored.min() <= scored.max() < targets:
            raise call.error(
                f"{kind}_ids must be from 0 to {targets - 1}, got {scored.min()} to {scored.max()}"
            )
        rows = {pair: row for row, pair in enumerate(dict.fromkeys(holders), 1)}
        weights = np.zeros((len(rows) + 1, targets), np.float32)
        for pair, target, value in zip(holders, scored, values, strict=True):
            weights[rows[pair], target] += value
        leaves = np.array([rows.get(pair, 0) if leaf else 0 for pair, leaf in zip(ids, is_leaf, strict=True)])
        base = np.zeros(targets, np.float32)
        given = np.atleast_1d(np.asarray(call.get("base_values", ()), np.float32))
        if given.size not in (0, 1, targets):
            raise call.error(f"base_values must be {targets} numbers, got {given.size}")
        one = len(set(scored.tolist())) == 1
        # One number for several targets is the first one's, as in onnxruntime; the standard does not say.
        base[: given.size] = given
        return cls(
            roots,
            np.asarray(call.need("nodes_featureids"), np.int64),
            ifs,
            elses,
            np.asarray(call.need("nodes_values"), np.float32),
            modes,
            kinds,
            np.asarray(call.get("nodes_missing_value_tracks_true") or [0] * len(ids), bool),
            leaves,
            weights,
            base,
            call.choice("aggregate_function", ("SUM", "AVERAGE", "MIN", "MAX")),
            _depth(call, ifs, elses, roots, is_leaf),
            one,
            int(scored[0]) if len(scored) else 0,
            bool((values >= 0).all()),
        )


def _depth(call: Call, ifs: Array, elses: Array, roots: Array, is_leaf: Array) -> int:
    """How many levels there are below the roots."""
    at, depth = roots, 0
    while not is_leaf[at].all():
        at = np.unique(np.concatenate([ifs[at], elses[at]]))
        depth += 1
        if depth > len(ifs):
            raise call.error("its trees lead back to nodes above: they have a cycle")
    return depth


def tree_scores(
    x: Array,
    roots: Array,
    features: Array,
    ifs: Array,
    elses: Array,
    thresholds: Array,
    modes: Array,
    missing: Array,
    leaves: Array,
    weights: Array,
    base: Array,
    kinds: tuple[str, ...],
    aggregate: str,
    depth: int,
) -> Array:
    """Scores of rows, shape (rows, targets): what the leaves of all trees of a `Forest` hold together."""
    if x.shape[1] <= features.max():
        raise ValueError(f"x must have more than {features.max()} features, got {x.shape[1]}")
    row = np.arange(len(x))[:, None]
    at = np.broadcast_to(roots, (len(x), len(roots)))
    for _ in range(depth):
        value, threshold = x[row, features[at]], thresholds[at]
        goes = _MODES[kinds[0]](value, threshold)
        for number, kind in enumerate(kinds[1:], 1):
            goes = np.where(modes[at] == number, _MODES[kind](value, threshold), goes)
        goes = goes | (np.isnan(value) & missing[at])
        at = np.where(goes, ifs[at], elses[at])
    found = leaves[at]
    made = weights[found[:, 0]]
    for tree in range(1, found.shape[1]):
        made = _JOINED[aggregate](made, weights[found[:, tree]])
    if aggregate == "AVERAGE":
        made = made / np.float32(found.shape[1])
    return made + base


_JOINED = {"SUM": np.add, "AVERAGE": np.add, "MIN": np.minimum, "MAX": np.maximum}
