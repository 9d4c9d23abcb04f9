"""Texts, as onnxruntime computes with them: arrays of str in, numbers out."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
import quantray as qt
from onnx import TensorProto, helper, numpy_helper
from quantray import quantization as tq
from single_node import here, in_onnxruntime, single_node

TEXT = TensorProto.STRING
WORDS = np.array(["good film", "a-b_c 12", " x  y", "", "zażółć gęślą", "aaa bbb;ccc"], object)
SHAPES = [(6,), (6, 1), (2, 3), (1, 6)]


def compare(op, inputs, outputs=None, types=None, **settings):
    types = {**dict.fromkeys(inputs, TEXT), "y": TEXT, **(types or {})}
    model = single_node(op, inputs, outputs, types=types, **settings)
    for ours, theirs in zip(here(model, inputs), in_onnxruntime(model, inputs), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype.kind == ("U" if theirs.dtype == object else theirs.dtype.kind)
        np.testing.assert_array_equal(ours.astype(str), theirs.astype(str))


TOKENS = [
    {"tokenexp": "[a-z]+"},
    {"tokenexp": "[a-zA-Z0-9_]+"},
    {"separators": [""]},
    {"separators": [" "]},
    {"separators": [" ", ";"]},
    {"separators": ["[ ;]+"]},
]


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
@pytest.mark.parametrize("settings", TOKENS, ids=str)
@pytest.mark.parametrize(("mark", "least"), [(0, 1), (1, 1), (0, 2), (1, 3)])
def test_tokens(shape, settings, mark, least):
    least = 1 if settings.get("separators") == [""] else least
    more = {"mark": mark, "mincharnum": least, "pad_value": "#", "domain": "com.microsoft"}
    compare("Tokenizer", {"x": WORDS.reshape(shape)}, **more, **settings)


@pytest.mark.parametrize("shape", [(6,), (1, 6)], ids=str)
@pytest.mark.parametrize("case", ["LOWER", "UPPER", "NONE"])
@pytest.mark.parametrize("words", [[], ["GOOD FILM", ""], ["good film", "aaa bbb;ccc"]], ids=str)
@pytest.mark.parametrize("is_case_sensitive", [0, 1])
def test_letters_and_words_that_are_left_out(shape, case, words, is_case_sensitive):
    # The locale that every machine has, which knows no other letters than these.
    plain = np.array([text if text.isascii() else "Plain" for text in WORDS], object)
    settings = {"case_change_action": case, "is_case_sensitive": is_case_sensitive, "locale": "C"}
    settings |= {"stopwords": words} if words else {}
    compare("StringNormalizer", {"x": plain.reshape(shape)}, **settings)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("settings", [{}, {"delimiter": " "}, {"delimiter": "b", "maxsplit": 2}], ids=str)
def test_parts(shape, settings):
    types = {"z": TensorProto.INT64}
    compare("StringSplit", {"x": WORDS.reshape(shape)}, ["y", "z"], types, **settings)


def test_joined_and_equal():
    compare("StringConcat", {"a": WORDS, "b": WORDS[::-1].copy()})
    compare("StringConcat", {"a": WORDS.reshape(2, 3), "b": WORDS[:3]})
    for b in (WORDS[::-1].copy(), WORDS[:1]):
        compare("Equal", {"a": WORDS, "b": b}, types={"y": TensorProto.BOOL})


def test_numbers_as_texts_and_back():
    floats = np.float32([1.5, 1e20, -0.1, 1 / 3, np.nan, np.inf, -np.inf, 123456789, 1e-7, 0, 100])
    for x, kind in ((floats, 1), (np.array([1, -5, 2**40]), 7), (np.array([True, False]), 9)):
        compare("Cast", {"x": x}, types={"x": kind}, to=TEXT)
    for x, kind in (((["1.5", "-3", "1e3", "nan"]), 1), (["15", "-3"], 7)):
        compare("Cast", {"x": np.array(x, object)}, types={"y": kind}, to=kind)


VALUES = {
    "strings": ["one", "two", "three"],
    "int64s": [10, -20, 30],
    "floats": [0.5, 1.5, -2.5],
}


@pytest.mark.parametrize(("keys", "values"), list(product(VALUES, VALUES)))
def test_labels(keys, values):
    known = {
        "strings": np.array(["two", "no", "one", "three", ""], object),
        "int64s": np.array([-20, 10, 7, 30]),
        "floats": np.float32([1.5, 0.1, -2.5]),
    }
    kinds = {"strings": TEXT, "int64s": TensorProto.INT64, "floats": TensorProto.FLOAT}
    types = {"x": kinds[keys], "y": kinds[values]}
    settings = {f"keys_{keys}": VALUES[keys], f"values_{values}": VALUES[values][::-1]}
    more = {"domain": "ai.onnx.ml", "version": 3}
    compare("LabelEncoder", {"x": known[keys]}, types=types, **more, **settings)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize(("shortest", "longest", "skips"), [(1, 1, 0), (1, 2, 0), (2, 2, 2), (1, 3, 1)])
@pytest.mark.parametrize("kind", ["texts", "integers"])
def test_counts_of_sequences(rng, mode, shortest, longest, skips, kind):
    pool = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 2, 3, 4]
    settings = {
        "ngram_counts": [0, 4, 10],
        "ngram_indexes": [0, 1, 2, 3, 4, 6, 5, 7],
        "weights": rng.random(8).tolist(),
        "min_gram_length": shortest,
        "max_gram_length": longest,
        "max_skip_count": skips,
        "mode": mode,
    }
    x = rng.integers(2, 9, (4, 12))
    if kind == "texts":
        x, settings["pool_strings"] = x.astype(str).astype(object), list(map(str, pool))
    else:
        settings["pool_int64s"] = pool
    types = {"x": TEXT if kind == "texts" else TensorProto.INT64, "y": TensorProto.FLOAT}
    for rows in (x, x[0]):
        compare("TfIdfVectorizer", {"x": rows}, types=types, **settings)


def model_of_colours(rng):
    """Numbers beside a category, and layers after both."""
    held = [numpy_helper.from_array(np.array([-1, 3]), "shape")]
    for name, shape in (("w", (7, 16)), ("v", (16, 2))):
        held.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 4, name))
    nodes = [
        helper.make_node(
            "OneHotEncoder", ["colour"], ["one"], domain="ai.onnx.ml", cats_strings=["red", "green", "blue"]
        ),
        helper.make_node("Reshape", ["one", "shape"], ["flat"]),
        helper.make_node("Concat", ["x", "flat"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    colour = helper.make_tensor_value_info("colour", TEXT, ["n", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "g", [x, colour], [y], held)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_a_model_that_takes_texts_is_quantized_saved_and_read(rng, tmp_path):
    made = model_of_colours(rng).SerializeToString()
    model, session = qt.onnx.load(made), onnxruntime.InferenceSession(made)
    colours = np.array(["red", "green", "blue", "none of these", "a colour with a name that is long"], object)

    def feeds(rows):
        colour = rng.choice(colours, (rows, 1))
        return {"x": rng.standard_normal((rows, 4)).astype(np.float32), "colour": colour}

    int8 = tq.quantize(model, [feeds(64)], verbose=False)
    path = tmp_path / "int8.onnx"
    qt.onnx.save(int8, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    again = qt.onnx.load(path)
    for rows in (1, 3, 64):
        given = feeds(rows)
        (want,) = session.run(None, given)
        np.testing.assert_allclose(model.run(None, given)[0], want, atol=1e-6)
        for each in (int8, again):
            np.testing.assert_allclose(each.run(None, given)[0], want, atol=0.05)


def test_what_is_no_text_is_refused(rng):
    model, x = qt.onnx.load(model_of_colours(rng).SerializeToString()), np.zeros((1, 4), np.float32)
    for wrong, said in ((np.zeros((1, 1)), "float64"), (np.array([[None]]), "objects that are none")):
        with pytest.raises(ValueError, match=f"colour must be an array of str, got {said}"):
            model(x, wrong)
