"""Sequences and optional values inside of models, and as what they are called with, beside onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import quantray as qt  # noqa: E402
from quantray import quantization as tq  # noqa: E402

HEAD = '<ir_version: 9, opset_import: ["" : 17]>'


def both(text):
    """One model here, and in onnxruntime."""
    file = onnx.parser.parse_model(HEAD + text).SerializeToString()
    return qt.onnx.load(file), onnxruntime.InferenceSession(file)


#: A recurrence that collects its states, as torch writes a loop that appends to a list.
COLLECTS = """
m (float[n,6,4] x) => (float[n,6,4] y) {
  many = Constant <value = int64 {6}> ()
  yes = Constant <value = bool {1}> ()
  half = Constant <value = float {0.5}> ()
  first = Constant <value = int64[1] {0}> ()
  one_axis = Constant <value = int64[1] {1}> ()
  zeros = ReduceSum <keepdims = 0> (x, one_axis)
  none = SequenceEmpty <dtype = 1> ()
  last, all = Loop (many, yes, zeros, none) <body = step
    (int64 i, bool go, float[n,4] h, seq(float[n,4]) seen) =>
    (bool again, float[n,4] next, seq(float[n,4]) more) {
      again = Identity (go)
      row = Gather <axis = 1> (x, i)
      sum = Add (row, h)
      scaled = Mul (sum, half)
      next = Tanh (scaled)
      more = SequenceInsert (seen, next)
    }>
  y = ConcatFromSequence <axis = 1, new_axis = 1> (all)
}
"""


def test_a_loop_that_collects_states():
    model, session = both(COLLECTS)
    for rows in (3, 5):
        x = np.random.default_rng(rows).standard_normal((rows, 6, 4), np.float32)
        np.testing.assert_allclose(model(x), session.run(None, {"x": x})[0], rtol=1e-5, atol=1e-6)


# Parts that are given lengths keep their axis by the standard, where onnxruntime fails.
@pytest.mark.parametrize(("split", "keepdims"), [("", 0), ("", 1), ("two", 1), ("lengths", 1)])
def test_parts_of_an_array(split, keepdims):
    given = {"": "(x)", "two": "(x, two)", "lengths": "(x, lengths)"}[split]
    model, session = both(
        f"""m (float[3,5] x) => (seq(float) parts, int64 count) {{
          two = Constant <value = int64 {{2}}> ()
          lengths = Constant <value = int64[3] {{1, 3, 1}}> ()
          parts = SplitToSequence <axis = 1, keepdims = {keepdims}> {given}
          count = SequenceLength (parts)
        }}"""
    )
    x = np.arange(15, dtype=np.float32).reshape(3, 5)
    parts, count = model(x)
    wanted, number = session.run(None, {"x": x})
    assert isinstance(parts, list)
    assert int(count) == int(number) == len(parts)
    for part, known in zip(parts, wanted, strict=True):
        np.testing.assert_array_equal(part, known)


def test_sequences_are_inputs_and_outputs():
    model, session = both(
        """m (seq(float) items, float[2] x, int64 at) => (seq(float) y, float[2] z) {
          more = SequenceInsert (items, x, at)
          last = Constant <value = int64 {-1}> ()
          y = SequenceErase (more, last)
          z = SequenceAt (more, at)
        }"""
    )
    items = [np.full(2, i, np.float32) for i in range(3)]
    x = np.array([7, 8], np.float32)
    for at in (0, 1, -2):
        given = {"items": items, "x": x, "at": np.array(at)}
        y, z = model(**given)
        wanted_y, wanted_z = session.run(None, given)
        np.testing.assert_array_equal(y, wanted_y)
        np.testing.assert_array_equal(z, wanted_z)
    assert str(model.inputs[0]) == "items sequence of float32"
    with pytest.raises(ValueError, match="items must be a list of arrays of float32, got ndarray"):
        model(np.zeros((3, 2), np.float32), x, np.array(0))
    with pytest.raises(ValueError, match="items must be an array of float32, got complex"):
        model([x * 1j], x, np.array(0))
    with pytest.raises(ValueError, match=r"SequenceInsert.*the position must be from -3 to 3, got 9"):
        model(items, x, np.array(9))


def test_what_is_between_parts_is_quantized():
    model, session = both(
        """m (float[n,8] x) => (float[n,12] y)
        <float[4,6] a = {AAAA}, float[4,6] b = {BBBB}>
        {
          four = Constant <value = int64 {4}> ()
          zero = Constant <value = int64 {0}> ()
          one = Constant <value = int64 {1}> ()
          parts = SplitToSequence <axis = 1> (x, four)
          left = SequenceAt (parts, zero)
          right = SequenceAt (parts, one)
          p = MatMul (left, a)
          q = MatMul (right, b)
          both = SequenceConstruct (p, q)
          y = ConcatFromSequence <axis = 1> (both)
        }""".replace("AAAA", ", ".join(str(i / 24 - 0.5) for i in range(24))).replace(
            "BBBB", ", ".join(str(0.4 - i / 30) for i in range(24))
        )
    )
    x = np.random.default_rng(0).standard_normal((64, 8), np.float32)
    wanted = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(model(x), wanted, rtol=1e-5, atol=1e-6)
    for small in (tq.quantize(model, x, verbose=False), tq.quantize_dynamic(model)):
        made = small(x)
        assert 0 < np.abs(made - wanted).max() < 0.03 * np.abs(wanted).max()
        assert str(tq.report(small)).count("qint8") == 2


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("empty = SequenceEmpty <dtype = 1> () \n y = ConcatFromSequence <axis = 0> (empty)", "is empty"),
        ("empty = SequenceEmpty <dtype = 1> () \n y = SequenceErase (empty)", "is empty"),
        (
            "s = SequenceConstruct (x) \n two = Constant <value = int64 {2}> () \n y = SequenceAt (s, two)",
            "from -1 to 0, got 2",
        ),
        ("none = Constant <value = int64 {0}> () \n y = SplitToSequence (x, none)", "split must be positive"),
        (
            "l = Constant <value = int64[2] {1, 1}> () \n y = SplitToSequence (x, l)",
            r"split must add up to 3, got \[1, 1\]",
        ),
        ("y = SequenceLength (x)", r"takes a sequence, got an array of shape \(3,\)"),
        ("y = OptionalGetElement (maybe)", "the optional value has no element"),
    ],
)
def test_what_is_wrong_is_said(body, error):
    text = f"{HEAD} m (float[3] x, optional(tensor(float)) maybe) => (float y) {{ {body} }}"
    model = qt.onnx.load(
        onnx.parser.parse_model(text.replace("tensor(float)", "float[3]")).SerializeToString()
    )
    with pytest.raises(ValueError, match=error):
        model(np.zeros(3, np.float32), None)


def test_maps_are_refused():
    text = f"{HEAD} m (map(int64, float) x) => (float y) {{ y = Identity (x) }}"
    file = onnx.parser.parse_model(text).SerializeToString()
    with pytest.raises(ValueError, match=r"x must be a tensor, a sequence of tensors .* it is map"):
        qt.onnx.load(file)
