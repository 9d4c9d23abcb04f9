"""Operators of classical models, beside onnxruntime's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import quantray as qt
from numpy.testing import assert_allclose
from onnx import TensorProto
from patterns import session
from single_node import here, in_onnxruntime, single_node

DOMAIN = "ai.onnx.ml"
NAN = float("nan")


def check(op, inputs, outputs=None, version=3, types=None, **attributes):
    model = single_node(op, inputs, outputs, domain=DOMAIN, version=version, types=types, **attributes)
    wanted = in_onnxruntime(model, inputs)
    for got, want in zip(here(model, inputs), wanted, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert_allclose(got, want, rtol=2e-6, atol=1e-6)
    return model


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("each", [True, False])
def test_scaler(rng, dtype, each):
    x = (rng.standard_normal((7, 4)) * 9).astype(dtype)
    offset, scale = rng.standard_normal((2, 4)).tolist() if each else ([0.5], [3.0])
    check("Scaler", {"x": x}, offset=offset, scale=scale)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer(rng, norm):
    x = rng.standard_normal((7, 4), np.float32)
    x[2] = 0
    check("Normalizer", {"x": x}, norm=norm)


def test_binarizer(rng):
    check("Binarizer", {"x": rng.standard_normal((5, 3), np.float32)}, threshold=0.25)


@pytest.mark.parametrize("values", [[1.5], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("none", [NAN, 0.0])
def test_imputer(rng, values, none):
    x = rng.standard_normal((5, 3), np.float32)
    x[1, 2] = x[3, 0] = none
    check("Imputer", {"x": x}, imputed_value_floats=values, replaced_value_float=none)


def test_imputer_of_integers(rng):
    x = rng.integers(-1, 2, (5, 2))
    check(
        "Imputer",
        {"x": x},
        imputed_value_int64s=[7, 9],
        replaced_value_int64=-1,
        types={"y": TensorProto.INT64},
    )


@pytest.mark.parametrize("shape", [(4, 6), (6,)])
def test_array_feature_extractor(rng, shape):
    inputs = {"x": rng.standard_normal(shape, np.float32), "i": np.array([[4, 0, 4]])}
    check("ArrayFeatureExtractor", inputs, constants={"i"})


def test_feature_vectorizer(rng):
    inputs = {"a": rng.standard_normal((3, 2), np.float32), "b": rng.standard_normal((3, 4), np.float32)}
    check("FeatureVectorizer", inputs, inputdimensions=[2, 4])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_one_hot_encoder(rng, dtype):
    check("OneHotEncoder", {"x": rng.integers(0, 5, (4, 3)).astype(dtype)}, cats_int64s=[1, 3, 4], zeros=1)


@pytest.mark.parametrize(
    ("dtype", "keys", "values", "kind"),
    [
        (np.int64, {"keys_int64s": [0, 3, 2]}, {"values_floats": [0.5, 1.5, 2.5], "default_float": -3.0}, 1),
        (np.int64, {"keys_int64s": [0, 3, 2]}, {"values_int64s": [9, 8, 7], "default_int64": 5}, 7),
        (np.float32, {"keys_floats": [0.0, NAN, 2.0]}, {"values_int64s": [9, 8, 7]}, 7),
        (np.float32, {"keys_floats": [1.0, 3.0]}, {"values_floats": [9.0, 8.0]}, 1),
    ],
)
def test_label_encoder(rng, dtype, keys, values, kind):
    x = rng.integers(0, 5, (4, 3)).astype(dtype)
    if dtype == np.float32:
        x[0, 0] = NAN
    check("LabelEncoder", {"x": x}, version=2, types={"y": kind}, **keys, **values)


@pytest.mark.parametrize("low", [-3, 7, -(1 << 40)])
@pytest.mark.parametrize("step", [1, 5, 1000])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_label_encoder_of_many_keys(rng, low, step, dtype):
    """Keys close together and far from each other; what is between them, beyond them, and no number."""
    keys = (low + step * rng.permutation(50)).astype(dtype)
    x = rng.choice(keys, (20, 30))
    x[3], x[4, :7] = x[3] + 1, x[4, :7] - 50 * step
    if dtype == np.int64:
        x[5, :2] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    else:
        x[5, :6] = NAN, np.inf, -np.inf, 0.5, -0.0, 3e38
    names = {"keys_int64s" if dtype == np.int64 else "keys_floats": keys.tolist()}
    made = {"values_int64s": rng.integers(0, 999, 50).tolist(), "default_int64": -7}
    if len(set(keys.tolist())) == 50:
        check("LabelEncoder", {"x": x}, version=2, types={"y": 7}, **names, **made)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_linear_regressor(rng, targets, bias, post):
    given = {"coefficients": rng.standard_normal(targets * 5).tolist(), "targets": targets}
    if bias:
        given["intercepts"] = rng.standard_normal(targets).tolist()
    if post != "NONE":
        given["post_transform"] = post
    check("LinearRegressor", {"x": rng.standard_normal((6, 5), np.float32)}, **given)


LABELS = {"label": TensorProto.INT64}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_linear_classifier(rng, classes, post, dtype):
    x = (rng.standard_normal((9, 5)) * 3).astype(dtype)
    check(
        "LinearClassifier", {"x": x}, ["label", "scores"], types=LABELS, post_transform=post,
        coefficients=rng.standard_normal(classes * 5).tolist(), classlabels_ints=[3, 1, 7, 2][:classes],
        intercepts=rng.standard_normal(classes).tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC"])
def test_linear_classifier_of_one_score(rng, post):
    x = rng.standard_normal((9, 5), np.float32)
    check(
        "LinearClassifier", {"x": x}, ["label", "scores"], types=LABELS, post_transform=post,
        coefficients=rng.standard_normal(5).tolist(), classlabels_ints=[0, 1], intercepts=[0.1],
    )  # fmt: skip


@pytest.mark.parametrize("names", [["setosa", "virginica", "von Röhl"], ["no", "yes"]])
def test_classes_that_are_texts(rng, tmp_path, names):
    x = {"x": rng.standard_normal((9, 5), np.float32)}
    given = {"coefficients": rng.standard_normal(5 * len(names)).tolist(), "classlabels_strings": names}
    given["intercepts"] = rng.standard_normal(len(names)).tolist()
    types = {"label": onnx.TensorProto.STRING, "scores": onnx.TensorProto.FLOAT}
    outputs = ["label", "scores"]
    model = single_node("LinearClassifier", x, outputs, domain=DOMAIN, version=3, types=types, **given)
    labels, scores = session(model.SerializeToString()).run(None, x)
    got = here(model, x)
    assert got[0].tolist() == labels.tolist()
    assert_allclose(got[1], scores, rtol=1e-5, atol=1e-6)
    loaded = qt.onnx.load(model.SerializeToString())
    assert loaded.outputs[0].dtype == "string"
    for _ in range(2):
        assert loaded(**x)[0].tolist() == labels.tolist()
    qt.onnx.save(loaded, tmp_path / "texts.onnx")
    assert session(str(tmp_path / "texts.onnx")).run(None, x)[0].tolist() == labels.tolist()
    assert qt.onnx.load(tmp_path / "texts.onnx")(**x)[0].tolist() == labels.tolist()


def test_classes_that_are_texts_and_nothing_takes(rng):
    x = {"x": rng.standard_normal((9, 5), np.float32)}
    given = {"coefficients": rng.standard_normal(15).tolist(), "classlabels_strings": ["a", "b", "c"]}
    given["intercepts"] = [0.1, 0.2, 0.3]
    model = single_node(
        "LinearClassifier", x, ["label", "scores"], domain=DOMAIN, version=3, types={"scores": 1}, **given
    )
    del model.graph.output[0]
    wanted = session(model.SerializeToString()).run(["scores"], x)
    assert_allclose(here(model, x)[0], wanted[0], rtol=1e-6)


@pytest.mark.parametrize("kind", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_support_vector_regressor(rng, kind):
    given = {"support_vectors": rng.standard_normal(4 * 3).tolist(), "n_supports": 4}
    given |= {"kernel_params": [0.3, 0.5, 2.0], "coefficients": rng.standard_normal(4).tolist(), "rho": [0.2]}
    check("SVMRegressor", {"x": rng.standard_normal((6, 3), np.float32)}, kernel_type=kind, **given)


@pytest.mark.parametrize("kind", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("has_probabilities", [True, False])
def test_support_vector_classifier(rng, kind, classes, has_probabilities):
    counts = [3, 2, 4, 3][:classes]
    count, pairs = sum(counts), classes * (classes - 1) // 2
    given = {"support_vectors": rng.standard_normal(count * 3).tolist(), "vectors_per_class": counts}
    given |= {"coefficients": rng.standard_normal((classes - 1) * count).tolist()}
    given |= {"kernel_params": [0.3, 0.5, 2.0], "rho": rng.standard_normal(pairs).tolist()}
    if has_probabilities:
        given |= {"prob_a": (-1 - rng.random(pairs)).tolist(), "prob_b": rng.standard_normal(pairs).tolist()}
    check(
        "SVMClassifier", {"x": rng.standard_normal((30, 3), np.float32)}, ["label", "scores"], types=LABELS,
        classlabels_ints=[5, 2, 9, 4][:classes], kernel_type=kind, **given,
    )  # fmt: skip


def forest(rng, trees, depth, features, ids, kind, modes, *, positive=False):
    """Full trees, whose leaves have a weight for each id."""
    nodes = {
        name: [] for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "values")
    }
    nodes |= {"modes": [], "missing_value_tracks_true": []}
    held = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    inner = 2**depth - 1
    for tree in range(trees):
        for node in range(2 * inner + 1):
            is_leaf = node >= inner
            row = {"treeids": tree, "nodeids": node, "modes": "LEAF" if is_leaf else str(rng.choice(modes))}
            row |= {"featureids": 0 if is_leaf else int(rng.integers(features))}
            row |= {
                "truenodeids": 0 if is_leaf else 2 * node + 1,
                "falsenodeids": 0 if is_leaf else 2 * node + 2,
            }
            row |= {"values": 0.0 if is_leaf else float(rng.integers(-1, 2))}
            row |= {"missing_value_tracks_true": 0 if is_leaf else int(rng.integers(2))}
            for name, value in row.items():
                nodes[name].append(value)
            for each in ids if is_leaf else ():
                weight = float(rng.random() / trees if positive else rng.standard_normal())
                for name, value in zip(held, (tree, node, each, weight), strict=True):
                    held[name].append(value)
    return {f"nodes_{k}": v for k, v in nodes.items()} | {f"{kind}_{k}": v for k, v in held.items()}


def examples(rng, rows=40, features=4):
    x = rng.integers(-1, 2, (rows, features)).astype(np.float32) + rng.choice([0, 0.25], (rows, features))
    x = x.astype(np.float32)
    x[3, 1] = x[5, 0] = NAN
    return x


@pytest.mark.parametrize(
    "modes", [["BRANCH_LEQ"], ["BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]]
)
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 3])
def test_tree_regressor(rng, modes, aggregate, targets):
    given = forest(rng, 5, 3, 4, range(targets), "target", modes)
    given |= {
        "n_targets": targets,
        "aggregate_function": aggregate,
        "base_values": [0.5, 1.0, -1.0][:targets],
    }
    check("TreeEnsembleRegressor", {"x": examples(rng)}, **given)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("is_biased", [True, False])
def test_tree_classifier(rng, post, is_biased):
    given = forest(rng, 5, 3, 4, range(3), "class", ["BRANCH_LEQ"])
    if is_biased:
        given["base_values"] = [0.5, -0.25, 0.125]
    check(
        "TreeEnsembleClassifier", {"x": examples(rng)}, ["label", "scores"], types=LABELS,
        classlabels_int64s=[5, 2, 9], post_transform=post, **given,
    )  # fmt: skip


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC"])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(("scored", "is_biased"), [(0, True), (0, False), (1, False)])
def test_tree_classifier_of_one_score(rng, post, positive, is_biased, scored):
    """Probabilities, or numbers whose sign decides."""
    given = forest(rng, 5, 3, 4, [scored], "class", ["BRANCH_LEQ"], positive=positive)
    if is_biased:
        given["base_values"] = [0.125]
    check(
        "TreeEnsembleClassifier", {"x": examples(rng)}, ["label", "scores"], types=LABELS,
        classlabels_int64s=[0, 1], post_transform=post, **given,
    )  # fmt: skip


def test_pipeline_is_saved(rng, tmp_path):
    """A scaler, a linear classifier and trees in one file, for other numbers of rows too."""
    zeros = {"x": np.zeros((1, 4), np.float32)}
    settings = {"offset": [0.5] * 4, "scale": [2.0] * 4}
    scaler = single_node("Scaler", zeros, ["z"], domain=DOMAIN, version=3, free=True, **settings)
    names = {"coefficients": rng.standard_normal(12).tolist(), "intercepts": [0.1, 0.2, 0.3]}
    linear = onnx.helper.make_node(
        "LinearClassifier", ["z"], ["label", "scores"], domain=DOMAIN, classlabels_ints=[4, 5, 6],
        post_transform="SOFTMAX", **names,
    )  # fmt: skip
    trees = forest(rng, 3, 2, 4, [0], "target", ["BRANCH_LEQ"])
    trees = onnx.helper.make_node("TreeEnsembleRegressor", ["z"], ["y"], domain=DOMAIN, n_targets=1, **trees)
    scaler.graph.node.extend([linear, trees])
    del scaler.graph.output[:]
    for name, kind, width in (("label", 7, ()), ("scores", 1, (3,)), ("y", 1, (1,))):
        scaler.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, [None, *width]))
    model = qt.onnx.load(scaler.SerializeToString())
    path, x = tmp_path / "model.onnx", rng.standard_normal((5, 4), np.float32)
    qt.onnx.save(model, path, x)
    onnx.checker.check_model(str(path), full_check=True)
    for rows in (5, 1, 8):
        x = rng.standard_normal((rows, 4), np.float32)
        wanted = onnxruntime.InferenceSession(scaler.SerializeToString()).run(None, {"x": x})
        for got, again, want in zip(model(x), session(str(path)).run(None, {"x": x}), wanted, strict=True):
            assert_allclose(got, want, rtol=1e-5, atol=1e-6)
            assert_allclose(again, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        (
            "LinearClassifier",
            {"classlabels_ints": [0, 1], "coefficients": [1.0] * 5},
            "multiple of 2 numbers, got 5",
        ),
        (
            "LinearRegressor",
            {"coefficients": [1.0] * 3, "intercepts": [1.0, 2.0]},
            "intercepts must be 1 numbers",
        ),
        (
            "SVMClassifier",
            {"classlabels_ints": [0, 1], "coefficients": [1.0] * 6},
            "vectors_per_class must be 2 numbers, got 0",
        ),
        ("Normalizer", {"norm": "L3"}, "norm must be one of MAX, L1, L2, got 'L3'"),
    ],
)
def test_what_is_wrong_is_said(op, attributes, message):
    x = {"x": np.zeros((2, 3), np.float32)}
    outputs = ["label", "scores"] if "Classifier" in op else ["y"]
    model = single_node(
        op, x, outputs, domain=DOMAIN, version=3, types=LABELS if len(outputs) > 1 else None, **attributes
    )
    with pytest.raises(ValueError, match=message):
        here(model, x)


def test_biased_trees_of_two_classes(rng):
    given = forest(rng, 1, 1, 4, [1], "class", ["BRANCH_LEQ"]) | {"classlabels_int64s": [0, 1]}
    x, outputs = {"x": np.zeros((2, 4), np.float32)}, ["label", "scores"]
    model = single_node(
        "TreeEnsembleClassifier",
        x,
        outputs,
        domain=DOMAIN,
        version=3,
        types=LABELS,
        base_values=[0.5],
        **given,
    )
    with pytest.raises(ValueError, match="mean another thing in every runtime"):
        here(model, x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF", "MEMBER"]}, "nodes_modes must be LEAF, .*got MEMBER"),
        ({"nodes_truenodeids": [7, 0, 0]}, "nodes_truenodeids leads to a node that its tree does not have"),
        ({"target_ids": [0, 3]}, "target_ids must be from 0 to 0, got 0 to 3"),
        ({"nodes_featureids": [9, 0, 0]}, "feature must be one of the 4 of x, got 9"),
    ],
)
def test_faulty_trees(rng, change, message):
    given = forest(rng, 1, 1, 4, [0], "target", ["BRANCH_LEQ"]) | change
    x = {"x": np.zeros((2, 4), np.float32)}
    with pytest.raises(ValueError, match=message):
        here(single_node("TreeEnsembleRegressor", x, domain=DOMAIN, version=3, **given), x)
