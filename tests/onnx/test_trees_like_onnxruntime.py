"""Ensembles of trees as LightGBM, XGBoost and CatBoost are exported, and as onnxruntime computes them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import quantray as qt
from onnx import TensorProto, helper
from quantray import _core

DOMAIN = "ai.onnx.ml"
FEATURES = 5


class Ensemble:
    """Random trees of TreeEnsemble, whose leaves are numbered apart."""

    def __init__(self, rng, trees, depth, targets, modes):
        self.rng, self.targets, self.modes = rng, targets, modes
        names = ("splits", "features", "modes", "yes", "no", "yes_leaf", "no_leaf", "missing")
        self.nodes = {name: [] for name in names}
        self.leaves, self.members, self.roots = {"targets": [], "weights": []}, [], []
        for _ in range(trees):
            self.roots.append(self.grow(depth))

    def grow(self, depth):
        at = len(self.nodes["modes"])
        mode = int(self.rng.choice(self.modes))
        row = {"splits": self.rng.integers(-3, 4) / 2, "features": self.rng.integers(FEATURES), "modes": mode}
        for name in self.nodes:
            self.nodes[name].append(row.get(name, 0))
        self.nodes["missing"][at] = int(self.rng.integers(2))
        if mode == 6:
            # onnxruntime has sets of small whole numbers alone.
            self.members += [*map(float, self.rng.choice(np.arange(1, 5), 2, replace=False)), np.nan]
        for side in ("yes", "no"):
            is_leaf = depth == 1 or (depth < 4 and self.rng.random() < 0.2)
            self.nodes[f"{side}_leaf"][at] = int(is_leaf)
            self.nodes[side][at] = self.leaf() if is_leaf else self.grow(depth - 1)
        return at

    def leaf(self):
        self.leaves["targets"].append(int(self.rng.integers(self.targets)))
        self.leaves["weights"].append(self.rng.standard_normal())
        return len(self.leaves["weights"]) - 1

    def attributes(self, kind=TensorProto.FLOAT):
        def tensor(name, values, kind):
            return helper.make_tensor(name, kind, [len(values)], values)

        given = self.nodes
        made = {
            "nodes_splits": tensor("splits", given["splits"], kind),
            "nodes_featureids": list(map(int, given["features"])),
            "nodes_modes": tensor("modes", given["modes"], TensorProto.UINT8),
            "nodes_truenodeids": given["yes"],
            "nodes_falsenodeids": given["no"],
            "nodes_trueleafs": given["yes_leaf"],
            "nodes_falseleafs": given["no_leaf"],
            "nodes_missing_value_tracks_true": given["missing"],
            "leaf_targetids": self.leaves["targets"],
            "leaf_weights": tensor("weights", self.leaves["weights"], kind),
            "tree_roots": self.roots,
            "n_targets": self.targets,
        }
        if self.members:
            made["membership_values"] = tensor("members", self.members, kind)
        return made


def model_of(node, outputs, *more, version=5, kind=TensorProto.FLOAT):
    sides = [helper.make_tensor_value_info("x", kind, ["n", FEATURES])]
    graph = helper.make_graph([node, *more], "trees", sides, outputs)
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid(DOMAIN, version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def theirs(proto, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def rows(rng, count, nan=True):
    """On the thresholds, too, and with numbers that are missing."""
    x = rng.integers(-4, 5, (count, FEATURES)).astype(np.float32) / 2
    if nan:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


@pytest.mark.parametrize("modes", [[0], [1], [2], [3], [4], [5], [6], [0, 1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize(("targets", "aggregate"), [(1, 1), (1, 0), (3, 1), (1, 2), (1, 3)])
def test_tree_ensemble(rng, modes, targets, aggregate):
    trees = Ensemble(rng, 7, 5, targets, modes)
    given = trees.attributes()
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain=DOMAIN, aggregate_function=aggregate, post_transform=0, **given
    )
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", targets])]
    proto = model_of(node, outputs)
    model = qt.onnx.load(proto)
    # Missing values among sets of members are no members there: no number is asked for.
    for count in (1, 9, 200):
        x = rows(rng, count, nan=6 not in modes)
        got, want = model(x), theirs(proto, x)[0]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("post", "formula"),
    [
        (1, lambda s: np.exp(s) / np.exp(s).sum(1, keepdims=True)),
        (2, lambda s: 1 / (1 + np.exp(-s))),
    ],
)
def test_scores_of_an_ensemble(rng, post, formula):
    """As the standard numbers them; onnxruntime takes 1 for the logistic function, and 2 for softmax."""
    trees = Ensemble(rng, 5, 3, 3, [0])
    x, found = rows(rng, 20, nan=False), []
    for kind in (0, post):
        node = helper.make_node(
            "TreeEnsemble", ["x"], ["y"], domain=DOMAIN, post_transform=kind, **trees.attributes()
        )
        proto = model_of(node, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])])
        found.append(qt.onnx.load(proto)(x))
    np.testing.assert_allclose(found[1], formula(found[0].astype(np.float64)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_binary", [True, False])
def test_scores_that_are_handed_out_as_dictionaries(rng, tmp_path, is_binary):
    """As LightGBM's, CatBoost's and scikit-learn's classifiers are exported by default."""
    classes = [0, 1] if is_binary else [3, 5, 9]
    given = {"nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0]}
    given |= {"nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0]}
    given |= {"nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0]}
    ids = [1] if is_binary else [0, 1, 2]
    held = [(node, each, rng.standard_normal()) for node in (1, 2) for each in ids]
    given |= {"class_treeids": [0] * len(held), "class_nodeids": [n for n, _, _ in held]}
    given |= {"class_ids": [c for _, c, _ in held], "class_weights": [w for _, _, w in held]}
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain=DOMAIN,
        classlabels_int64s=classes,
        post_transform="LOGISTIC" if is_binary else "SOFTMAX",
        **given,
    )
    zipped = helper.make_node("ZipMap", ["scores"], ["zipped"], domain=DOMAIN, classlabels_int64s=classes)
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])]
    item = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    outputs.append(onnx.ValueInfoProto(name="zipped", type=helper.make_sequence_type_proto(item)))
    proto = model_of(node, outputs, zipped, version=3)
    x = rows(rng, 12, nan=False)
    model, (labels, scores) = qt.onnx.load(proto), theirs(proto, x)
    assert str(model.outputs[1]) == "zipped float32"
    np.testing.assert_array_equal(model(x)[0], labels)
    wanted = np.array([[row[c] for c in classes] for row in scores], np.float32)
    np.testing.assert_allclose(model(x)[1], wanted, rtol=1e-5)
    qt.onnx.save(model, tmp_path / "arrays.onnx")
    np.testing.assert_allclose(theirs(str(tmp_path / "arrays.onnx"), x)[1], wanted, rtol=1e-5)


def nodes(*rows):
    made = [[np.float32(value).view(np.int32), *rest] for value, *rest in rows]
    return np.array(made, np.int32).reshape(-1, 5)


@pytest.mark.parametrize("threads", [1, 2])
def test_more_rows_than_a_piece(rng, threads):
    was = qt.get_num_threads()
    qt.set_num_threads(threads)
    try:
        table = nodes((0.5, 1, 1, 2, 0), (0, 0, 1, 1, 16), (0, 1, 2, 2, 16))
        weights, x = np.float32([[1, 2], [3, 5]]), rng.random((20_000, 3), np.float32)
        got = _core.tree_scores(x, table, np.int32([0, 0]), weights, np.float32([0, 10]), "SUM")
        want = np.where(x[:, 1:2] <= 0.5, np.float32([2, 14]), np.float32([6, 20]))
        np.testing.assert_array_equal(got, want)
    finally:
        qt.set_num_threads(was)


@pytest.mark.parametrize(
    ("table", "change", "error", "message"),
    [
        (nodes((0, 0, 0, 0, 0)), {}, ValueError, "nodes must be trees, got a cycle"),
        (nodes((0, 0, 7, 7, 0)), {}, IndexError, "node must be one of the 1, got 7"),
        (nodes((0, 9, 0, 0, 0)), {}, IndexError, "feature must be one of the 3 of x, got 9"),
        (nodes((0, -1, 0, 0, 0)), {}, IndexError, "feature must be one of the 3 of x, got -1"),
        (nodes((0, 5, 0, 0, 16)), {}, IndexError, "row must be one of 1, got 5"),
        (nodes((0, -1, 0, 0, 16)), {}, IndexError, "row must be one of 1, got -1"),
        (nodes((0, 0, 0, 0, 16)), {"roots": np.int32([4])}, IndexError, "node must be one of the 1, got 4"),
        (np.zeros((2, 4), np.int32), {}, ValueError, r"nodes must be of shape \(nodes, 5\), got \(2, 4\)"),
        (np.zeros((2, 5)), {}, ValueError, "nodes must be int32 of 2 axes, got float64"),
        (nodes((0, 0, 0, 0, 16)), {"base": np.zeros(2)}, ValueError, "weights and base must be of shapes"),
        (nodes((0, 0, 0, 0, 16)), {"aggregate": "ALL"}, ValueError, "aggregate must be SUM, AVERAGE"),
        (nodes((0, 0, 0, 0, 16)), {"x": np.zeros(3)}, ValueError, "x must be of shape"),
    ],
)
def test_tables_that_are_no_trees(table, change, error, message):
    given = {"x": np.zeros((2, 3)), "nodes": table, "roots": np.int32([0]), "weights": np.zeros((1, 1))}
    given |= {"base": np.zeros(1), "aggregate": "SUM"}
    with pytest.raises(error, match=message):
        _core.tree_scores(*{**given, **change}.values())


def test_what_is_wrong_with_an_ensemble_is_said(rng):
    given = Ensemble(rng, 1, 2, 1, [0]).attributes()
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])]
    for change, message in (
        ({"nodes_truenodeids": [99] * 3}, "nodes_truenodeids leads to a node that there is not"),
        ({"leaf_targetids": [4] * len(given["leaf_targetids"])}, "leaf_targetids must be from 0 to 0, got 4"),
        ({"tree_roots": [77]}, "tree_roots must be from 0 to"),
        ({"aggregate_function": 8}, "aggregate_function must be one of 0, 1, 2, 3, got 8"),
    ):
        count = len(given["nodes_truenodeids"])
        change = {k: v[:count] if k == "nodes_truenodeids" else v for k, v in change.items()}
        node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain=DOMAIN, **{**given, **change})
        with pytest.raises(ValueError, match=message):
            qt.onnx.load(model_of(node, outputs))(rows(rng, 2, nan=False))
