"""Ensembles of decision trees: of scikit-learn, LightGBM, XGBoost, CatBoost."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray import graph
from quantray.nn import functional as F
from quantray.onnx.functions._trees import Forest
from quantray.onnx.operators._classical import as_floats, as_rows, classes_of, labelled, of_targets, scores_of
from quantray.onnx.operators._registry import Array, Call, Outputs, operator

_DOMAIN = "ai.onnx.ml"


@operator("TreeEnsemble", domain=_DOMAIN)
def _tree_ensemble(call: Call, x: Array) -> Array:
    forest = Forest.of_ensemble(call)
    made = graph.apply("onnx.tree_scores", as_floats(as_rows(x)), *forest.arguments)
    names = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
    return scores_of(call, made, names[call.choice("post_transform", range(len(names)), 0)])


@operator("TreeEnsembleRegressor", domain=_DOMAIN)
def _tree_regressor(call: Call, x: Array) -> Array:
    forest = Forest.of(call, "target", int(call.get("n_targets", 1)))
    return of_targets(call, graph.apply("onnx.tree_scores", as_floats(as_rows(x)), *forest.arguments))


@operator("TreeEnsembleClassifier", domain=_DOMAIN)
def _tree_classifier(call: Call, x: Array) -> Outputs:
    labels = classes_of(call, "classlabels_strings", "classlabels_int64s")
    forest = Forest.of(call, "class", len(labels))
    scores = graph.apply("onnx.tree_scores", as_floats(as_rows(x)), *forest.arguments)
    if len(labels) > 2 or not forest.has_one_target:
        return labelled(labels, np.argmax(scores, axis=1)), scores_of(call, scores)
    # Two classes, of which the trees score one: by a probability, or by a number's sign.
    if np.size(call.get("base_values", ())) > (0 if forest.target else 1):
        raise call.error(
            "base_values of two classes of which one alone has weights mean another thing in every runtime"
        )
    score = scores[:, forest.target]
    labels = labelled(labels, (score > (0.5 if forest.is_positive else 0.0)).astype(np.int64))
    if forest.target:
        return labels, scores_of(call, scores)
    score = scores[:, :1]
    if call.get("post_transform", "NONE") == "LOGISTIC":
        return labels, F.sigmoid(np.concatenate([-score, score], axis=1))
    return labels, np.concatenate([1 - score if forest.is_positive else -score, score], axis=1)
