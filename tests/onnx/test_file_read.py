"""Every model that the onnx package brings is read as its own parser reads it."""

import io
import mmap
import pathlib

import numpy as np
import onnx
import pytest
from against_onnx import same_model
from node_cases import CASES, MODELS
from quantray.onnx import _file as onnx_file

DATA = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
FILES = sorted(DATA.rglob("*.onnx"))


def test_models_of_files():
    assert len(FILES) > 100
    for path in FILES:
        same_model(onnx_file.read(path), onnx.load(path))


def test_models_of_the_node_suite():
    assert len(MODELS) > 1000
    for model in MODELS:
        same_model(onnx_file.read(model.SerializeToString()), model)


def test_sources(tmp_path):
    model = CASES["test_add"].model
    data = model.SerializeToString()
    path = tmp_path / "a model.onnx"
    path.write_bytes(data)
    with open(path, "rb") as file:
        sources = [path, str(path), data, bytearray(data), memoryview(data), file]
        for source in [*sources, io.BytesIO(data)]:
            same_model(onnx_file.read(source), model)
    with pytest.raises(TypeError, match="source must be a path, bytes or a binary file object, got int"):
        onnx_file.read(3)
    with open(path, encoding="latin1") as text, pytest.raises(TypeError, match="binary mode"):
        onnx_file.read(text)


def bases(array):
    found = set()
    while (array := getattr(array, "base", None)) is not None:
        found.add(type(array))
    return found


def test_raw_data_are_views_of_the_mapped_file(tmp_path):
    values = np.arange(1 << 16, dtype=np.float32)
    path = tmp_path / "m.onnx"
    for pad in range(4):  # one of four positions is aligned
        tensor = onnx.numpy_helper.from_array(values, "w" * (pad + 1))
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor])), path)
        (read,) = onnx_file.read(path).graph.initializers.values()
        assert bases(read.raw) & {np.memmap, mmap.mmap}
        assert not read.raw.flags.writeable
        found = read.array()
        np.testing.assert_array_equal(found, values)
        assert found.flags.aligned
        assert np.shares_memory(found, read.raw) == (read.raw.ctypes.data % 4 == 0)
