"""Work on shared objects, with results that are known: for many threads, and for processes that import it."""

import functools
import threading

import numpy as np
import quantray as qt
from quantray import nn
from quantray import quantization as tq

THREADS = 8


@functools.cache
def shared():
    """Objects that all threads use, and calls of them."""
    rng = np.random.default_rng(0)
    nn.manual_seed(0)
    floats = rng.standard_normal((256, 512), dtype=np.float32)
    x = qt.quantize_per_tensor(floats, 0.03, 128, qt.quint8)
    w = qt.quantize_per_channel(floats[:64], np.full(64, 0.03), np.zeros(64, int), axis=0, dtype=qt.qint8)
    linear = qt.ops.PackedLinear(w, bias=floats[0, :64])
    lstm = qt.ops.PackedLSTM([(w[:, :16], w[:, :16])])
    sequence = floats.reshape(-1, 8, 16)[:20]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(1152, 5))
    images = rng.standard_normal((16, 3, 16, 16), dtype=np.float32)
    int8 = tq.quantize(model.eval(), images, verbose=False)
    small = tq.quantize_dynamic(model, {nn.Linear})
    return {
        "quantize": lambda: qt.quantize_per_tensor(floats, 0.03, 128, qt.quint8).int_repr(),
        "linear": lambda: linear(x, scale=0.5, zero_point=3).int_repr(),
        "dynamic linear": lambda: linear.dynamic(floats),
        "lstm": lambda: lstm(sequence)[0],
        "sort": lambda: x.sort(dim=1)[0].int_repr(),
        "views": lambda: x.T[::3, 5:].reshape(-1).dequantize(),
        # Plans are made in the first call for a shape, and kept: threads meet there.
        **{f"model of {n}": functools.partial(int8, images[:n]) for n in (1, 3, 16)},
        "dynamic model": lambda: small(images[:4]),
    }


def results():
    """What each call gives."""
    return {name: np.asarray(call()).copy() for name, call in shared().items()}


def differing(want, threads=THREADS, rounds=3):
    """The names of the calls that gave something else in one of many threads, which start together."""
    wrong, start = [], threading.Barrier(threads)
    calls = list(shared().items())

    def work(number):
        start.wait()
        try:
            for i in range(rounds * len(calls)):
                # Each thread begins elsewhere.
                name, call = calls[(number + i) % len(calls)]
                if not np.array_equal(np.asarray(call()), want[name]):
                    wrong.append(name)
        except Exception as error:
            wrong.append(repr(error))

    all_threads = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()
    return wrong


def report(queue, want):
    """For a process: what differs there, as the parent knows it."""
    queue.put(differing(want))
