"""Operators of texts: they come as NumPy's arrays of str, and become numbers."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray import graph
from quantray.onnx.operators._registry import Array, Call, Outputs, operator

_ML, _MICROSOFT = "ai.onnx.ml", "com.microsoft"


def _words(call: Call, name: str) -> tuple[str, ...]:
    return tuple(map(str, call.get(name, ())))


@operator("StringConcat")
def _concat(call: Call, a: Array, b: Array) -> Array:
    return graph.apply("onnx.joined_texts", a, b)


@operator("StringSplit")
def _split(call: Call, x: Array) -> Outputs:
    most = call.get("maxsplit")
    return graph.apply("onnx.split_texts", x, call.get("delimiter"), None if most is None else int(most))


@operator("RegexFullMatch")
def _matches(call: Call, x: Array) -> Array:
    return graph.apply("onnx.matches", x, str(call.get("pattern", "")))


@operator("StringNormalizer")
def _normalizer(call: Call, x: Array) -> Array:
    case = call.choice("case_change_action", ("NONE", "LOWER", "UPPER"))
    is_sensitive = bool(call.get("is_case_sensitive", 0))
    return graph.apply("onnx.normalized_texts", x, case, is_sensitive, _words(call, "stopwords"))


@operator("Tokenizer", domain=_MICROSOFT)
def _tokenizer(call: Call, x: Array) -> Array:
    expression, separators = call.get("tokenexp"), _words(call, "separators")
    settings = (int(call.get("mincharnum", 1)), bool(call.get("mark", 0)), str(call.get("pad_value", "#")))
    return graph.apply("onnx.tokens", x, expression, separators, *settings)


@operator("TfIdfVectorizer")
def _vectorizer(call: Call, x: Array) -> Array:
    words = call.get("pool_strings")
    pool = np.array(call.need("pool_int64s") if words is None else list(map(str, words)))
    weights = call.get("weights")
    lengths = int(call.need("min_gram_length")), int(call.need("max_gram_length"))
    if lengths[0] < 1 or lengths[1] < lengths[0]:
        raise call.error(
            f"min_gram_length must be from 1 to max_gram_length, got {lengths[0]} and {lengths[1]}"
        )
    return graph.apply(
        "onnx.grams",
        x,
        pool,
        call.integers("ngram_counts", ()),
        call.integers("ngram_indexes", ()),
        None if weights is None else np.asarray(weights, np.float32),
        lengths,
        int(call.get("max_skip_count", 0)),
        call.choice("mode", ("TF", "IDF", "TFIDF")),
    )


@operator("CategoryMapper", domain=_ML)
def _category(call: Call, x: Array) -> Array:
    """From texts to integers, or back."""
    numbers, words = np.asarray(call.need("cats_int64s"), np.int64), np.array(_words(call, "cats_strings"))
    if len(numbers) != len(words):
        raise call.error(f"it must have as many texts as integers, got {len(words)} and {len(numbers)}")
    if x.dtype.kind in "iu":
        default = np.array(str(call.get("default_string", "_Unused")))
        return graph.apply("onnx.looked_up", x, numbers, words, default)
    return graph.apply("onnx.looked_up", x, words, numbers, np.int64(call.get("default_int64", -1)))
