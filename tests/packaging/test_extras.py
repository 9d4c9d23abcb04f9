"""What says that something optional is missing says what to install, from the index and from a clone."""

import subprocess
import sys

MISSING = """
import sys
sys.modules["autograd"] = None
from quantray import nn
model = nn.Linear(2, 1)
try:
    nn.value_and_grad(model, lambda model, x: model(x).sum())([[1.0, 2.0]])
except ImportError as error:
    print(error)
"""


def test_gradients_without_autograd():
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True)
    assert done.stdout == ("gradients need autograd: pip install autograd\n")
