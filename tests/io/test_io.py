"""Files: what is saved is loaded, mapped and not copied; others can read it; what is damaged is refused."""

import contextlib
import json
import os
import struct

import numpy as np
import pytest
import quantray as qt
import safetensors.numpy
from numpy.testing import assert_array_equal
from test_pickle import TENSORS, X, tensors


@tensors
def test_round_trip(q, tmp_path):
    path = tmp_path / "q.safetensors"
    q.save(path)
    back = qt.load(str(path))
    assert back.equal(q)
    assert back.quantizer == q.quantizer


def test_mapping(tmp_path):
    arrays = {
        f"a{i}": X.astype(t) for i, t in enumerate(["f8", "f4", "f2", "i8", "i4", "i2", "u8", ">f4", "?"])
    }
    path = tmp_path / "m.safetensors"
    qt.save(TENSORS | arrays, path)
    back = qt.load(path)
    assert back.keys() == (TENSORS | arrays).keys()
    for name, q in TENSORS.items():
        assert back[name].equal(q)
    for name, a in arrays.items():
        np.testing.assert_array_equal(back[name], a)
        assert back[name].dtype == a.dtype.newbyteorder("=")


def test_empty_mapping(tmp_path):
    qt.save({}, tmp_path / "none")
    assert qt.load(tmp_path / "none") == {}


def test_others_read_it(tmp_path):
    path = tmp_path / "m.safetensors"
    qt.save({"w": TENSORS["per channel"], "b": X}, path)
    theirs = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(theirs["w"], TENSORS["per channel"].int_repr())
    np.testing.assert_array_equal(theirs["b"], X)
    with safetensors.safe_open(path, "np") as f:
        about = json.loads(f.metadata()["quantray"])["tensors"]["w"]
    assert about == {
        "dtype": "qint8",
        "qscheme": "per_channel_affine",
        "scale": {"tensor": "w.scale"},
        "zero_point": {"tensor": "w.zero_point"},
        "axis": 1,
    }
    np.testing.assert_array_equal(theirs["w.scale"], [0.1, 0.01, 0.05])
    np.testing.assert_array_equal(theirs["w.zero_point"], np.int8([1, 0, 2]))


def test_scales_of_channels_take_little_room(tmp_path):
    path = tmp_path / "m.safetensors"
    n = 5000
    scales = np.random.default_rng(0).uniform(0.01, 0.02, n).astype(np.float32)
    codes = np.ones((n, 1), np.int8)
    zeros = np.arange(n) % 255 - 128
    for zero_points, each in ((0, 4), (zeros, 5)):
        q = qt.make_per_channel_quantized_tensor(codes, scales, zero_points, 0)
        q.save(path)
        assert qt.load(path).equal(q)
        assert path.stat().st_size <= n * (1 + each) + 500


def test_names_of_scales_that_are_taken(tmp_path):
    path = tmp_path / "m.safetensors"
    w = TENSORS["per channel"]
    state = {"w": w, "w.scale": X, "w.zero_point": X[:1], "w.scale_": w}
    qt.save(state, path)
    back = qt.load(path)
    assert set(back) == set(state)
    assert back["w"].equal(w)
    assert back["w.scale_"].equal(w)
    np.testing.assert_array_equal(back["w.scale"], X)


def test_scales_within_the_text(tmp_path):
    path = tmp_path / "t"
    about = GOOD | {"qscheme": "per_channel_affine", "axis": 0, "scale": [0.1, 0.2], "zero_point": [3, -4]}
    path.write_bytes(quantized(about))
    q = qt.load(path)["t"]
    np.testing.assert_array_equal(q.q_per_channel_scales(), [0.1, 0.2])
    np.testing.assert_array_equal(q.q_per_channel_zero_points(), [3, -4])


def test_files_of_others(tmp_path):
    path = tmp_path / "theirs.safetensors"
    safetensors.numpy.save_file({"x": X}, path)
    np.testing.assert_array_equal(qt.load(path)["x"], X)


def base_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_mapped_and_never_written_to(tmp_path):
    path = tmp_path / "q.safetensors"
    q = TENSORS["per tensor"]
    q.save(path)
    before = path.read_bytes()
    back = qt.load(path)
    assert isinstance(base_of(back.int_repr()), np.memmap)
    back[:] = 0.5
    assert np.all(back == np.float32(0.5))
    assert path.read_bytes() == before
    assert qt.load(path).equal(q)


def test_replacing_a_file_leaves_its_readers_alone(tmp_path):
    path = tmp_path / "q.safetensors"
    TENSORS["per tensor"].save(path)
    mapped = qt.load(path)
    TENSORS["0-d"].save(path)
    assert mapped.equal(TENSORS["per tensor"])
    assert qt.load(path).equal(TENSORS["0-d"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def file_of(header, data=b""):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def quantized(about, shape=(2,), dtype="I8", data=b"\1\2"):
    metadata = {"quantray": about if isinstance(about, str) else json.dumps({"tensors": {"t": about}})}
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}
    return file_of({"__metadata__": metadata, "t": entry}, data)


GOOD = {"dtype": "qint8", "qscheme": "per_tensor_affine", "scale": 0.1, "zero_point": 0}


def test_the_damaged_ones_below_differ_from_a_good_one(tmp_path):
    path = tmp_path / "good"
    path.write_bytes(quantized(GOOD))
    np.testing.assert_array_equal(qt.load(path)["t"].int_repr(), np.array([1, 2], np.int8))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\0" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        file_of(b"{"),
        file_of(b"not json"),
        file_of({"t": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}}, b"\1"),
        file_of({"t": {"dtype": "I8", "shape": [3], "data_offsets": [0, 2]}}, b"\1\2"),
        file_of({"t": {"dtype": "I8", "shape": [2], "data_offsets": [4, 6]}}, b"\1\2"),
        file_of({"t": {"dtype": "I8", "shape": [2**62, 2**62], "data_offsets": [0, 2]}}, b"\1\2"),
        quantized(GOOD)[:-1],
        quantized("{not json"),
        quantized(GOOD | {"scale": 0}),
        quantized(GOOD | {"scale": "0.1"}),
        quantized(GOOD | {"scale": [0.1, 0.2]}),
        quantized(GOOD | {"scale": None}),
        quantized(GOOD | {"zero_point": 1000}),
        quantized(GOOD | {"zero_point": 0.5}),
        quantized(GOOD | {"zero_point": 1e300}),
        quantized(GOOD | {"scale": {}}),
        quantized(GOOD | {"scale": {"tensor": 3}}),
        quantized(GOOD | {"scale": {"tensor": "none"}}),
        quantized(GOOD | {"scale": {"tensor": "t"}}),
        quantized(GOOD | {"dtype": "quint8"}),
        quantized(GOOD | {"dtype": "complex"}),
        quantized(GOOD | {"qscheme": "none"}),
        quantized(GOOD | {"qscheme": "per_channel_affine"}),
        quantized(GOOD | {"qscheme": "per_channel_affine", "axis": 5}),
        quantized(GOOD | {"size": [5]}),
        quantized(GOOD, shape=(1,), dtype="F16", data=b"\1\2"),
    ],
)
def test_damaged_files_are_refused(content, tmp_path):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(OSError, match="damaged"):
        qt.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(OSError, match="no-such-file"):
        qt.load(tmp_path / "no-such-file")


def test_unwritable_place(tmp_path):
    with pytest.raises(OSError, match="missing"):
        TENSORS["0-d"].save(tmp_path / "missing" / "q")


@pytest.mark.parametrize(
    "bad", [3, [TENSORS["0-d"]], {"a": 3}, {"a": [1.0]}, {3: X}, {"a": X.astype(object)}]
)
def test_what_cannot_be_saved(bad, tmp_path):
    with pytest.raises(TypeError):
        qt.save(bad, tmp_path / "bad")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [3, None, b"bytes"])
def test_paths(path):
    with pytest.raises(TypeError, match="path must be"):
        TENSORS["0-d"].save(path)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_new_files_have_the_mode_that_the_umask_says(tmp_path, mask):
    old = os.umask(mask)
    try:
        qt.save(qt.quantize_per_tensor([1.0], 0.5, 0, "qint8"), tmp_path / "a")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask
    finally:
        os.umask(old)


def test_replaced_files_keep_their_mode_and_links_are_followed(tmp_path):
    q = qt.quantize_per_tensor([1.0], 0.5, 0, "qint8")
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "a", tmp_path / "link"
    qt.save(q, target)
    target.chmod(0o640)
    link.symlink_to("folder/a")
    qt.save(q.clone().fill_(2.0), link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert qt.load(target).tolist() == [2.0]
    dangling = tmp_path / "dangling"
    dangling.symlink_to("folder/new")
    qt.save(q, dangling)
    assert qt.load(tmp_path / "folder" / "new").tolist() == [1.0]
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["a", "new"]


def test_the_formats_own_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="__metadata__"):
        qt.save({"__metadata__": np.ones(3)}, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_types_that_numpy_lacks_load_as_float32(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kinds = {"BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}
    for name, kind in kinds.items():
        width = np.dtype(kind).itemsize
        codes = np.arange(256, dtype=np.uint8) if width == 1 else np.arange(2**16, dtype=np.uint16)
        data = codes.tobytes()
        header = json.dumps({"x": {"dtype": name, "shape": [len(codes)], "data_offsets": [0, len(data)]}})
        path = tmp_path / name
        path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + data)
        with np.errstate(invalid="ignore"):
            wanted = codes.view(kind).astype(np.float32)
        assert_array_equal(qt.load(path)["x"], wanted, strict=True)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_raise_oserror(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a"
    channels = qt.quantize_per_channel(np.ones((2, 3)), [0.5, 0.25], [1, 0], 0, "qint8")
    packed = qt.quantize_per_tensor(np.ones((2, 3)), 0.5, 1, "quint4x2")
    qt.save({"c": channels, "p": packed, "x": np.ones(3)}, path)
    whole = path.read_bytes()
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] = rng.choice([*b'0123456789[]{}",:-.e', rng.integers(256)])
        if rng.random() < 0.2:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        with contextlib.suppress(OSError):
            qt.load(path)
