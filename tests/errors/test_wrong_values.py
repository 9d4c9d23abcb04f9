"""Every public name of models, called with some forty wrong values for each argument: errors that say so.

Functions of tensors are swept in `tensor/test_tensor_faults.py`. Here one argument at a time is wrong, and
the others are what `VALID` has for their names, so that calls come as far as they can.
"""

import inspect
import signal
from importlib import import_module

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq
from wrong import WRONG as VALUES

X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
Q = qt.quantize_per_tensor(X, 0.05, 100, qt.quint8)

WRONG = [*VALUES, Q, nn.ReLU()]

#: Of arguments by name, what calls come far with.
VALID = {
    "input": X,
    "x": X,
    "X": X,
    "x1": X,
    "x2": X,
    "query": X,
    "key": X,
    "value": X,
    "weight": np.ones((3, 4), np.float32),
    "in_features": 4,
    "out_features": 3,
    "in_channels": 2,
    "out_channels": 4,
    "kernel_size": 1,
    "num_features": 4,
    "num_embeddings": 5,
    "embedding_dim": 3,
    "input_size": 4,
    "hidden_size": 3,
    "input_dim": 4,
    "hidden_dim": 3,
    "embed_dim": 4,
    "num_heads": 2,
    "d_model": 4,
    "nhead": 2,
    "normalized_shape": 4,
    "num_groups": 2,
    "num_channels": 4,
    "scale": 0.1,
    "zero_point": 3,
    "output_scale": 0.1,
    "output_zero_point": 3,
    "bias": None,
    "output_size": 1,
    "negative_slope": 0.1,
    "dtype": qt.quint8,
    "qconfig": tq.get_default_qat_qconfig(),
    "module": nn.Linear(4, 3),
    "mod": nn.Linear(4, 3),
    "model": nn.Sequential(nn.Linear(4, 3)),
    "data": [X],
    "observer": tq.MinMaxObserver,
    "linear": nn.Linear(4, 3),
    "conv": nn.Conv2d(1, 2, 1),
    "bn": nn.BatchNorm2d(2),
    "relu": nn.ReLU(),
    "group_size": 2,
    "grid": "int4",
    "scales": np.full((2, 2), 0.1),
    "codes": np.ones((2, 4), np.int8),
    "values": [0.0, 1.0],
    "bits": 4,
    "seed": 1,
    "size": 2,
    "dim": 0,
    "axis": 0,
    "target": np.array([0, 1]),
    "num_layers": 1,
    "lr": 0.1,
}

#: What errors may be; those in brackets are what the workflows say of models without data, and of files.
ALLOWED = (
    TypeError,
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    OSError,
)
#: Kinds of these that nobody means to raise.
NEVER = (RecursionError, UnicodeError)

SPACES = {
    name: import_module(f"quantray.{name}")
    for name in (
        "nn",
        "nn.functional",
        "nn.intrinsic",
        "nn.intrinsic.qat",
        "nn.intrinsic.quantized",
        "nn.qat",
        "nn.quantizable",
        "nn.quantized",
        "nn.quantized.dynamic",
        "nn.quantized.functional",
        "quantization",
        "quantization.quantization_mappings",
        "grids",
        "optim",
    )
}
#: They change the process, or take what is called as it is.
APART = {"manual_seed", "value_and_grad", "Parameter", "default_eval_fn", "QUANTIZED_MODULES", "QAT_MODULES"}


def arguments(function):
    """Valid values by name; None where it is no function that says what it takes."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    named = [
        p
        for p in found
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ("self", "cls")
    ]
    return {p.name: VALID.get(p.name, X) if p.default is p.empty else p.default for p in named}


class Hangs(BaseException):
    """A call that does not come back."""


def alarm(*_):
    raise Hangs


def raised_by(function, given, name, value, what):
    """The error of one call; anything that is none of those allowed fails the test."""
    try:
        function(**{**given, name: value})
    except NEVER as error:
        pytest.fail(f"{what}({name}={value!r:.60}): {type(error).__name__}: {error!s:.200}")
    except ALLOWED as error:
        return error
    except BaseException as error:
        pytest.fail(f"{what}({name}={value!r:.60}): {type(error).__name__}: {error!s:.200}")
    return None


def names():
    for space, module in SPACES.items():
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        for name in sorted(public):
            found = getattr(module, name)
            if name not in APART and callable(found) and not inspect.ismodule(found):
                yield f"{space}.{name}", found


NAMES = dict(names())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name, found in NAMES.items() if arguments(found)])
def test_wrong_values_for_one_argument(name):
    """Of functions and classes that take something."""
    function = NAMES[name]
    given = arguments(function)
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        for argument in given:
            for value in WRONG:
                signal.alarm(20)
                raised_by(function, given, argument, value, name)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


MODULES = {
    name: kind for name, kind in NAMES.items() if inspect.isclass(kind) and issubclass(kind, nn.Module)
}


def made(kind):
    """A module of a class, of valid values by name; None where these are not all that it needs."""
    given = arguments(kind)
    try:
        return None if given is None else kind(**given)
    except ALLOWED:
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name, kind in MODULES.items() if made(kind) is not None])
def test_wrong_inputs_of_modules(name):
    """A module that can be made, called with each value."""
    module = made(MODULES[name])
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        for value in WRONG:
            signal.alarm(20)
            raised_by(lambda input, module=module: module(input), {}, "input", value, name)
            raised_by(lambda scale, module=module: setattr(module, "scale", scale), {}, "scale", value, name)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
