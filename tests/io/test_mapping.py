"""Files that are cut while in use: what is read at once does not mind, what is mapped ends the process."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import quantray as qt
from quantray import nn

N = 1 << 20


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.safetensors"
    codes = np.arange(N, dtype=np.int64).astype(np.int8)
    qt.save({"q": qt.make_per_tensor_quantized_tensor(codes, 0.5, 3), "x": np.arange(4.0)}, path)
    return path


def test_what_was_read_stays(path):
    read = qt.load(path, mmap=False)
    mapped = qt.load(path)
    assert read["q"].equal(mapped["q"])
    os.truncate(path, 16)
    np.testing.assert_array_equal(read["q"].int_repr(), np.arange(N, dtype=np.int64).astype(np.int8))
    np.testing.assert_array_equal(read["x"], np.arange(4.0))
    assert not isinstance(read["x"].base.base, np.memmap)


def test_changes_stay_in_memory(path):
    before = path.read_bytes()
    read = qt.load(path, mmap=False)
    read["q"].fill_(0.0)
    read["x"][:] = 9
    assert path.read_bytes() == before


def test_models_too(tmp_path):
    path = tmp_path / "model.safetensors"
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    model.save(path)
    read = qt.load(path, mmap=False)
    os.truncate(path, 0)
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(read(x), model(x))


def test_metadata(path):
    assert qt.read_metadata(path, mmap=False) == qt.read_metadata(path)


@pytest.mark.parametrize("mmap", [True, False])
def test_a_file_that_was_cut_before_is_an_error(path, mmap):
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(OSError, match="cannot read"):
        qt.load(path, mmap=mmap)


CUT = """
import os, sys, quantray as qt
q = qt.load(sys.argv[1], mmap=sys.argv[2] == "True")["q"]
os.truncate(sys.argv[1], 4096)
print(int(q.int_repr().astype(int).sum()))
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="how a cut file ends a process is the system's"
)
@pytest.mark.parametrize("mmap", [True, False])
def test_what_the_documentation_says_of_a_cut_file(path, mmap):
    done = subprocess.run([sys.executable, "-c", CUT, str(path), str(mmap)], capture_output=True, check=False)
    assert done.returncode == (-signal.SIGBUS if mmap else 0)
