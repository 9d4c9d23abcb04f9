"""`Model`: how it is called, what it says of itself, what it refuses; beside onnxruntime."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import onnx
import pytest
import quantray as qt
from exact_onnxruntime import needs_exact_onnxruntime
from onnx import TensorProto, helper
from quantray import nn
from quantray import quantization as tq
from quantray.onnx import Value, load
from single_node import here, in_onnxruntime, single_node
from small_files import agrees, file_of, peer, value

WEIGHT = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def two_by_two():
    """Of `a` and `b`: their sum's product with a weight, and their difference."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"], name="sum"),
        helper.make_node("MatMul", ["sum", "w"], ["product"], name="product"),
        helper.make_node("Sub", ["a", "b"], ["difference"], name="difference"),
    ]
    inputs = [value("a", ["n", 6]), value("b", ["n", 6])]
    outputs = [value("product", ["n", 3]), value("difference", ["n", 6])]
    made = file_of(nodes, inputs, outputs, [("w", WEIGHT)])
    helper.set_model_props(made, {"who": "nobody", "why": "to be read"})
    return made


@pytest.fixture
def model():
    return load(two_by_two().SerializeToString())


@pytest.fixture
def pair(rng):
    return tuple(rng.standard_normal((2, 4, 6)).astype(np.float32))


# Calls


def test_each_way_to_call_gives_the_same(model, pair):
    a, b = pair
    want = peer(two_by_two(), {"a": a, "b": b})
    for made in (model(a, b), model(a=a, b=b), model(b=b, a=a), model(a, b=b), model({"b": b, "a": a})):
        assert isinstance(made, tuple)
        for one, two in zip(made, want, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_run_gives_outputs_by_name(model, pair):
    feeds = dict(zip("ab", pair, strict=True))
    for names in (None, ["difference"], ["difference", "product"], ["product", "product"], []):
        want, got = peer(two_by_two(), feeds, names), model.run(names, feeds)
        assert isinstance(got, list)
        for one, two in zip(got, want, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"output_names must be of product, difference, got 'nothing'"):
        model.run(["nothing"], feeds)


def test_what_numpy_makes_arrays_of_is_taken(model, pair):
    a, b = pair
    want = model(a, b)
    for other in (a.tolist(), a.astype(np.float64), np.asfortranarray(a)):
        np.testing.assert_array_equal(model(other, b)[1], want[1])
    ints = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(model(ints, np.zeros((4, 6), int))[1], ints.astype(np.float32))
    q = qt.quantize_per_tensor(a, 0.05, 0, qt.qint8)
    np.testing.assert_array_equal(model(q, b)[1], q.dequantize() - b)


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        (1, {}, r"inputs are missing: b float32 \(n, 6\)"),
        (0, {}, r"inputs are missing: a float32 \(n, 6\); b"),
        (0, {"b": 0}, r"inputs are missing: a"),
        (2, {"c": 0}, r"there is no input 'c'; there are a, b"),
        (2, {"a": 0}, r"the input 'a' is given twice"),
        (3, {}, r"takes 2 inputs \(a, b\), got 3"),
    ],
)
def test_inputs_that_are_not_the_models(model, pair, args, kwargs, said):
    given = [pair[0]] * args
    with pytest.raises(TypeError, match=said):
        model(*given, **dict.fromkeys(kwargs, pair[0]))


def test_a_mapping_is_looked_at_likewise(model, pair):
    a, b = pair
    with pytest.raises(TypeError, match="there is no input 'c'"):
        model({"a": a, "c": b})
    with pytest.raises(TypeError, match="inputs are missing: b"):
        model({"a": a})
    with pytest.raises(TypeError, match="inputs are missing: b"):
        model.run(None, {"a": a})


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (
            np.zeros((4, 6), np.float32),
            np.zeros((5, 6), np.float32),
            "n is one length: 4 of a, and 5 of b, axis 0",
        ),
        (np.zeros((4, 7), np.float32), np.zeros((4, 6), np.float32), "a must be 6 long along axis 1"),
        (np.zeros(6, np.float32), np.zeros((4, 6), np.float32), "a must have 2 axes"),
        (np.zeros((4, 6), np.float32), np.zeros((1, 4, 6), np.float32), "b must have 2 axes"),
        (
            np.zeros((4, 6), complex),
            np.zeros((4, 6), np.float32),
            "a must be an array of float32, got complex128",
        ),
        (np.array([["x"] * 6]), np.zeros((1, 6), np.float32), "a must be an array of float32, got <U1"),
        (np.zeros((4, 6), bool), np.zeros((4, 6), np.float32), "a must be an array of float32, got bool"),
    ],
)
def test_arrays_that_do_not_fit(model, a, b, said):
    with pytest.raises(ValueError, match=said):
        model(a, b)


def test_whole_numbers_are_not_cut():
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    made = file_of(nodes, [value("x", ["n"], TensorProto.INT32)], [value("y", ["n"], TensorProto.INT32)])
    model = load(made.SerializeToString())
    np.testing.assert_array_equal(model(np.array([1, -2], np.int64)), [-1, 2])
    with pytest.raises(ValueError, match="x must be an array of int32, got float64"):
        model(np.array([1.5]))
    with pytest.raises(ValueError, match="x must be of int32's range"):
        model(np.array([2**40]))


# What it says of itself


def test_what_it_is_asked(model):
    assert model.inputs == (Value("a", "float32", ("n", 6)), Value("b", "float32", ("n", 6)))
    assert model.outputs == (Value("product", "float32", ("n", 3)), Value("difference", "float32", ("n", 6)))
    assert str(model.inputs[0]) == "a float32 (n, 6)"
    assert str(Value("x", "int64", (None,))) == "x int64 (?,)"
    assert str(Value("x", "int64", None)) == "x int64"
    assert model.metadata == {"who": "nobody", "why": "to be read"}
    assert (model.opset, model.producer) == (17, "tests")
    model.metadata["who"] = "somebody"
    assert model.metadata["who"] == "nobody"


def test_its_table(model):
    lines = repr(model).splitlines()
    assert lines[0] == "Model of 3 steps, opset 17, by tests"
    assert lines[1] == "inputs: a float32 (n, 6); b float32 (n, 6)"
    assert lines[2] == "outputs: product float32 (n, 3); difference float32 (n, 6)"
    assert {line.split()[0] for line in lines[6:]} == {"Add", "Linear", "Sub"}


# Free lengths


def test_one_graph_for_all_lengths(rng):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Shape", ["r"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["r", "flat"], ["y"]),
    ]
    held = [
        ("w", rng.standard_normal((4, 3, 3, 3)).astype(np.float32)),
        ("zero", np.array([0])),
        ("rest", np.array([4, -1])),
    ]
    made = file_of(nodes, [value("x", ["n", 3, "h", "w"])], [value("y", ["n", 4, None])], held)
    model = load(made.SerializeToString())
    for shape in [(1, 3, 8, 8), (2, 3, 8, 8), (2, 3, 16, 24), (5, 3, 7, 9), (1, 3, 8, 8)]:
        x = rng.standard_normal(shape).astype(np.float32)
        for _ in range(2):
            np.testing.assert_allclose(model(x), peer(made, {"x": x})[0], rtol=1e-4, atol=1e-4)
    assert len(model._program.graphs) == 1


# Types


def test_float16_files(rng):
    weight = rng.standard_normal((6, 3)).astype(np.float16)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Tanh", ["p"], ["y"])]
    half = TensorProto.FLOAT16
    made = file_of(nodes, [value("x", ["n", 6], half)], [value("y", ["n", 3], half)], [("w", weight)])
    model, x = load(made.SerializeToString()), rng.standard_normal((4, 6)).astype(np.float16)
    want = np.tanh(x.astype(np.float64) @ weight.astype(np.float64))
    assert model.inputs[0].dtype == model.outputs[0].dtype == "float16"
    for given in (x, x.astype(np.float32)):
        np.testing.assert_allclose(np.asarray(model(given), np.float64), want, atol=2e-3)


# A module like others


def test_copies_and_pickles(model, pair):
    want = model(*pair)
    for other in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert other.inputs == model.inputs
        assert other.metadata == model.metadata
        for one, two in zip(other(*pair), want, strict=True):
            np.testing.assert_array_equal(one, two)
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        parameter *= 0
    assert np.abs(model(*pair)[0]).max() > 0


def test_its_state_goes_round(model, pair, tmp_path):
    want, state = model(*pair), model.state_dict()
    assert any(np.array_equal(array, WEIGHT.T) or np.array_equal(array, WEIGHT) for array in state.values())
    other = load(two_by_two().SerializeToString())
    other.load_state_dict({name: np.zeros_like(array) for name, array in state.items()})
    assert np.abs(other(*pair)[0]).max() == 0
    other.load_state_dict(state)
    np.testing.assert_array_equal(other(*pair)[0], want[0])
    model.save(tmp_path / "state")
    other.load_state_dict(tmp_path / "state")
    np.testing.assert_array_equal(other(*pair)[0], want[0])


def network(rng):
    """Two products with ReLU between, as exporters write them."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1, name="first"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], transB=1, name="second"),
    ]
    held = [
        (name, rng.standard_normal(shape).astype(np.float32) / 3)
        for name, shape in (("w1", (16, 6)), ("b1", 16), ("w2", (3, 16)), ("b2", 3))
    ]
    return file_of(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], held)


def test_a_step_of_training(rng):
    pytest.importorskip("autograd")
    model = load(network(rng).SerializeToString())
    x, y = rng.standard_normal((32, 6)).astype(np.float32), rng.integers(0, 3, 32)

    def loss_fn(model, x, y):
        return nn.functional.cross_entropy(model(x), y)

    qat = tq.prepare_qat(model, tq.get_default_qat_qconfig_mapping(), x)
    qat.train()
    step, optimizer = nn.value_and_grad(qat, loss_fn), qt.optim.SGD(0.1)
    before = {name: np.array(array) for name, array in qat.named_parameters()}
    losses = []
    for _ in range(5):
        loss, grads = step(qat, x, y)
        optimizer.update(qat, grads)
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert all(np.any(array != before[name]) for name, array in qat.named_parameters())
    qat.eval()
    int8 = tq.convert(qat)
    steps = np.abs(int8(x) - qat(x)).max()
    assert steps < 0.1


def test_quantized_by_batches_of_names(rng):
    proto = two_by_two()
    model = load(proto.SerializeToString())
    batches = [{"b": b, "a": a} for a, b in rng.standard_normal((8, 2, 16, 6)).astype(np.float32)]
    int8 = tq.quantize(model, batches, verbose=False)
    for feeds in batches[:2]:
        want = peer(proto, feeds)
        for made in (int8(**feeds), int8(feeds), int8.run(None, feeds)):
            # The difference of two inputs is given as it is: nothing after it would gain by integers.
            assert 0 < np.abs(made[0] - want[0]).max() < 0.2
            assert np.abs(made[1] - want[1]).max() < 0.2
    same = tq.quantize(model, [tuple(feeds[name] for name in "ab") for feeds in batches], verbose=False)
    np.testing.assert_array_equal(same(**batches[0])[0], int8(**batches[0])[0])
    with pytest.raises(TypeError, match="inputs are missing: b"):
        int8(batches[0]["a"])


@needs_exact_onnxruntime
def test_saved_and_read_again(rng, tmp_path):
    proto = network(rng)
    model, x = load(proto.SerializeToString()), rng.standard_normal((64, 6)).astype(np.float32)
    want = peer(proto, {"x": x})[0]
    for name, made in {
        "float": model,
        "static": tq.quantize(model, x, verbose=False),
        "dynamic": tq.quantize_dynamic(model),
    }.items():
        path = tmp_path / f"{name}.onnx"
        qt.onnx.save(made, path)
        onnx.checker.check_model(onnx.load(path), full_check=True)
        (theirs,) = peer(path.read_bytes(), {"x": x})
        np.testing.assert_allclose(load(path)(x), theirs, atol=0.02)
        assert np.abs(theirs - want).max() < (1e-5 if name == "float" else 0.1)


def test_a_file_holds_nothing_of_no_use(rng, tmp_path):
    model = load(network(rng).SerializeToString())
    qt.onnx.save(
        tq.quantize(model, rng.standard_normal((64, 6)).astype(np.float32), verbose=False), tmp_path / "q"
    )
    graph = onnx.load(tmp_path / "q").graph
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    assert {tensor.name for tensor in graph.initializer} <= used
    assert all(used.intersection(node.output) for node in graph.node)
    # Each weight once.
    sizes = sorted(np.prod(tensor.dims) for tensor in graph.initializer if len(tensor.dims) == 2)
    assert sizes == [48, 96]


@pytest.mark.parametrize("op", ["Gemm", "Conv", "ConvTranspose"])
def test_products_whose_sum_is_given(rng, op):
    """Weights that are constants, beside a bias that is not."""
    shape, weight = ((5, 4), (4, 6)) if op == "Gemm" else ((2, 3, 8, 8), (3, 3, 2, 2))
    inputs = {"x": rng.standard_normal(shape, np.float32), "w": rng.standard_normal(weight, np.float32)}
    inputs["b"] = rng.standard_normal((5, 1) if op == "Gemm" else (3,), np.float32)
    given = {"alpha": -2.0, "beta": 0.5} if op == "Gemm" else {}
    model = single_node(op, inputs, constants={"w"}, **given)
    np.testing.assert_allclose(here(model, inputs)[0], in_onnxruntime(model, inputs)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", [("c/depthwise", "c"), ("c/Conv", "c"), ("c", "c/MatMul/x")])
def test_a_node_that_is_called_as_the_scope_of_another(rng, names):
    """TensorFlow calls a separable convolution so; what takes one layer's place leaves the other."""
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["between"], name=names[0]),
        helper.make_node("MatMul", ["between", "w"], ["y"], name=names[1]),
    ]
    held = [("v", rng.standard_normal((6, 6), np.float32)), ("w", WEIGHT)]
    proto = file_of(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], held)
    model = agrees(proto, {"x": rng.standard_normal((5, 6), np.float32)})
    x = rng.standard_normal((64, 6), np.float32)
    int8 = tq.quantize(model, x, verbose=False)
    assert sum(line.in_integers for line in tq.report(int8).lines) >= 2
    assert np.abs(int8(x) - model(x)).max() < 0.05 * np.abs(model(x)).max()
