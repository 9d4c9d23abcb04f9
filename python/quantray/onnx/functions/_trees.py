"""Ensembles of decision trees: how files say them, as one table of nodes."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantray import _core
from quantray._typing import Array

if TYPE_CHECKING:
    from quantray.onnx.operators import Call

#: What a branch asks of a value and its threshold; their places are the numbers of kinds.
_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
#: What kinds of nodes have beside a question.
_YES_FOR_NAN, _LEAF = 8, 16
_AGGREGATES = ("SUM", "AVERAGE", "MIN", "MAX")


@dataclass(frozen=True, eq=False)
class Forest:
    """Nodes of all trees, numbered through.

    Attributes
    ----------
    nodes : array of int32, shape (nodes, 5)
        A threshold's bits, a feature, the nodes for yes and for no, and a kind; of leaves the second one is
        a row of weights.
    roots : array of int32, shape (trees,)
    weights : array of float32, shape (leaves, targets)
    base : array of float32, shape (targets,)
    aggregate : str
    """

    nodes: Array
    roots: Array
    weights: Array
    base: Array
    aggregate: str
    #: Whether one target alone has weights, which one, and whether none of them is negative.
    has_one_target: bool
    target: int
    is_positive: bool

    @property
    def arguments(self) -> tuple[object, ...]:
        """What `tree_scores` takes."""
        return self.nodes, self.roots, self.weights, self.base, self.aggregate

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
        roots = np.array([at for at in range(len(ids)) if at not in reached])
        kinds = np.array([_LEAF if mode == "LEAF" else _MODES.index(mode) for mode in said])
        missing = np.asarray(call.get("nodes_missing_value_tracks_true") or [0] * len(ids), bool)
        kinds += np.where(missing & inner, _YES_FOR_NAN, 0)
        scored = np.asarray(call.need(f"{kind}_ids"), np.int64)
        values = np.asarray(call.need(f"{kind}_weights"), np.float32)
        _check_targets(call, f"{kind}_ids", scored, targets)
        holders = list(zip(call.need(f"{kind}_treeids"), call.need(f"{kind}_nodeids"), strict=True))
        rows = {pair: row for row, pair in enumerate(dict.fromkeys(holders), 1)}
        weights = np.zeros((len(rows) + 1, targets), np.float32)
        for pair, target, value in zip(holders, scored, values, strict=True):
            weights[rows[pair], target] += value
        leaves = np.array([rows.get(pair, 0) if leaf else 0 for pair, leaf in zip(ids, is_leaf, strict=True)])
        base = np.zeros(targets, np.float32)
        given = np.atleast_1d(np.asarray(call.get("base_values", ()), np.float32))
        if given.size not in (0, 1, targets):
            raise call.error(f"base_values must be {targets} numbers, got {given.size}")
        # One number for several targets is the first one's, as in onnxruntime; the standard does not say.
        base[: given.size] = given
        features = np.where(is_leaf, leaves, np.asarray(call.need("nodes_featureids"), np.int64))
        nodes = _table(np.asarray(call.need("nodes_values")), features, ifs, elses, kinds)
        _check_ends(call, nodes, roots)
        return cls(
            nodes,
            roots.astype(np.int32),
            weights,
            base,
            call.choice("aggregate_function", _AGGREGATES),
            len(set(scored.tolist())) == 1,
            int(scored[0]) if len(scored) else 0,
            bool((values >= 0).all()),
        )

    @classmethod
    def of_ensemble(cls, call: Call) -> Forest:
        """The same of the operator TreeEnsemble, whose leaves are numbered apart."""
        splits = np.asarray(call.need("nodes_splits")).astype(np.float32)
        modes = np.asarray(call.need("nodes_modes")).reshape(-1).astype(np.int64)
        count = len(modes)
        if len(splits) != count or (count and not 0 <= modes.min() <= modes.max() <= _MEMBER):
            raise call.error(f"nodes_modes must be {len(splits)} numbers from 0 to {_MEMBER}")
        targets = int(call.need("n_targets"))
        scored = np.asarray(call.need("leaf_targetids"), np.int64)
        values = np.asarray(call.need("leaf_weights")).astype(np.float32).reshape(-1)
        _check_targets(call, "leaf_targetids", scored, targets)
        weights = np.zeros((len(values), targets), np.float32)
        weights[np.arange(len(values)), scored] = values

        def led(side: str) -> Array:
            to = np.asarray(call.need(f"nodes_{side}nodeids"), np.int64)
            ends = np.asarray(call.need(f"nodes_{side}leafs"), bool)
            valid = np.where(ends, len(values), count)
            if len(to) != count or len(ends) != count or not ((to >= 0) & (to < valid)).all():
                raise call.error(f"nodes_{side}nodeids leads to a node that there is not")
            return np.where(ends, count + to, to)

        missing = np.asarray(call.get("nodes_missing_value_tracks_true") or [0] * count, bool)
        kinds = np.where(modes == _MEMBER, _MODES.index("BRANCH_EQ"), modes)
        kinds = kinds + np.where(missing, _YES_FOR_NAN, 0)
        features = np.asarray(call.need("nodes_featureids"), np.int64)
        ifs, elses = led("true"), led("false")
        zeros = np.zeros(len(values), np.int64)
        inner = _table(splits, features, ifs, elses, kinds)
        own = np.arange(len(values))
        ends = _table(zeros, own, count + own, count + own, np.full(len(values), _LEAF))
        nodes = _with_members(call, np.concatenate([inner, ends]), np.flatnonzero(modes == _MEMBER))
        roots = np.asarray(call.need("tree_roots"), np.int64)
        if not ((roots >= 0) & (roots < count)).all():
            raise call.error(f"tree_roots must be from 0 to {count - 1}, got {roots.tolist()}")
        _check_ends(call, nodes, roots)
        aggregate = ("AVERAGE", "SUM", "MIN", "MAX")[call.choice("aggregate_function", (0, 1, 2, 3), 1)]
        base = np.zeros(targets, np.float32)
        return cls(nodes, roots.astype(np.int32), weights, base, aggregate, False, 0, False)


#: The question of TreeEnsemble whether a value is one of several.
_MEMBER = 6


def _check_targets(call: Call, name: str, scored: Array, targets: int) -> None:
    if len(scored) and not 0 <= scored.min() <= scored.max() < targets:
        raise call.error(f"{name} must be from 0 to {targets - 1}, got {scored.min()} to {scored.max()}")


def _table(values: Array, features: Array, ifs: Array, elses: Array, kinds: Array) -> Array:
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    return np.stack([bits, features, ifs, elses, kinds], axis=1).astype(np.int32)


def _with_members(call: Call, nodes: Array, places: Array) -> Array:
    """Where a value may be one of several, one question after the other."""
    sets: list[list[float]] = [[]]
    for value in np.asarray(call.get("membership_values", ())).reshape(-1).tolist():
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(value)
    if len(places) > len(sets):
        raise call.error(f"membership_values must have {len(places)} sets, got {len(sets)}")
    more: list[Array] = []
    for at, members in zip(places.tolist(), sets, strict=False):
        if not members:
            raise call.error("membership_values must not have an empty set")
        chain = np.repeat(nodes[at : at + 1], len(members), 0)
        chain[:, 0] = np.array(members, np.float32).view(np.int32)
        # Each but the last goes on to the next where the answer is no.
        chain[:-1, 3] = len(nodes) + sum(map(len, more)) + np.arange(len(members) - 1)
        nodes[at] = chain[0]
        more.append(chain[1:])
    return np.concatenate([nodes, *more])


def _check_ends(call: Call, nodes: Array, roots: Array) -> None:
    """Raises ValueError where a tree leads back."""
    at = np.asarray(roots)
    for _ in range(len(nodes) + 1):
        at = at[nodes[at, 4] != _LEAF]
        if not at.size:
            return
        at = np.unique(nodes[at][:, 2:4])
    raise call.error("its trees lead back to nodes above: they have a cycle")


def tree_scores(x: Array, nodes: Array, roots: Array, weights: Array, base: Array, aggregate: str) -> Array:
    """Scores of rows, shape (rows, targets): what the leaves of all trees of a `Forest` hold together."""
    return _core.tree_scores(x, nodes, roots, weights, base, aggregate)
