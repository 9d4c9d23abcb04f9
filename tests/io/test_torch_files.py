"""Files that torch.save wrote, read without torch: tensors, and nothing that a file would have run."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal
from quantray import nn

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
FILES = sorted(REFERENCE.glob("torch-*.pt"))
assert len(FILES) == 2


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_every_kind_of_tensor_is_what_it_was(path):
    got = qt.load(path, map_location="cpu", weights_only=True)
    row = np.arange(6, dtype=np.float32)
    want = {
        "turned": np.arange(12).reshape(3, 4).T[1:],
        "half": np.float16([1.5, -2.0]),
        # The nearest one to 3e38 of 8 bits.
        "bfloat16": np.float32([1.5, -2.0, 226 * 2.0**120]),
        "bools": np.array([True, False]),
        "bytes": np.uint8([255]),
        "complex": np.complex64([1 + 2j]),
        "none": np.empty((0, 3), np.float32),
        "one": np.float64(2.5),
        "parameter": np.ones(2, np.float32),
    }
    for name, array in want.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape), name
        assert_array_equal(got[name], array)
    assert_array_equal(got["shared"][0], row)
    assert_array_equal(got["shared"][1], row[2:])
    assert (got["epoch"], got["notes"], got["shape"]) == (3, ["a", (1.5, None, True)], (1, 2))
    assert got["codes"].equal(qt.quantize_per_tensor([0.5, 1.0], 0.5, 3, qt.quint8))
    assert got["channels"].equal(qt.quantize_per_channel([[0.5], [1.0]], [0.5, 0.25], [0, 3], 0, qt.qint8))


def test_a_model_takes_what_it_holds(path, tmp_path):
    model = nn.Linear(3, 2)
    model.load_state_dict(qt.load(path)["model"])
    assert_array_equal(model([[1.0, 0.0, 0.0]]), [[0.5, 2.5]])
    model.weight[0, 0] = 7.0  # the arrays can be written to
    with pytest.raises(KeyError, match="model"):
        model.load_state_dict(path)


class Runs:
    """What an attacker's file says: call this."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("form", ["archive", "stream", "alone"])
def test_nothing_is_run(form, tmp_path):
    mark = tmp_path / "mark"
    evil = pickle.dumps({"a": Runs(Path.touch, mark)}, protocol=2)
    path = tmp_path / "evil.pt"
    if form == "archive":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", evil)
    else:
        start = [pickle.dumps(n, protocol=2) for n in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        path.write_bytes(evil if form == "alone" else b"".join(start) + evil)
    with pytest.raises(OSError, match=r"of more than tensors .*it names .*save_file"):
        qt.load(path)
    assert not mark.exists()


def one_tensor(path, offset, shape, strides):
    """A file of one tensor of a storage of two elements, written by hand: it says what torch would not."""
    shape, strides = ("(" + "".join(f"I{n}\n" for n in numbers) + "t" for numbers in (shape, strides))
    storage = "(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI2\ntQ"
    text = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{shape}{strides}tR."
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", text)
        file.writestr("archive/data/0", np.float32([1, 2]).tobytes())


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ((0, (4,), (1,)), "ends at element 3 of a storage of 2"),
        ((2, (1,), (1,)), "ends at element 2 of a storage of 2"),
        ((-1, (1,), (1,)), "has the shape"),
        ((0, (2,), (-1,)), "has the shape"),
        ((0, (2, 1), (1,)), "has the shape"),
        ((1 << 62, (2,), (1 << 62,)), "ends at element"),
        ((0, (1 << 40, 1 << 40), (0, 0)), "of more than tensors"),
    ],
)
def test_tensors_lie_within_their_memory(about, says, tmp_path):
    one_tensor(tmp_path / "beyond.pt", *about)
    with pytest.raises(OSError, match=says):
        qt.load(tmp_path / "beyond.pt")


@pytest.mark.parametrize(
    "name", ["torch._utils\n_rebuild_tensor_v2", "torch\nSize", "collections\nOrderedDict"]
)
def test_what_is_named_is_not_written_to(name, tmp_path):
    """A pickle may set attributes of whatever it has: of what it names here there are none to be set."""
    program = b"\x80\x02c" + name.encode() + b"\n(N}X\x0c\x00\x00\x00__defaults__(K\x01tstb."
    path = tmp_path / "attack.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3")
    with pytest.raises(OSError, match="cannot read"):
        qt.load(path)


def test_an_expanded_tensor_takes_no_memory(tmp_path):
    one_tensor(tmp_path / "expanded.pt", 1, (1 << 20, 1 << 20), (0, 0))
    got = qt.load(tmp_path / "expanded.pt")
    assert got.shape == (1 << 20, 1 << 20)
    assert got[-1, -1] == 2
    one_tensor(tmp_path / "plain.pt", 0, (2,), (1,))
    got = qt.load(tmp_path / "plain.pt")
    got += 1
    assert got.tolist() == [2.0, 3.0]


def test_damaged_files_are_refused_or_read(path, tmp_path, rng):
    whole = bytearray(path.read_bytes())
    refused = 0
    for i in range(300):
        data = bytearray(whole)
        if i % 3 == 0:
            del data[int(rng.integers(2, len(data))) :]
        else:
            for at in rng.integers(2, len(data), int(rng.integers(1, 4))):
                data[at] = int(rng.integers(256))
        damaged = tmp_path / "damaged.pt"
        damaged.write_bytes(data)
        try:
            qt.load(damaged)
        except OSError:
            refused += 1
    assert refused > 100


def test_other_places_and_code_are_refused(path):
    with pytest.raises(ValueError, match='map_location must be "cpu" or None'):
        qt.load(path, map_location="cuda")
    with pytest.raises(ValueError, match="weights_only must be True"):
        qt.load(path, weights_only=False)
