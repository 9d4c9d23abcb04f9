"""NumPy's functions, methods and operators in a forward: the same bits for other sizes too."""
# ruff: noqa: NPY002, SIM905, E731

import numpy as np
import numpy_programs_of_counted_rows as programs_that_count
import pytest
from numpy_programs import FREE, rows
from numpy_programs_of_counted_rows import FIXED, REFUSED
from programs import Program, captured, copies
from quantray import graph

UNARY = """
    absolute negative positive sign exp exp2 expm1 log log2 log10 log1p sqrt square cbrt reciprocal sin
    cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh degrees radians deg2rad rad2deg
    rint floor ceil trunc isfinite isinf isnan signbit fabs spacing conjugate logical_not modf frexp
    argsort sort flip fliplr flipud ravel copy squeeze transpose atleast_1d atleast_2d atleast_3d
    zeros_like ones_like nan_to_num sinc i0 round around fix real imag angle diff ediff1d gradient cov
    corrcoef triu tril argwhere nonzero flatnonzero unique diagonal trace isreal iscomplex real_if_close
    trapezoid matrix_transpose isneginf isposinf
""".split()
BINARY = """
    add subtract multiply divide floor_divide power float_power remainder fmod maximum minimum fmax fmin
    arctan2 hypot logaddexp logaddexp2 copysign nextafter greater greater_equal less less_equal equal
    not_equal logical_and logical_or logical_xor heaviside divmod
""".split()
REDUCTIONS = """
    sum prod mean std var max min argmax argmin all any ptp median nansum nanmean nanstd nanvar nanmax
    nanmin nanprod cumsum cumprod nancumsum count_nonzero average
""".split()
METHODS = """
    sum prod mean std var max min argmax argmin all any cumsum cumprod
""".split()
SPECIAL = """
    erf erfc expit logit log_expit ndtr gammaln digamma exprel entr erfinv i0e
""".split()


def hold(function, rng, free=True):
    """Captures a function of two arrays of four rows, and tries other numbers of rows that it is for."""
    sizes = []
    for n in (1, 2, 3, 7, 0):
        args = rows(rng, n)
        try:
            with np.errstate(all="ignore"):
                function(*copies(args))
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            continue
        sizes.append(args)
    found = captured(function, *rows(rng, 4), sizes=sizes, free=free)
    assert not found.refusals
    return found


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_array(rng, name):
    hold(lambda x, y: getattr(np, name)(x), rng)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays(rng, name):
    function = getattr(np, name)
    hold(lambda x, y: function(x, y), rng)
    hold(lambda x, y: function(x, np.float32(2)), rng)
    hold(lambda x, y: function(0.5, x), rng)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(rng, name, axis):
    hold(lambda x, y: getattr(np, name)(x, axis=axis), rng)
    if name in METHODS:
        hold(lambda x, y: getattr(x, name)(axis=axis), rng)
        hold(lambda x, y: getattr(x, name)(axis), rng)
    if axis is not None and not name.endswith(("cumsum", "cumprod")):
        hold(lambda x, y: getattr(np, name)(x, axis=axis, keepdims=True), rng)
    if axis is not None and name in ("sum", "mean", "max"):
        hold(lambda x, y: getattr(x.reshape(-1, 2, 3), name)((1, 2)), rng)


@pytest.mark.parametrize("name", SPECIAL)
def test_scipy(rng, name):
    special = pytest.importorskip("scipy.special")
    hold(lambda x, y: getattr(special, name)(x), rng)


@pytest.mark.parametrize("name", FREE)
def test_calls(rng, name):
    if name in ("getitem arange", "arange n", "tri n", "broadcast_arrays"):
        # Without rows, `arange` is asked for nothing, and that is looked at.
        hold(FREE[name], rng, free=False)
    else:
        hold(FREE[name], rng)


@pytest.mark.parametrize("name", FIXED)
def test_calls_that_count_rows(rng, name):
    found = hold(FIXED[name], rng, free=False)
    assert found.guards
    assert all(guard.at.file == programs_that_count.__file__ for guard in found.guards)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_runs_as_python(rng, name):
    function, args = REFUSED[name], rows(rng, 4)
    found = captured(function, *args, sizes=[rows(rng, 3)])
    (refusal,) = found.refusals
    assert refusal.scope == ""
    assert refusal.at.file == programs_that_count.__file__
    # Behind the imports.
    assert refusal.at.line > 8
    assert [node.kind for node in found] == ["input", "input", "python"]
    with pytest.raises(TypeError, match=r"numpy_programs_of_counted_rows\.py:\d+: "):
        graph.capture(function, args)


def test_random_numbers_are_no_constants(rng):
    function = lambda x, y: x * np.random.rand(*x.shape).astype(np.float32)
    args = rows(rng, 4)
    with pytest.raises(graph.CaptureError, match=r"test_numpy_functions\.py:\d+: an array that differs"):
        graph.capture(function, args)
    found = graph.capture(Program(function), args)
    assert [node.kind for node in found] == ["input", "input", "python"]
    assert "chance" in found.refusals[0].reason
