"""Observers: torch's own scales and zero points, and the same answer however data comes."""

import numpy as np
import pytest
from golden import cases
from quantray import quantization as tq


@cases("observers")
def test_qparams_are_torchs(case):
    names = ("dtype", "qscheme", "reduce_range", "averaging_constant", "ch_axis")
    observer = getattr(tq, case["observer"])(**{name: case[name] for name in names if name in case})
    for i in range(case["n_batches"]):
        batch = case[f"batch{i}"]
        assert observer(batch) is batch
    scale, zero_point = observer.calculate_qparams()
    np.testing.assert_array_equal(scale, case["scale"])
    np.testing.assert_array_equal(zero_point, case["zero_point"])
    assert (scale.dtype, zero_point.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("name", ["MinMaxObserver", "PerChannelMinMaxObserver", "HistogramObserver"])
def test_without_data(name):
    observer = getattr(tq, name)()
    observer(np.zeros((3, 0), np.float32))
    with pytest.raises(RuntimeError, match=f"{name} saw no data"):
        observer.calculate_qparams()
