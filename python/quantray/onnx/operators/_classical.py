"""Operators of classical models, as scikit-learn's: scaling, encoding, linear models, kernels."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from quantray import graph, nn
from quantray._typing import ArrayLike, Floats, Tensor
from quantray.nn import functional as F
from quantray.onnx.functions._support_vectors import Machine
from quantray.onnx.operators._products import linear
from quantray.onnx.operators._registry import Array, Call, Given, Outputs, layer, operator

_DOMAIN = "ai.onnx.ml"


def _floats(call: Call, name: str, default: ArrayLike = ()) -> Floats:
    found = call.get(name, default)
    return np.atleast_1d(np.asarray(found, np.float32))


def as_floats(x: Array) -> Array:
    return x if x.dtype == np.float32 else x.astype(np.float32)


def as_rows(x: Array) -> Array:
    """One example alone is a row of a batch."""
    return x if np.ndim(x) > 1 else np.reshape(x, (1, -1))


# Features


@operator("Scaler", domain=_DOMAIN)
def _scaler(call: Call, x: Array) -> Array:
    """`(x - offset) * scale`, feature by feature."""
    return (as_floats(x) - _floats(call, "offset", 0.0)) * _floats(call, "scale", 1.0)


@operator("Normalizer", domain=_DOMAIN)
def _normalizer(call: Call, x: Array) -> Array:
    """Rows by their norm; a row of zeros stays what it is."""
    x = as_floats(x)
    norm = call.choice("norm", ("MAX", "L1", "L2"))
    if norm == "MAX":
        size = np.max(x, axis=-1, keepdims=True)
    elif norm == "L1":
        size = np.sum(np.abs(x), axis=-1, keepdims=True)
    else:
        size = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))
    return x / np.where(size == 0, np.float32(1), size)


@operator("Binarizer", domain=_DOMAIN)
def _binarizer(call: Call, x: Array) -> Array:
    return (x > x.dtype.type(call.get("threshold", 0.0))).astype(x.dtype)


@operator("Imputer", domain=_DOMAIN)
def _imputer(call: Call, x: Array) -> Array:
    """What is in the place of a value that stands for none, feature by feature."""
    is_float = x.dtype.kind == "f"
    values = call.need("imputed_value_floats" if is_float else "imputed_value_int64s")
    none = call.get("replaced_value_float" if is_float else "replaced_value_int64", 0)
    is_none = np.isnan(x) if is_float and np.isnan(none) else x == none
    return np.where(is_none, np.atleast_1d(np.asarray(values, x.dtype)), x)


@operator("ArrayFeatureExtractor", domain=_DOMAIN)
def _features(call: Call, x: Array, places: Array) -> Array:
    """Some features: along the last axis."""
    places = np.reshape(places, (-1,))
    if places.dtype.kind not in "iu":
        places = places.astype(np.int64)
    found = graph.apply("numpy.take", x, places, axis=-1)
    return found if np.ndim(x) > 1 else np.reshape(found, (1, -1))


@operator("ZipMap", domain=_DOMAIN)
def _zip_map(call: Call, x: Array) -> Array:
    """Scores by classes: the array that a list of dictionaries is made of, a row for each of them."""
    return x


@operator("FeatureVectorizer", domain=_DOMAIN)
def _vectorizer(call: Call, *inputs: Array) -> Array:
    return np.concatenate([as_floats(as_rows(x)) for x in inputs], axis=-1)


@operator("OneHotEncoder", domain=_DOMAIN)
def _one_hot(call: Call, x: Array) -> Array:
    """A new last axis, with 1 where a value is a category; those of none are zeros, if `zeros` allows it."""
    if not call.get("zeros", 1):
        raise call.error("zeros must be 1, got 0: whether a value has a category is not looked at")
    if call.get("cats_strings"):
        return graph.apply("onnx.one_of_categories", x, np.array(list(map(str, call.need("cats_strings")))))
    categories = np.asarray(call.need("cats_int64s"), np.int64)
    whole = x if x.dtype.kind in "iu" else x.astype(np.int64)
    return (whole[..., None] == categories).astype(np.float32)


_LABELS = ("floats", "int64s", "strings", "tensor")
#: What an encoder gives for a key that it does not know, where it does not say.
_DEFAULTS = {"floats": ("default_float", -0.0), "int64s": ("default_int64", -1)}


def _labels(call: Call, kind: str) -> tuple[str, Array] | None:
    """Keys or values of an encoder, and the kind of attribute that they were."""
    for suffix in _LABELS:
        found = call.get(f"{kind}_{suffix}")
        if found is not None:
            return suffix, _label_array(found, suffix)
    return None


def _label_array(found: Any, suffix: str) -> Array:
    if suffix == "strings":
        return np.array(list(map(str, found)), np.str_)
    if suffix in ("floats", "int64s"):
        return np.atleast_1d(np.asarray(found, np.float32 if suffix == "floats" else np.int64))
    array = np.asarray(found.array() if hasattr(found, "array") else found).reshape(-1)
    return array.astype({"f": np.float32, "O": np.str_, "U": np.str_}.get(array.dtype.kind, array.dtype))


@operator("LabelEncoder", domain=_DOMAIN)
def _label_encoder(call: Call, x: Array) -> Tensor:
    """A table from texts or numbers to others."""
    if call.get("classes_strings"):
        # Before version 2: texts by their places, or places by their texts.
        words = _label_array(call.need("classes_strings"), "strings")
        places = np.arange(len(words))
        if x.dtype.kind in "iu":
            return graph.apply(
                "onnx.looked_up", x, places, words, np.array(call.get("default_string", "_Unused"))
            )
        return graph.apply("onnx.looked_up", x, words, places, np.int64(call.get("default_int64", -1)))
    keys, values = _labels(call, "keys"), _labels(call, "values")
    if keys is None or values is None:
        raise call.error("it must have keys and values")
    (_, known), (kind, made) = keys, values
    if len(known) != len(made):
        raise call.error(f"it must have as many keys as values, got {len(known)} and {len(made)}")
    tensor = call.get("default_tensor")
    if tensor is not None:
        default = _label_array(tensor, "tensor")[0]
    elif made.dtype.kind == "U":
        default = call.get("default_string", "_Unused")
    else:
        kind = "floats" if made.dtype.kind == "f" else "int64s"
        name, own = _DEFAULTS[kind]
        default = call.get(name, own)
    default = np.array(default, None if made.dtype.kind == "U" else made.dtype)
    # NaN is a key from version 4 on; before that it is like nothing.
    if call.version < 4 and known.dtype.kind == "f":
        known, made = known[~np.isnan(known)], made[~np.isnan(known)]
    return graph.apply("onnx.looked_up", x, known, made, default)


@operator("CDist", domain="com.microsoft")
def _distances(call: Call, a: Array, b: Array) -> Tensor:
    """Distances of all rows of two tables: of a neighbours' model and of a Gaussian process."""
    metric = call.get("metric", "sqeuclidean")
    if metric not in ("sqeuclidean", "euclidean"):
        raise call.error(f"metric must be euclidean or sqeuclidean, got {metric!r}")
    squares = (a * a).sum(axis=1, keepdims=True) + (b * b).sum(axis=1) - 2 * np.matmul(a, b.T)
    # What two equal rows have is rounded, and no square is below 0.
    squares = np.maximum(squares, 0)
    return np.sqrt(squares) if metric == "euclidean" else squares


# Scores


def scores_of(call: Call, scores: Array, kind: str | None = None) -> Array:
    """Scores as a classifier gives them out; `kind` where it does not say it by that name."""
    if kind is None:
        kind = call.choice("post_transform", ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"))
    if kind == "SOFTMAX":
        return cast("Array", F.softmax(scores, -1))
    if kind == "LOGISTIC":
        return cast("Array", F.sigmoid(scores))
    if kind == "NONE":
        return scores
    if kind == "PROBIT":
        raise call.error("post_transform must be NONE, SOFTMAX, LOGISTIC or SOFTMAX_ZERO, got 'PROBIT'")
    # Scores that are 0 stay so, and the others share what is 1.
    powers = np.where(scores == 0, np.float32(0), np.exp(scores - np.max(scores, axis=-1, keepdims=True)))
    total = np.sum(powers, axis=-1, keepdims=True)
    return np.where(total == 0, scores, powers / np.where(total == 0, np.float32(1), total))


def of_targets(call: Call, scores: Array) -> Array:
    """What a regressor gives out: one target is what it is."""
    return scores if scores.shape[-1] == 1 else scores_of(call, scores)


def classes_of(call: Call, texts: str, name: str) -> tuple[int, ...] | tuple[str, ...]:
    """The classes of a node: numbers, or texts."""
    if call.get(texts):
        return tuple(map(str, call.need(texts)))
    return tuple(map(int, call.need(name)))


def labelled(labels: tuple[int, ...] | tuple[str, ...], places: Array) -> Array:
    """Classes by their places."""
    if labels == tuple(range(len(labels))):
        return places.astype(np.int64)
    return graph.apply("numpy.take", np.array(labels), places, axis=0)


# Linear models


def _weights(call: Call, count: int, name: str = "coefficients") -> Array:
    """Shape (count, features)."""
    values = _floats(call, name, call.need(name))
    if values.size % count:
        raise call.error(f"{name} must be a multiple of {count} numbers, got {values.size}")
    return values.reshape(count, -1)


def _intercepts(call: Call, count: int) -> Floats | None:
    found = call.get("intercepts")
    if not found:
        return None
    values = _floats(call, "intercepts")
    if values.size != count:
        raise call.error(f"intercepts must be {count} numbers, got {values.size}")
    return values


@operator("LinearRegressor", domain=_DOMAIN)
def _regressor(call: Call, x: Array) -> Array:
    targets = int(call.get("targets", 1))
    made = F.linear(as_floats(as_rows(x)), _weights(call, targets), _intercepts(call, targets))
    return of_targets(call, made)


@layer("LinearRegressor", domain=_DOMAIN)
def _regressor_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    targets = int(call.get("targets", 1))
    if call.given != (0,) or (targets > 1 and call.get("post_transform", "NONE") != "NONE"):
        return None
    return _Rows(linear(_weights(call, targets), _intercepts(call, targets)))


class _Rows(nn.Sequential):
    """A linear layer of numbers of any type, in rows."""

    def forward(self, input: Array) -> Array:
        return super().forward(as_floats(as_rows(input)))


class LinearClassifier(nn.Module):
    """Scores of a linear layer, and the class of the greatest one.

    Parameters
    ----------
    call : Call
        The node's settings.
    """

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call
        self.labels = classes_of(call, "classlabels_strings", "classlabels_ints")
        bias = call.get("intercepts")
        count = len(self.labels) if not bias else len(_floats(call, "intercepts"))
        if count not in (1, len(self.labels)) or (count == 1 and len(self.labels) > 2):
            raise call.error(f"intercepts must be {len(self.labels)} numbers, got {count}")
        self.linear = linear(_weights(call, count), _intercepts(call, count))

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Labels, shape (rows,), and scores, shape (rows, classes)."""
        scores = self.linear(as_floats(as_rows(x)))
        if scores.shape[-1] == 1 and len(self.labels) == 2:
            is_second = scores[:, 0] > 0
            first = -scores if self.call.get("post_transform", "NONE") == "LOGISTIC" else 1 - scores
            scores = np.concatenate([first, scores], axis=1)
            places = is_second.astype(np.int64)
        else:
            places = np.argmax(scores, axis=1)
        return labelled(self.labels, places), scores_of(self.call, scores)

    def _get_name(self) -> str:
        return self.call.op

    _class_name = _get_name


@operator("LinearClassifier", domain=_DOMAIN)
def _classifier(call: Call, x: Array) -> Outputs:
    return LinearClassifier(call)(x)


@layer("LinearClassifier", domain=_DOMAIN)
def _classifier_layer(call: Call, constants: Sequence[Given]) -> nn.Module | None:
    return LinearClassifier(call) if call.given == (0,) else None


# Support vectors


def _machine(call: Call, rows: int) -> Machine | None:
    """The kernel of a node and its vectors; None for a linear model without them."""
    counts = call.get("vectors_per_class")
    count = int(sum(counts)) if counts else int(call.get("n_supports", 0))
    kind = call.choice("kernel_type", ("LINEAR", "POLY", "RBF", "SIGMOID"))
    if not count:
        return None
    vectors, weights = (
        _weights(call, n, name) for n, name in ((count, "support_vectors"), (rows, "coefficients"))
    )
    if weights.shape[1] != count:
        raise call.error(f"coefficients must be {rows} for each of {count} vectors, got {weights.size}")
    gamma, offset, degree = map(float, (*call.get("kernel_params", ()), 0.0, 0.0, 0.0)[:3])
    settings = (gamma, offset, degree)
    doubles = (vectors.astype(np.float64), weights.astype(np.float64))
    return Machine(*doubles, _floats(call, "rho", 0.0).astype(np.float64), kind, settings)


@operator("SVMRegressor", domain=_DOMAIN)
def _support_regressor(call: Call, x: Array) -> Array:
    x, machine = as_floats(as_rows(x)), _machine(call, 1)
    if machine is None:
        made = F.linear(x, _weights(call, 1), _floats(call, "rho", 0.0))
    else:
        made = graph.apply("onnx.support_vector_sums", x, *machine.arguments)
    if call.get("one_class"):
        made = np.where(made > 0, np.float32(1), np.float32(-1))
    return of_targets(call, made)


@operator("SVMClassifier", domain=_DOMAIN)
def _support_classifier(call: Call, x: Array) -> Outputs:
    """Classes vote in pairs; scores are the pairs' decisions, or probabilities of classes."""
    labels = classes_of(call, "classlabels_strings", "classlabels_ints")
    counts = tuple(map(int, call.get("vectors_per_class", ())))
    if len(counts) != len(labels):
        raise call.error(f"vectors_per_class must be {len(labels)} numbers, got {len(counts)}")
    pairs = len(labels) * (len(labels) - 1) // 2
    sigmoid = None
    if call.get("prob_a"):
        sigmoid = np.stack([_floats(call, name).astype(np.float64) for name in ("prob_a", "prob_b")])
    machine = _machine(call, len(labels) - 1)
    if machine is None or machine.rho.size != pairs or (sigmoid is not None and sigmoid.shape[1] != pairs):
        raise call.error(f"rho, prob_a and prob_b must be {pairs} numbers, one for each pair of classes")
    places, scores = graph.apply(
        "onnx.support_vector_votes", as_floats(as_rows(x)), *machine.arguments, counts, sigmoid
    )
    if len(labels) == 2 and sigmoid is None:
        scores = np.concatenate([-scores, scores], axis=1)
    return labelled(labels, places), scores_of(call, scores)
