"""Operators that onnxruntime's optimizer and its tools write, as onnxruntime computes them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from quantray.onnx import load  # noqa: E402
from quantray.onnx._passes._blocked_channels import unblocked  # noqa: E402
from single_node import here, in_onnxruntime, single_node  # noqa: E402


def compare(op, inputs, outputs=None, held=(), exact=False, **settings):
    model = single_node(op, inputs, outputs, domain="com.microsoft", constants=set(held), **settings)
    for ours, theirs in zip(here(model, inputs), in_onnxruntime(model, inputs), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if exact:
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(np.abs(theirs).max(), 1))


def codes(rng, kind, *shape):
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max + 1, shape).astype(kind)


def scale(rng, *shape):
    return np.asarray(np.exp(rng.uniform(-6, -1, shape)), np.float32)


@pytest.mark.parametrize("batch", [(2,), (2, 6)], ids=str)
@pytest.mark.parametrize("flags", list(product((0, 1), repeat=4)), ids=str)
def test_products_of_arrays_in_other_orders(rng, batch, flags):
    names = ("transA", "transB", "transBatchA", "transBatchB")

    def array(rows, columns, is_turned, is_first):
        shape = [*batch, *((columns, rows) if is_turned else (rows, columns))]
        # The axis before the last one stands before those of the batch.
        shape = [shape[-2], *shape[:-2], shape[-1]] if is_first else shape
        return rng.standard_normal(shape).astype(np.float32)

    inputs = {"a": array(3, 4, flags[0], flags[2]), "b": array(4, 5, flags[1], flags[3])}
    compare("FusedMatMul", inputs, alpha=0.5, **dict(zip(names, flags, strict=True)))


@pytest.mark.parametrize("held", [(), ("b", "greatest")], ids=["inputs", "constants"])
@pytest.mark.parametrize("size", [(64, 8, 16), (20, 7, 16), (5, 3, 16), (48, 3, 64)], ids=str)
@pytest.mark.parametrize("kind", [0, 1])
def test_weights_of_floats_of_four_bits(rng, kind, size, held):
    k, n, block = size
    inputs = {
        "a": rng.standard_normal((3, k)).astype(np.float32),
        "b": codes(rng, np.uint8, -(-k * n // 2)),
        "greatest": rng.random(-(-k * n // block), np.float32),
    }
    compare("MatMulBnb4", inputs, held=held, K=k, N=n, block_size=block, quant_type=kind)


def test_too_few_codes_of_four_bits_are_an_error(rng):
    inputs = {
        "a": np.zeros((1, 16), np.float32),
        "b": codes(rng, np.uint8, 7),
        "greatest": np.ones(1, np.float32),
    }
    model = single_node("MatMulBnb4", inputs, domain="com.microsoft", K=16, N=1, block_size=16, quant_type=1)
    with pytest.raises(ValueError, match="1 rows of 16 needs 8 bytes and 1 factors, got 7 and 1"):
        here(model, inputs)


SHAPES = [((3, 4),) * 3, ((3, 4), (4,), (3, 1)), ((), (3, 4), (4,)), ((2, 1, 4), (3, 1), (1,))]


@pytest.mark.parametrize("is_same", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_one_of_two_quantized_arrays(rng, shapes, kind, is_same):
    grid = scale(rng), codes(rng, kind)
    inputs = {
        "condition": rng.random(shapes[2]) > 0.5,
        "a": codes(rng, kind, *shapes[0]),
        "a_scale": grid[0],
        "a_zero": grid[1],
        "b": codes(rng, kind, *shapes[1]),
        "b_scale": scale(rng),
        "b_zero": codes(rng, kind),
        "scale": grid[0] if is_same else scale(rng),
        "zero": grid[1] if is_same else codes(rng, kind),
    }
    # Constant scales are written out in floats, inputs computed as they are.
    for held in ((), set(inputs) - {"condition", "a", "b"}):
        compare("QLinearWhere", inputs, held=held, exact=True)


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("has_segments", [False, True])
def test_embeddings_of_integers(rng, has_segments, has_mask):
    def only(there, value):
        return value if there else None

    inputs = {
        "ids": rng.integers(0, 10, (2, 5)).astype(np.int32),
        "segments": only(has_segments, rng.integers(0, 2, (2, 5)).astype(np.int32)),
        "words": codes(rng, np.uint8, 10, 8),
        "places": codes(rng, np.uint8, 7, 8),
        "kinds": only(has_segments, codes(rng, np.uint8, 2, 8)),
        "gain": codes(rng, np.uint8, 8),
        "shift": codes(rng, np.uint8, 8),
        "mask": only(has_mask, (np.arange(5) < [[3], [5]]).astype(np.int32)),
    }
    for what, make in (("scale", lambda: scale(rng)), ("zero", lambda: codes(rng, np.uint8))):
        for name in ("words", "places", "kinds", "gain", "shift"):
            inputs[f"{name}_{what}"] = only(name != "kinds" or has_segments, make())
    held = {name for name, x in inputs.items() if x is not None} - {"ids", "segments", "mask"}
    compare("QEmbedLayerNormalization", inputs, ["y", "count"], held, types={"count": TensorProto.INT32})


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("seed", range(12))
def test_convolutions_of_integers_with_channels_last(seed, dims):
    rng = np.random.default_rng(seed)
    kind, groups, kernel = (
        (np.uint8, np.int8)[seed % 2],
        (1, 2, 4)[seed % 3],
        rng.integers(1, 4, dims).tolist(),
    )
    each = (4,) if seed % 2 else ()
    inputs = {
        "x": codes(rng, kind, 1, *rng.integers(4, 8, dims), 4),
        "x_scale": scale(rng),
        "x_zero": codes(rng, kind),
        # Sums of two products that onnxruntime adds up in 16 bits on some CPUs.
        "w": rng.integers(-60, 60, (4, 4 // groups, *kernel)).astype(np.int8),
        "w_scale": scale(rng, *each),
        "w_zero": np.zeros(each, np.int8),
        "y_scale": scale(rng) * np.float32(30),
        "y_zero": codes(rng, kind),
        "bias": rng.integers(-500, 500, 4).astype(np.int32),
    }
    settings = {"kernel_shape": kernel} if seed % 4 else {}
    strides, pads = rng.integers(1, 3, dims).tolist(), rng.integers(0, 2, 2 * dims).tolist()
    settings |= {"strides": strides, "pads": pads} if seed % 3 else {}
    held = set(inputs) - {"x"}
    compare("QLinearConv", inputs, held=held, exact=True, channels_last=1, group=groups, **settings)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_pools_with_channels_last(rng, kind, dims):
    x = codes(rng, kind, 2, *range(5, 5 + dims), 3)
    settings = {"kernel_shape": [2] * dims, "strides": [2] * dims, "pads": [1] * 2 * dims}
    compare("NhwcMaxPool", {"x": x}, exact=True, ceil_mode=1, **settings)
    grids = {
        "x_scale": scale(rng),
        "x_zero": codes(rng, kind),
        "y_scale": scale(rng),
        "y_zero": codes(rng, kind),
    }
    given = {"x": x, **grids}
    compare("QLinearAveragePool", given, held=set(grids), exact=True, channels_last=1, **settings)
    compare("QLinearGlobalAveragePool", given, held=set(grids), exact=True, channels_last=1)


@pytest.mark.parametrize("activation", [0, 1])
@pytest.mark.parametrize("channels_last", [0, 1])
@pytest.mark.parametrize("has_skip", [False, True])
def test_normalizations_of_groups_of_diffusion_models(rng, has_skip, channels_last, activation):
    """onnxruntime has them for GPUs alone: by their formula, in float64."""

    def turned(x):
        return np.moveaxis(x, 1, -1) if channels_last else x

    x, skip = (rng.standard_normal((2, 6, 3, 4)).astype(np.float32) for _ in range(2))
    gain, shift, bias = (rng.standard_normal(6).astype(np.float32) for _ in range(3))
    inputs = {"x": turned(x), "gain": gain, "shift": shift}
    if has_skip:
        inputs |= {"skip": turned(skip), "bias": bias}
    total = x.astype(np.float64) + (skip + bias[:, None, None] if has_skip else 0)
    rows = total.reshape(2, 3, -1)
    rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-3)
    want = rows.reshape(x.shape) * gain[:, None, None] + shift[:, None, None]
    want = want / (1 + np.exp(-want)) if activation else want
    op = "SkipGroupNorm" if has_skip else "GroupNorm"
    settings = {"groups": 3, "epsilon": 1e-3, "activation": activation, "channels_last": channels_last}
    outputs = ["y", "sum"] if has_skip else ["y"]
    model = single_node(op, inputs, outputs, domain="com.microsoft", **settings)
    found = here(model, inputs)
    for ours, wanted in zip(found, (want, total), strict=False):
        np.testing.assert_allclose(ours, turned(wanted), atol=1e-5)


def test_convolutions_with_channels_last(rng):
    """Their weights have channels last, too, as onnxruntime's tools write them."""
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((1, 3, 6, 5), (4, 3, 3, 2)))
    bias, pads = rng.standard_normal(4).astype(np.float32), [1, 0, 1, 1]
    inputs = {"x": np.moveaxis(x, 1, -1), "w": np.moveaxis(w, 1, -1), "b": bias}
    settings = {"kernel_shape": [3, 2], "pads": pads}
    model = single_node("NhwcConv", inputs, domain="com.microsoft", constants={"w", "b"}, **settings)
    plain = single_node("Conv", {"x": x, "w": w, "b": bias}, pads=pads)
    want = in_onnxruntime(plain, {"x": x, "w": w, "b": bias})[0]
    np.testing.assert_allclose(here(model, inputs)[0], np.moveaxis(want, 1, -1), atol=1e-5)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("packed", ["all", "keys and values"])
def test_attention_whose_inputs_are_packed(rng, packed, free):
    """As tools write it for GPUs: onnxruntime has it on the CPU unpacked alone."""
    q, k, v = (rng.standard_normal((2, 5, 2, 4)).astype(np.float32) for _ in range(3))
    flat = {name: x.reshape(2, 5, 8) for name, x in (("q", q), ("k", k), ("v", v))}
    given = {"q": np.stack([q, k, v], 3)} if packed == "all" else {"q": flat["q"], "k": np.stack([k, v], 3)}
    settings = {"domain": "com.microsoft", "num_heads": 2}
    want = in_onnxruntime(single_node("MultiHeadAttention", flat, **settings), flat)[0]
    made = here(single_node("MultiHeadAttention", given, free=free, **settings), given)[0]
    np.testing.assert_allclose(made, want, atol=1e-5)


def network(rng, channels):
    """Convolutions of every kind that onnxruntime lays out, with what stands between them."""
    first, last = channels

    def weight(*shape):
        return numpy_helper.from_array(
            (rng.standard_normal(shape) / 4).astype(np.float32), f"w{len(held) + 1}"
        )

    held, nodes = [], []

    def add(op, inputs, output, *weights, **settings):
        for shape in weights:
            held.append(weight(*shape))
            inputs = [*inputs, held[-1].name]
        nodes.append(helper.make_node(op, inputs, [output], **settings))

    add("Conv", ["x"], "a", (first, 3, 3, 3), (first,), pads=[1] * 4)
    add("Relu", ["a"], "b")
    add("Conv", ["b"], "c", (first, 1, 3, 3), group=first, pads=[1] * 4)
    add("Add", ["b", "c"], "d")
    add("MaxPool", ["d"], "e", kernel_shape=[2, 2], strides=[2, 2])
    add("Conv", ["e"], "f", (last, first, 1, 1), (last,))
    add("Sigmoid", ["f"], "g")
    add("Mul", ["f", "g"], "h")
    add("AveragePool", ["h"], "i", kernel_shape=[2, 2], count_include_pad=1, pads=[1, 0, 0, 1])
    add("Conv", ["i"], "j", (last, last, 2, 1), (last,), strides=[2, 1])
    held.append(numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales"))
    add("Resize", ["j", "", "scales"], "k", mode="nearest", **FLOORED)
    add("GlobalAveragePool", ["k"], "l")
    add("Mul", ["k", "l"], "m")
    add("Transpose", ["m"], "y", perm=[0, 2, 3, 1])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in "xy")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 12, 14])
    graph = helper.make_graph(nodes, "g", [x], [y], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


FLOORED = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED", "LAYOUT", "ALL"])
@pytest.mark.parametrize("channels", [(8, 16), (12, 20), (16, 32), (24, 36)], ids=str)
def test_files_of_every_level(rng, tmp_path, channels, level):
    options, path = onnxruntime.SessionOptions(), str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath, options.log_severity_level = path, 4
    written = network(rng, channels).SerializeToString()
    session = onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])
    made = load(path)
    for rows in (1, 3):
        x = rng.standard_normal((rows, 3, 12, 14)).astype(np.float32)
        want = session.run(None, {"x": x})[0]
        np.testing.assert_allclose(made(x), want, rtol=0, atol=3e-6 * np.abs(want).max())


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("inputs", [3, 1, 16, 32])
def test_weights_in_blocks_of_channels(rng, inputs, block):
    """Block by block, as onnxruntime's MlasReorderFilterOIHWBo and OIHWBiBo say of each element."""
    weight = rng.standard_normal((32, inputs, 2, 3)).astype(np.float32)
    laid = []
    for o in range(0, 32, block):
        for i in range(0, inputs, block if inputs % block == 0 else 1):
            for at in np.ndindex(2, 3):
                for inner in range(i, i + (block if inputs % block == 0 else 1)):
                    laid += [weight[(o + b, inner, *at)] for b in range(block)]
    np.testing.assert_array_equal(unblocked(np.float32(laid).reshape(weight.shape), block), weight)


@pytest.mark.parametrize("block", [8, 16])
def test_blocks_are_as_large_as_weights_say(rng, block):
    """A file of another CPU, as onnxruntime would write it there."""
    outputs = 24 if block == 8 else 32
    weight = rng.standard_normal((outputs, 3, 2, 3)).astype(np.float32)
    weight[24:] = 0
    laid = weight.reshape(outputs // block, block, 3, 2, 3).transpose(0, 2, 3, 4, 1)
    held = [numpy_helper.from_array(np.ascontiguousarray(laid).reshape(weight.shape), "w")]
    domain = "com.microsoft.nchwc"
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["blocked"], domain=domain),
        helper.make_node("ReorderOutput", ["blocked"], ["y"], domain=domain, channels=24),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, 5, 6]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], held)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    image = rng.standard_normal((1, 3, 5, 6)).astype(np.float32)
    inputs = {"x": image, "w": weight[:24]}
    want = in_onnxruntime(single_node("Conv", inputs), inputs)[0]
    made = load(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    np.testing.assert_allclose(made(image), want, atol=1e-5)
