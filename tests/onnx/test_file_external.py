"""Tensors in files beside the model's."""

import os
import re

import numpy as np
import onnx
import pytest
from against_onnx import same_model
from onnx import TensorProto, helper, numpy_helper
from quantray.onnx import _file as onnx_file

VALUES = np.arange(64, dtype=np.float32)


def external(location, offset=None, length=None, dims=(64,)):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in [("location", location), ("offset", offset), ("length", length)]:
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (tmp_path / "secret").write_bytes(VALUES.tobytes())
    (made / "w.bin").write_bytes(bytes(16) + VALUES.tobytes())
    return made


def saved(folder, tensor):
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString())
    return path


def fails(path, words, **kwargs):
    with pytest.raises(OSError, match=f"cannot read .*: tensor 'w' .*{re.escape(words)}"):
        onnx_file.read(path, **kwargs)


def test_as_onnx_writes_them(tmp_path):
    tensors = [numpy_helper.from_array(np.arange(n, dtype=np.int64), f"t{n}") for n in (0, 1, 7, 5000)]
    model = helper.make_model(helper.make_graph([], "g", [], [], tensors))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="sub.data", size_threshold=0)
    read = onnx_file.read(path)
    same_model(read, onnx.load(path))
    array = read.graph.initializers["t5000"].array()
    assert not array.flags.writeable
    assert np.shares_memory(array, read.graph.initializers["t5000"].raw)


@pytest.mark.parametrize(("offset", "length"), [(16, 256), (16, None), ("016", "256")])
def test_parts(folder, offset, length):
    read = onnx_file.read(saved(folder, external("w.bin", offset, length)))
    np.testing.assert_array_equal(read.graph.initializers["w"].array(), VALUES)


def test_folders_inside(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "w").write_bytes(VALUES.tobytes())
    for location in ("sub/w", "./sub/w", "sub//w"):
        read = onnx_file.read(saved(folder, external(location)))
        np.testing.assert_array_equal(read.graph.initializers["w"].array(), VALUES)


def test_the_folder_may_be_given(folder):
    data = saved(folder, external("w.bin", 16)).read_bytes()
    fails(data, "lies in the file 'w.bin': hand in the model's path")
    read = onnx_file.read(data, folder=folder)
    np.testing.assert_array_equal(read.graph.initializers["w"].array(), VALUES)


def test_the_working_folder(folder, monkeypatch):
    saved(folder, external("w.bin", 16))
    monkeypatch.chdir(folder)
    np.testing.assert_array_equal(onnx_file.read("m.onnx").graph.initializers["w"].array(), VALUES)


@pytest.mark.parametrize(
    "location",
    ["../secret", "sub/../../secret", "/etc/passwd", "..", "..\\secret", "C:\\secret", "a\0b"],
)
def test_outside_of_the_folder(folder, location):
    fails(saved(folder, external(location)), "valid are paths inside of the model's folder")


def test_links(folder, tmp_path):
    (folder / "link").symlink_to(tmp_path / "secret")
    fails(saved(folder, external("link")), "a link that leads out of the model's folder")
    (folder / "up").symlink_to(tmp_path)
    fails(saved(folder, external("up/secret")), "a link that leads out of the model's folder")
    (folder / "inside").symlink_to(folder / "w.bin")
    read = onnx_file.read(saved(folder, external("inside", 16)))
    np.testing.assert_array_equal(read.graph.initializers["w"].array(), VALUES)
    (folder / "loop").symlink_to(folder / "loop")
    fails(saved(folder, external("loop")), "'loop'")


def test_a_folder_that_is_a_link(folder, tmp_path):
    saved(folder, external("w.bin", 16))
    (tmp_path / "alias").symlink_to(folder)
    read = onnx_file.read(tmp_path / "alias" / "m.onnx")
    np.testing.assert_array_equal(read.graph.initializers["w"].array(), VALUES)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (external("gone.bin"), "lies in 'gone.bin', which is missing in"),
        (external("."), "which is no file"),
        (external("w.bin", 17), "wants bytes 17 to 273 of 'w.bin', which has 272"),
        (external("w.bin", 2**63), "wants bytes"),
        (external("w.bin", dims=[1 << 40]), "wants bytes 0 to 4398046511104 of 'w.bin', which has 272"),
    ],
)
def test_files_that_lack_something(folder, tensor, words):
    fails(saved(folder, tensor), words)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (external("w.bin", 16, 255), "has 255 bytes of external data, and float32 of shape [64] takes 256"),
        (external("w.bin", -1), 'has the offset "-1" in its external data'),
        (external("w.bin", "x"), 'has the offset "x"'),
        (external("w.bin", 0, 2**70), 'has the length "'),
        (external("w.bin", 2**64 - 1), "has the offset 18446744073709551615 in its external data, which no"),
        (external(""), "has external data without a location"),
    ],
)
def test_descriptions_that_are_wrong(folder, tensor, words):
    with pytest.raises(OSError, match=f'initializer "w": the tensor {re.escape(words)}'):
        onnx_file.read(saved(folder, tensor))


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    fails(saved(folder, external("pipe")), "which is no file")


def test_more_than_2_gb(tmp_path):
    length = 2_500_000_000  # a hole, of no bytes on the disk
    with open(tmp_path / "big", "wb") as file:
        file.truncate(length)
        file.seek(length - 4)
        file.write(np.float32(7).tobytes())
    tensor = external("big", 0, length, dims=[length // 4])
    array = onnx_file.read(saved(tmp_path, tensor)).graph.initializers["w"].array()
    assert array.nbytes == length
    assert (array[0], array[-1]) == (0, 7)


def test_a_file_of_more_than_2_gb(tmp_path):
    """One that no protobuf writer makes, but that readers by map can read."""
    head = helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString()
    raw = 2_500_000_000
    inner = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[raw]).SerializeToString()

    def varint(n):
        made = bytearray()
        while n > 127:
            made.append(n & 127 | 128)
            n >>= 7
        return bytes([*made, n])

    tensor = inner + b"\x4a" + varint(raw)
    graph = b"\x2a" + varint(len(tensor) + raw) + tensor
    path = tmp_path / "big.onnx"
    with open(path, "wb") as file:
        file.write(head + b"\x3a" + varint(len(graph) + raw) + graph)
        file.truncate(file.tell() + raw)
    array = onnx_file.read(path).graph.initializers["w"].array()
    assert array.nbytes == raw
