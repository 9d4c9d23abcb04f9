"""Arguments of views: the ways to write them, and what is said of those that are wrong."""

import numpy as np
import pytest
from test_indices import C
from test_views import NUMPY, call, check, make

SYNONYMS = {
    "reshape": ([6, 4], [(6, 4)], [[6, 4]], [-1, 4], [np.int64(6), 4]),
    "view": ([24], [(24,)], [-1]),
    "permute": ([2, 0, 1], [(2, 0, 1)], [[-1, -3, -2]]),
    "transpose": ([], [2, 1, 0], [(2, 1, 0)], [0, 2], [-1, 0]),
    "flatten": ([], [0], [0, -1], [-3, 2]),
    "flip": ([], [0, 1, 2], [[0, 1, -1]]),
    "expand": ([5, 2, 3, 4], [(5, 2, 3, 4)], [[5, -1, -1, -1]]),
    "split": ([1, 0], [[1, 1]], [(1, 1)], [1]),
}


@pytest.mark.parametrize("name", SYNONYMS)
def test_ways_to_write_the_same_arguments(name):
    q, model = make((2, 3, 4))
    wanted = model.do(lambda a: NUMPY[name](a, *SYNONYMS[name][0]))
    for args in SYNONYMS[name]:
        got = call(q, name, args)
        for part in zip(*((got, wanted) if name == "split" else ([got], [wanted])), strict=True):
            check(*part)


@pytest.mark.parametrize(("name", "args"), [("squeeze", []), ("split", [1]), ("chunk", [2])])
def test_axis_is_another_word_for_dim(name, args):
    q, model = make((2, 3, 1))
    wanted = model.do(lambda a: NUMPY[name](a, *args, 2))
    for word in ("dim", "axis"):
        got = getattr(q, name)(*args, **{word: 2})
        for part in zip(*((got, wanted) if name != "squeeze" else ([got], [wanted])), strict=True):
            check(*part)


Q, ONE, PACK = make((2, 3, 4))[0], make((2, 1, 4), axis=1)[0], make((2, 3, 4), "quint4x2")[0]
SCALAR = Q[0, 0, 0]


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda: Q[2], IndexError, "index 2 is out of bounds for axis 0 with size 2"),
        (lambda: Q[[0, -3]], IndexError, "index -3 is out of bounds for axis 0 with size 2"),
        (lambda: Q[0, 0, 0, 0], IndexError, "3-dimensional, but 4 were indexed"),
        (lambda: Q[np.ones((3, 3), bool)], IndexError, "axis 0; size of axis is 2 but .* is 3"),
        (lambda: Q["a"], IndexError, "only integers, slices"),
        (lambda: Q[0.5], IndexError, "only integers, slices"),
        (lambda: SCALAR[0], IndexError, "0-dimensional, but 1 were indexed"),
        (lambda: Q.reshape(5), ValueError, r"shape must be .*24 elements.*got \(5"),
        (lambda: Q.reshape(-1, -1), ValueError, r"shape must be .*one -1, got \(-1, -1\)"),
        (lambda: Q.reshape(-1, 5), ValueError, r"shape must be .*24 elements.*\(-1, 5\)"),
        (lambda: Q.reshape(2**40, 2**40), ValueError, "shape must be .*24 elements"),
        (lambda: Q[:0].reshape(-1, 0), ValueError, r"shape must be .*\(-1, 0\)"),
        (lambda: Q.reshape(2.0, 12), TypeError, "shape must be integers"),
        (lambda: Q.T.view(24), ValueError, r"use reshape\(\)"),
        (lambda: C.reshape(6, 4), ValueError, r"channel axis, 1 of \(2, 3, 4\).*dequantize\(\)"),
        (lambda: C.ravel(), ValueError, r"channel axis, 1 of \(2, 3, 4\).*dequantize\(\)"),
        (lambda: C.flatten(1), ValueError, r"channel axis, 1 of \(2, 3, 4\).*dequantize\(\)"),
        (lambda: C.view(2, 12), ValueError, r"channel axis, 1 of \(2, 3, 4\).*dequantize\(\)"),
        (lambda: C[[0, 1], [[0, 1], [1, 0]]], ValueError, r"mix channels.*dequantize\(\)"),
        (lambda: Q.flatten(2, 1), ValueError, "start_dim must be at or before end_dim, 1, got 2"),
        (lambda: Q.flatten(3), IndexError, "start_dim must be in -3 to 2.*got 3"),
        (lambda: Q.permute(0, 0, 1), ValueError, r"dims must be every axis of 3 once, got \(0, 0, 1\)"),
        (lambda: Q.permute(0, 1), ValueError, r"dims must be every axis of 3 once, got \(0, 1\)"),
        (lambda: Q.transpose(0, 3), IndexError, "dim1 must be in -3 to 2.*got 3"),
        (lambda: Q.squeeze(-4), IndexError, "dim must be in -3 to 2.*got -4"),
        (lambda: Q.squeeze("a"), TypeError, "dim"),
        (lambda: Q.squeeze(0, axis=0), TypeError, "axis.*dim"),
        (lambda: Q.unsqueeze(4), IndexError, "dim must be in -4 to 3.*got 4"),
        (lambda: Q.movedim(0, 3), IndexError, "destination must be in -3 to 2.*got 3"),
        (lambda: Q.movedim("a", 0), TypeError, "source"),
        (lambda: Q.flip(3), IndexError, "dims must be in -3 to 2.*got 3"),
        (lambda: Q.flip(0, -3), ValueError, "dims"),
        (lambda: Q.flip("a"), TypeError, "dims must be integers"),
        (lambda: Q.expand(3), ValueError, r"sizes must be .*\(2, 3, 4\).*\[3\]"),
        (lambda: Q.expand(2, 3, 5), ValueError, r"sizes must be .*\(2, 3, 4\).*\[2, 3, 5\]"),
        (lambda: Q.expand(-1, 2, 3, 4), ValueError, r"sizes must be .*\[-1, 2, 3, 4\]"),
        (lambda: Q.expand(2**62, 2**62, 2, 3, 4), ValueError, "sizes"),
        (lambda: ONE.expand(2, 5, 4), ValueError, "channel"),
        (lambda: Q.select(1, 3), IndexError, "index 3 is out of bounds for axis 1 with size 3"),
        (lambda: Q.select(3, 0), IndexError, "dim must be in -3 to 2.*got 3"),
        (lambda: Q.select(0, 2**70), IndexError, "index"),
        (lambda: Q.select("a", 0), TypeError, "dim"),
        (lambda: Q.narrow(2, 3, 2), IndexError, "start must be .* axis' 4, got 3"),
        (lambda: Q.narrow(2, -5, 1), IndexError, "start must be .* axis' 4, got -5"),
        (lambda: Q.narrow(2, 1, -1), (ValueError, IndexError), "length must be .*got -1"),
        (lambda: Q.unbind(3), IndexError, "dim must be in -3 to 2.*got 3"),
        (lambda: SCALAR.unbind(), IndexError, "dim .*no dimensions"),
        (lambda: Q.split(0), ValueError, "split_size_or_sections must be at least 1, got 0"),
        (lambda: Q.split([1, 1], 1), ValueError, r"split_size_or_sections must be .*3.*axis 1, got \[1, 1\]"),
        (lambda: Q.split([2**63, 2**63, 3], 1), ValueError, "split_size_or_sections must be .*3.*axis 1"),
        (lambda: Q.split([4, -1], 1), (TypeError, ValueError), "split_size_or_sections must be .*-1"),
        (lambda: Q.split("a"), TypeError, "split_size_or_sections must be .*'a'"),
        (lambda: Q.chunk(0), ValueError, "chunks must be at least 1, got 0"),
        (lambda: Q.chunk(1, 3), IndexError, "dim must be in -3 to 2.*got 3"),
        (lambda: PACK[0, 0, 1:], ValueError, "quint4x2 elements share bytes.*inside of one"),
        (lambda: PACK[:, 0], ValueError, "quint4x2 elements share bytes.*not contiguous"),
        (lambda: PACK[[0]], ValueError, "quint4x2 elements share bytes.*index array"),
        (lambda: PACK[PACK > 0], ValueError, "quint4x2 elements share bytes.*mask"),
    ],
)
def test_errors_name_the_argument_and_what_is_valid(act, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        act()
