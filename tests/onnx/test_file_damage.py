"""Damaged models, end to end: a model or one error that names the file, never anything else."""

import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from node_cases import MODELS
from onnx import helper, numpy_helper
from quantray.onnx import _file as onnx_file
from quantray.onnx._check import checked
from test_file_write import full_model

#: `QUANTRAY_ONNX_MUTANTS=100000` for a longer run.
MUTANTS = int(os.environ.get("QUANTRAY_ONNX_MUTANTS", "3000"))
PIECES = [
    b"\xff" * 9 + b"\x01",
    b"\xff" * 9 + b"\x7f",
    b"\xff\xff\xff\xff\x0f",
    b"\x80" * 9 + b"\x01",
    b"\x0a\x00",
]


@pytest.fixture(scope="module")
def models():
    encoded = [full_model().SerializeToString()] * 300
    encoded += [model.SerializeToString() for model in MODELS]
    return [data for data in encoded if len(data) < 20_000]


def damaged(data, other, rng):
    made = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(made)) if made else 0
        end = at + rng.randint(1, 40)
        kind = rng.randrange(7)
        if kind == 0:
            made[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            made[at:at] = rng.choice(PIECES)
        elif kind == 2:
            del made[at:end]
        elif kind == 3:
            made[at:at] = made[at:end]
        elif kind == 4:
            start = rng.randrange(len(other))
            made[at:at] = other[start : start + rng.randint(1, 60)]
        elif kind == 5 and made:
            made[at] ^= 1 << rng.randrange(8)
        else:
            del made[rng.randrange(len(made) + 1) :]
    return bytes(made)


def walk(graph):
    yield from graph.initializers.values()
    for node in graph.nodes:
        for value in node.attributes.values():
            for one in value if isinstance(value, tuple) else [value]:
                if isinstance(one, onnx_file.GraphFile):
                    yield from walk(one)
                elif isinstance(one, onnx_file.Tensor | onnx_file.SparseTensor):
                    yield one


def test_damaged_models(models, tmp_path):
    rng, valid, ordered = random.Random(0), 0, 0
    path = tmp_path / "m.onnx"
    for i in range(MUTANTS):
        data = damaged(rng.choice(models), rng.choice(models), rng)
        try:
            read = onnx_file.read(data)
        except OSError as e:
            assert str(e).startswith("cannot read <bytes>: "), i  # noqa: PT017
            continue
        valid += 1
        for tensor in walk(read.graph):
            try:
                tensor.array()
            except ValueError as e:
                assert isinstance(tensor, onnx_file.SparseTensor), (i, e)  # noqa: PT017
        try:
            checked(read)
            ordered += 1
        except ValueError as e:
            assert str(e).startswith("the model has "), i  # noqa: PT017
        onnx_file.write(read, path)
        assert repr(onnx_file.read(path)) == repr(read), i
    print(f"{MUTANTS} mutants: {valid} valid, {ordered} with names that fit together")
    assert 0 < ordered < valid < MUTANTS


def peak_above(code):
    """How far the peak of a process's memory lies above what it was before `run()`."""
    script = f"""
        import resource, sys
        import numpy as np
        from quantray.onnx import _file as onnx_file
        {textwrap.indent(textwrap.dedent(code), " " * 8).strip()}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit")
def test_memory(tmp_path):
    path = tmp_path / "m.onnx"
    reading = f"run = lambda: onnx_file.read({str(path)!r})"
    slack = 32 << 20
    weights = numpy_helper.from_array(np.zeros(50 << 20, np.uint8), "w")
    path.write_bytes(helper.make_model(helper.make_graph([], "g", [], [], [weights])).SerializeToString())
    assert peak_above(reading) < slack  # mapped, not read
    count = 100_000
    nodes = [helper.make_node("A", [], [])] * count
    path.write_bytes(helper.make_model(helper.make_graph(nodes, "g", [], [])).SerializeToString())
    assert peak_above(reading) < count * 4096 + slack
    node = helper.make_node("A", [], [], ints=[1] * 1_000_000)
    path.write_bytes(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())
    assert peak_above(reading) < 2_000_000 * 72 + slack
