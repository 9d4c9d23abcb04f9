"""A cluster of processes: what it calibrates is exactly what one process does."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq
from quantray.quantization.calibrate import observers_of

# Tornado and Dask leave sockets and event loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client():
    # Where it is needed: importing takes more than a second, and tests are collected without it.
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.fixture
def model():
    nn.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


@pytest.mark.parametrize("observer", [tq.MinMaxObserver, tq.HistogramObserver, tq.MSEObserver])
def test_the_same_as_in_one_process(client, model, rng, observer):
    import dask.array as da

    x = (rng.standard_normal((40, 6)) * np.linspace(0.1, 3, 40)[:, None]).astype(np.float32)
    qconfig = tq.QConfig(observer, tq.default_per_channel_weight_observer)
    fused = tq.fuse_modules(model, [["0", "1"]])
    alone = tq.calibrate(tq.prepare(fused, qconfig), np.split(x, 8), show_progress=False)
    blocks = da.from_array(x, chunks=(5, 6))
    spread = tq.calibrate(tq.prepare(fused, qconfig), blocks, client=client, show_progress=False)
    first, second = tq.convert(alone), tq.convert(spread)
    for name, observer in observers_of(alone).items():
        for key, value in observer.state_dict().items():
            assert_array_equal(value, observers_of(spread)[name].state_dict()[key], err_msg=f"{name}.{key}")
    assert first[0].grid == second[0].grid
    assert first[0].input_grid == second[0].input_grid
    assert_array_equal(first(x), second(x))
    mapped = first.map_blocks(blocks)
    assert mapped.shape == (40, 3)
    assert_array_equal(mapped.compute(), first(x))


def test_moving_averages_are_refused(client, model):
    qconfig = tq.QConfig(tq.MovingAverageMinMaxObserver, tq.default_weight_observer)
    ready = tq.prepare(model, qconfig, np.ones((2, 6), np.float32))
    with pytest.raises(ValueError, match="moving averages depend on the order"):
        tq.calibrate(ready, [np.ones((2, 6), np.float32)], client=client)
