"""Arrays by torch's names, and the seed of this project: a notebook that runs as it stands."""

import contextlib
import io

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal

#: The code cells of the notebook that this project began with; torch is quantray.
CELLS = [
    "import quantray as torch",
    "float_tensor = torch.randn(2,2,3)\nfloat_tensor",
    """zero_point = 0
scale = 1/100
q_tensor = torch.quantize_per_tensor(float_tensor, scale=scale, zero_point=zero_point, dtype=torch.qint8)
q_tensor""",
    """scale = 1/50
q_tensor_1 = torch.quantize_per_tensor(float_tensor, scale=scale, zero_point=zero_point, dtype=torch.qint8)
q_tensor_1""",
    "torch.quantize_per_channel(float_tensor, axis=2, scales=torch.tensor([1e-1, 1e-2, 1e-3]), "
    "zero_points=torch.tensor([-1, 0, 1]), dtype=torch.qint8)",
    """int_tensor = torch.randint(0, 100, size=(10,), dtype=torch.uint8)
q = torch._make_per_tensor_quantized_tensor(int_tensor, 1e-2, 0)
q""",
    "print(q[3])\nq[3] = 0.444\nprint(q[3])",
    "q.is_quantized",
    "q.size",
    "q.int_repr()",
]


def run(cell, names):
    """Runs a cell as a notebook does, and gives what its last line is, if that is an expression."""
    *body, last = cell.splitlines()
    exec("\n".join(body), names)
    try:
        return eval(last, names)
    except SyntaxError:
        exec(last, names)
        return None


def test_the_seed_notebook_runs_cell_by_cell():
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        shown = [run(cell, names) for cell in CELLS]
    assert shown[1].dtype == np.float32
    assert shown[1].shape == (2, 2, 3)
    assert_array_equal(shown[2], np.clip(np.rint(shown[1] * np.float32(100)), -128, 127) * np.float32(0.01))
    assert shown[3].scale == 1 / 50
    assert shown[4].axis == 2
    assert shown[4].zero_point.tolist() == [-1, 0, 1]
    assert shown[5].dtype is qt.quint8
    assert "QTensor(0.4400" in printed.getvalue()
    assert shown[7] is True
    assert shown[8]() == (10,)
    assert shown[9][3] == 44
    assert np.shares_memory(shown[9], names["int_tensor"])


@pytest.mark.parametrize(
    ("make", "dtype", "shape"),
    [
        (lambda: qt.tensor([1.0, 2.0]), "float32", (2,)),
        (lambda: qt.tensor([1, 2]), "int64", (2,)),
        (lambda: qt.tensor([True]), "bool", (1,)),
        (lambda: qt.tensor(1.5), "float32", ()),
        (lambda: qt.tensor(np.float64([1.5])), "float64", (1,)),
        (lambda: qt.tensor([1, 2], dtype=qt.float64), "float64", (2,)),
        (lambda: qt.tensor([]), "float32", (0,)),
        (lambda: qt.rand(2, 3), "float32", (2, 3)),
        (lambda: qt.rand((2, 3)), "float32", (2, 3)),
        (lambda: qt.randn(2, 3, dtype="float64"), "float64", (2, 3)),
        (lambda: qt.randn(size=(2,)), "float32", (2,)),
        (lambda: qt.randint(5, (3,)), "int64", (3,)),
        (lambda: qt.randint(2, 5, (3,)), "int64", (3,)),
        (lambda: qt.randint(0, 2, size=(3,), dtype=qt.int32), "int32", (3,)),
        (lambda: qt.zeros(2), "float32", (2,)),
        (lambda: qt.zeros((2, 3), dtype=qt.long), "int64", (2, 3)),
        (lambda: qt.ones([2, 3]), "float32", (2, 3)),
        (lambda: qt.full((2,), 3), "int64", (2,)),
        (lambda: qt.full((2,), 3.0), "float32", (2,)),
        (lambda: qt.full((2,), True), "bool", (2,)),
        (lambda: qt.empty(0, 4), "float32", (0, 4)),
        (lambda: qt.arange(5), "int64", (5,)),
        (lambda: qt.arange(0, 1, 0.25), "float32", (4,)),
        (lambda: qt.arange(5, 0, -2), "int64", (3,)),
        (lambda: qt.linspace(0, 1, 5), "float32", (5,)),
        (lambda: qt.eye(2, 3), "float32", (2, 3)),
        (lambda: qt.randperm(4), "int64", (4,)),
        (lambda: qt.as_tensor([1.0]), "float32", (1,)),
    ],
)
def test_arrays_have_torchs_default_dtypes(make, dtype, shape):
    made = make()
    assert type(made) is np.ndarray
    assert made.dtype == dtype
    assert made.shape == shape


def test_a_seed_repeats_the_numbers():
    qt.manual_seed(3)
    first = qt.rand(2), qt.randn(2), qt.randint(0, 100, (2,)), qt.randperm(9)
    qt.manual_seed(3)
    again = qt.rand(2), qt.randn(2), qt.randint(0, 100, (2,)), qt.randperm(9)
    for one, other in zip(first, again, strict=True):
        assert_array_equal(one, other)


def test_no_grad_changes_nothing():
    @qt.no_grad()
    def double(x):
        return 2 * x

    with qt.no_grad():
        assert double(2) == 4


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda: qt.zeros(-1), ValueError, "size must be lengths from 0 on"),
        (lambda: qt.zeros("a"), TypeError, "size must be integers"),
        (lambda: qt.zeros(2, device="cuda"), ValueError, 'device must be "cpu"'),
        (lambda: qt.ones(2, requires_grad=True), ValueError, "requires_grad must be False"),
        (lambda: qt.rand(2, dtype=qt.qint8), TypeError, "dtype must be one of NumPy's, got qint8"),
        (lambda: qt.rand(2, dtype="float7"), TypeError, "dtype must be a NumPy dtype"),
        (lambda: qt.randint(3, 3, (2,)), ValueError, "high must be greater than low"),
        (lambda: qt.randint(3), TypeError, "size must be"),
        (lambda: qt.arange(0, 3, 0), ValueError, "step must lead"),
        (lambda: qt.linspace(0, 1, -1), ValueError, "steps must be"),
        (lambda: qt.from_numpy([1]), TypeError, "ndarray must be a NumPy array"),
        (lambda: qt.cuda, AttributeError, "'cuda': arrays live in the CPU's memory"),
        (lambda: qt.jit, AttributeError, "'jit': nothing has to be compiled"),
        (lambda: qt.no_such_name, AttributeError, "'no_such_name'$"),
    ],
)
def test_messages(act, error, says):
    with pytest.raises(error, match=says):
        act()


def test_dir_shows_what_users_need():
    shown = set(dir(qt))
    assert {"quantize_per_tensor", "randn", "float32", "nn", "quantization", "QTensor", "relu"} <= shown
    assert not {"sys", "import_module", "annotations"} & shown
    assert all(hasattr(qt, name) for name in shown)
