"""Observers and fake quantization of one's own: what to write, and what an error says of what is missing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from quantray import nn
from quantray import quantization as tq


class Middle(tq.UniformQuantizationObserverBase):
    """The range of nearly all values."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.register_buffer("low", np.array(0.0, np.float32))
        self.register_buffer("high", np.array(0.0, np.float32))

    def observe(self, x):
        low, high = np.quantile(x, [0.01, 0.99])
        self.low, self.high = np.minimum(self.low, np.float32(low)), np.maximum(self.high, np.float32(high))

    def range(self):
        return self.low, self.high


def test_an_observer_in_the_workflow(rng):
    nn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    x = rng.normal(size=(500, 4)).astype(np.float32)
    qconfig = tq.QConfig(Middle, tq.default_weight_observer)
    ready = tq.prepare(model, qconfig, x)
    with pytest.raises(ValueError, match="Middle saw no data"):
        tq.convert(ready)
    ready(x)
    small = tq.convert(ready)
    assert small[0].scale < tq.quantize(model, x, verbose=False)[0].scale
    assert_allclose(small(x), model(x), atol=0.8)


def test_an_observers_missing_methods_are_named():
    class Blind(tq.UniformQuantizationObserverBase):
        pass

    class Rangeless(Blind):
        def observe(self, x):
            pass

    with pytest.raises(NotImplementedError, match=r"Blind must define observe\(x\): it takes in the values"):
        Blind()([1.0])
    observer = Rangeless()
    observer([1.0])
    with pytest.raises(NotImplementedError, match=r"Rangeless must define range\(\): the smallest and"):
        observer.calculate_qparams()


@pytest.mark.parametrize("found", [(1.0, -1.0), (0.0, np.nan), (0.0, np.inf)])
def test_ranges_that_are_none(found):
    class Wrong(tq.UniformQuantizationObserverBase):
        def observe(self, x):
            pass

        def range(self):
            return found

    observer = Wrong()
    observer([1.0])
    with pytest.raises(ValueError, match=r"Wrong.range\(\) must give finite numbers, the smaller one first"):
        observer.calculate_qparams()


class Shifts(tq.FakeQuantizeBase):
    """Weights on powers of two, in training."""

    @property
    def has_data(self):
        return True

    def observe(self, x):
        pass

    def quantize(self, X):
        from quantray import grids

        return grids.fake_quantize(X, "pow2_4", (1, 1) if np.ndim(X) == 2 else 1)


def test_fake_quantization_of_ones_own(rng):
    fake = Shifts()
    assert_allclose(fake(np.float32([[0.3, -2.0]])), [[0.3, -2.0]])
    fake.disable_fake_quant()
    assert fake([[0.3]]) == [[0.3]]
    with pytest.raises(NotImplementedError, match=r"Shifts must define calculate_qparams\(\)"):
        fake.calculate_qparams()

    class Empty(tq.FakeQuantizeBase):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define observe\(x\)"):
        Empty()([1.0])
    empty = Empty()
    empty.disable_observer()
    with pytest.raises(NotImplementedError, match=r"Empty must define quantize\(X\)"):
        empty([1.0])
