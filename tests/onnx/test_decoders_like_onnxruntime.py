"""onnxruntime's operators of language models as onnxruntime computes them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto
from quantray.onnx import save
from single_node import here, in_onnxruntime, loaded, single_node

OUTPUTS = ["y", "present_key", "present_value"]


def step(rng, batch=1, steps=1, past=0, room=None, heads=4, own=2, width=32, packed=False):
    """Inputs of one step, with a cache that holds `past` keys and has `room` for so many."""
    room = past if room is None else room
    names = ("query",) if packed else ("query", "key", "value")
    columns = (heads + 2 * own,) if packed else (heads, own, own)
    inputs = {
        name: rng.standard_normal((batch, steps, n * width), np.float32)
        for name, n in zip(names, columns, strict=True)
    }
    inputs |= {name: None for name in ("key", "value") if packed}
    for name in ("past_key", "past_value"):
        inputs[name] = rng.standard_normal((batch, own, room, width), np.float32)
    inputs["seqlens_k"] = np.full(batch, past + steps - 1, np.int32)
    inputs["total_sequence_length"] = np.array(past + steps, np.int32)
    return inputs


def tables(rng, positions, half):
    angles = rng.uniform(-3, 3, (positions, half))
    return {"cos_cache": np.cos(angles).astype(np.float32), "sin_cache": np.sin(angles).astype(np.float32)}


def compare(inputs, valid=None, held=(), **attributes):
    attributes = {"num_heads": 4, "kv_num_heads": 2} | attributes
    order = (*inputs,)
    model = single_node(
        "GroupQueryAttention",
        {name: inputs[name] for name in order},
        OUTPUTS,
        domain="com.microsoft",
        constants=set(held),
        **attributes,
    )
    given = {name: value for name, value in inputs.items() if value is not None}
    ours, theirs = here(model, given), in_onnxruntime(model, given)
    for name, mine, yours in zip(OUTPUTS, ours, theirs, strict=True):
        assert mine.shape == yours.shape, name
        if name == "y":
            np.testing.assert_allclose(mine, yours, rtol=1e-5, atol=2e-6)
        else:
            # What lies behind the last key of a row is not said.
            ends = inputs["seqlens_k"] + 1
            for row, end in enumerate(ends):
                np.testing.assert_allclose(mine[row, :, :end], yours[row, :, :end], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("steps", "past", "room"), [(5, 0, 0), (1, 7, 7), (3, 7, 7), (1, 6, 20), (5, 0, 20)])
def test_a_step_of_a_decoder(rng, steps, past, room, packed):
    inputs = step(rng, steps=steps, past=past, room=room, packed=packed)
    compare(inputs)
    compare(inputs, scale=0.3, softcap=2.0)
    compare(inputs, local_window_size=3)
    compare(inputs, smooth_softmax=1)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("half", [16, 8])
@pytest.mark.parametrize(("steps", "past"), [(5, 0), (1, 7), (3, 7)])
def test_positions_turn_queries_and_keys(rng, steps, past, half, interleaved):
    inputs = step(rng, steps=steps, past=past) | tables(rng, 32, half)
    compare(inputs, held=("cos_cache", "sin_cache"), do_rotary=1, rotary_interleaved=interleaved)
    given = {"position_ids": np.arange(2, 2 + steps)[None].astype(np.int64)}
    compare(inputs | given, do_rotary=1, rotary_interleaved=interleaved)


def test_rows_of_several_lengths(rng):
    inputs = step(rng, batch=3, steps=1, past=9) | tables(rng, 32, 16)
    inputs["seqlens_k"] = np.array([9, 4, 0], np.int32)
    compare(inputs, do_rotary=1)


def test_biases_and_sinks(rng):
    inputs = step(rng, steps=3, past=4) | {"cos": None, "sin": None, "positions": None}
    bias = {"bias": rng.standard_normal((1, 4, 3, 7), np.float32)}
    compare(inputs | bias)
    compare(inputs | {"bias": None, "sinks": rng.standard_normal(4, np.float32)})


def test_what_is_not_computed_names_the_node(rng):
    inputs = step(rng, past=3)
    model = single_node(
        "GroupQueryAttention",
        inputs,
        OUTPUTS,
        domain="com.microsoft",
        num_heads=4,
        kv_num_heads=2,
        local_window_size=2,
        sliding_window_cache=1,
    )
    with pytest.raises(ValueError, match=r"the_node \(GroupQueryAttention\): sliding_window_cache must be 0"):
        here(model, inputs)
    uneven = single_node(
        "GroupQueryAttention", inputs, OUTPUTS, domain="com.microsoft", num_heads=4, kv_num_heads=3
    )
    with pytest.raises(ValueError, match="num_heads must be a multiple of kv_num_heads, got 4 and 3"):
        here(uneven, inputs)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_tables_of_packed_codes(rng, bits, zeros):
    rows, width, size = 20, 64, 16
    each = 8 // bits
    inputs = {
        "codes": rng.integers(0, 256, (rows, width // each)).astype(np.uint8),
        "indices": rng.integers(-rows, rows, (2, 3)).astype(np.int64),
        "scales": rng.random((rows, width // size), np.float32),
    }
    if zeros:
        inputs["zeros"] = rng.integers(0, 256, (rows, width // size // each)).astype(np.uint8)
    held = {"codes", "scales", "zeros"}
    model = single_node(
        "GatherBlockQuantized",
        inputs,
        domain="com.microsoft",
        constants=held,
        bits=bits,
        block_size=size,
        gather_axis=0,
        quantize_axis=1,
    )
    np.testing.assert_allclose(here(model, inputs)[0], in_onnxruntime(model, inputs)[0], rtol=1e-6)


@pytest.mark.parametrize(("kind", "low"), [("INT4", -8), ("UINT4", 0)])
@pytest.mark.parametrize(("axis", "along"), [(0, 1), (1, 0), (0, 2), (2, 1)])
def test_tables_of_four_bits(rng, tmp_path, kind, low, axis, along):
    shape, size = (32, 32, 32), 16
    few = tuple(n // size if at == along else n for at, n in enumerate(shape))
    codes = rng.integers(low, low + 16, shape).astype(np.int8 if low else np.uint8)
    zeros = rng.integers(low, low + 16, few).astype(codes.dtype)
    inputs = {
        "codes": codes,
        "indices": rng.integers(0, 32, (3,)).astype(np.int64),
        "scales": rng.random(few, np.float32),
        "zeros": zeros,
    }
    types = {"codes": getattr(TensorProto, kind), "zeros": getattr(TensorProto, kind)}
    model = single_node(
        "GatherBlockQuantized",
        inputs,
        domain="com.microsoft",
        constants={"codes", "scales", "zeros"},
        types=types,
        block_size=size,
        gather_axis=axis,
        quantize_axis=along,
    )
    want = in_onnxruntime(model, inputs)[0]
    np.testing.assert_allclose(here(model, inputs)[0], want, rtol=1e-6)
    save(loaded(model), tmp_path / "again.onnx")
    saved = onnx.load(tmp_path / "again.onnx")
    np.testing.assert_allclose(in_onnxruntime(saved, inputs)[0], want, rtol=1e-6)
    # Saved codes have four bits, too.
    assert saved.ByteSize() < codes.size // 2 + 4 * np.prod(few) * 2 + 2000
