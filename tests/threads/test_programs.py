"""Programs on several threads: the same bits, however many share their steps, and then silence."""

import concurrent.futures
import multiprocessing
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import quantray as qt
from interrupted import interrupted
from quantray import nn
from quantray import quantization as tq


class Net(nn.Module):
    """Convolutions of each kind, a residual sum, pools, a linear layer: shared steps, and others."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU6())
        self.wide = nn.Sequential(nn.Conv2d(32, 192, 1), nn.ReLU())
        self.narrow = nn.Conv2d(192, 32, 1)
        self.pool, self.last = nn.MaxPool2d(3, 2, 1), nn.Conv2d(32, 64, 3, padding=1)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.depthwise(self.first(x))
        x = self.pool(x + self.narrow(self.wide(x)))
        return self.linear(self.last(x).mean((2, 3)))


@pytest.fixture(scope="module")
def nets():
    nn.manual_seed(0)
    net = Net().eval()
    x = np.random.default_rng(0).standard_normal((4, 3, 96, 96), np.float32)
    return {"int8": tq.quantize(net, [x], verbose=False), "dynamic": tq.quantize_dynamic(net)}


@pytest.fixture(autouse=True)
def _threads():
    before = qt.get_num_threads()
    yield
    qt.set_num_threads(before)


def images(seed, batch=1):
    return np.random.default_rng(seed).standard_normal((batch, 3, 96, 96), np.float32)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("kind", ["int8", "dynamic"])
def test_bits_do_not_depend_on_threads(nets, kind, batch):
    net, x = nets[kind], images(batch, batch)
    qt.set_num_threads(1)
    want = net(x)
    for threads in (2, 3, 8, 2):
        qt.set_num_threads(threads)
        for _ in range(10):
            np.testing.assert_array_equal(net(x), want, err_msg=f"{threads} threads")


def test_many_python_threads_at_once(nets):
    net = nets["int8"]
    qt.set_num_threads(1)
    want = [net(images(seed)) for seed in range(4)]
    qt.set_num_threads(3)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [(seed, pool.submit(net, images(seed))) for seed in [0, 1, 2, 3] * 10]
        for seed, call in calls:
            np.testing.assert_array_equal(call.result(timeout=60), want[seed])


def _child(queue, net):
    queue.put([net(images(1)) for _ in range(3)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forked_children_have_a_pool_of_their_own(nets):
    net = nets["int8"]
    qt.set_num_threads(2)
    want = net(images(1))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        # Python warns of fork beside threads; that it works all the same is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [context.Process(target=_child, args=(queue, net)) for _ in range(2)]
        for child in children:
            child.start()
    for _ in children:
        for got in queue.get(timeout=60):
            np.testing.assert_array_equal(got, want)
    for child in children:
        child.join(timeout=60)
        assert child.exitcode == 0
    np.testing.assert_array_equal(net(images(1)), want)


def states():
    """Of the pool's threads, as Linux has them."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        if name == "quantray":
            found.append(rest.split()[0])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of threads")
def test_workers_sleep_when_there_is_nothing_to_do_and_help_again(nets):
    net, x = nets["int8"], images(2)
    qt.set_num_threads(3)
    want = net(x)
    for _ in range(5):
        deadline = time.monotonic() + 30
        while set(states()) != {"S"} and time.monotonic() < deadline:
            time.sleep(1e-3)
        assert set(states()) == {"S"}
        np.testing.assert_array_equal(net(x), want)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this platform")
def test_workers_may_run_where_they_could_before(nets):
    net, x = nets["int8"], images(2)
    qt.set_num_threads(2)
    cpus = os.sched_getaffinity(0)
    for _ in range(20):
        net(x)
        time.sleep(2e-3)
    deadline = time.monotonic() + 30
    workers = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    while any(os.sched_getaffinity(w) != cpus for w in workers) and time.monotonic() < deadline:
        time.sleep(1e-3)
    assert [os.sched_getaffinity(w) for w in workers] == [cpus] * len(workers)


INTERRUPTED = """
import numpy as np, quantray as qt
from quantray import nn
from quantray import quantization as tq
nn.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)).eval()
small = tq.quantize(net, [np.ones((1, 3, 32, 32), np.float32)], verbose=False)
qt.set_num_threads(2)
x = np.ones((1, 3, 32, 32), np.float32)
want = small(x)
large = np.ones((64, 3, 256, 256), np.float32)
print("ready", flush=True)
try:
    while True:
        small(large)
except KeyboardInterrupt:
    print("interrupted", bool((small(x) == want).all()), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_ends_a_program():
    assert interrupted(INTERRUPTED) == "interrupted True\n"
