"""Importing quantray brings NumPy along, and nothing else that a user did not ask for."""

import subprocess
import sys

import quantray as qt

PROBE = """
import sys
import numpy
before = set(sys.modules)
import quantray
quantray.quantize_per_tensor([1.0], 0.1, 0, quantray.qint8)
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(tops - set(sys.stdlib_module_names)))
"""


def test_nothing_but_numpy():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["quantray"]


def test_everything_announced_is_there():
    assert len(set(qt.__all__)) == len(qt.__all__)
    assert all(getattr(qt, name) is not None for name in qt.__all__)


def test_names_of_torch_with_the_underscore():
    assert qt._make_per_tensor_quantized_tensor is qt.make_per_tensor_quantized_tensor
    assert qt._make_per_channel_quantized_tensor is qt.make_per_channel_quantized_tensor
