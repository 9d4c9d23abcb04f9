"""Threads, processes and signals: many callers at once, fork, Ctrl-C, and the environment's settings."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import quantray as qt
from interrupted import interrupted

LARGE = 1 << 21


@pytest.fixture(autouse=True)
def _two_threads():
    before = qt.get_num_threads()
    qt.set_num_threads(2)
    yield
    qt.set_num_threads(before)


def codes(seed):
    x = np.random.default_rng(seed).standard_normal(LARGE, dtype=np.float32)
    return qt.quantize_per_tensor(x, 0.02, 3, qt.quint8).int_repr()


def expected(seed):
    x = np.random.default_rng(seed).standard_normal(LARGE, dtype=np.float32)
    return np.clip(np.rint(x * (np.float32(1) / np.float32(0.02))) + 3, 0, 255).astype(np.uint8)


def test_many_python_threads_at_once():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for seed, got in enumerate(pool.map(codes, range(16))):
            np.testing.assert_array_equal(got, expected(seed))


def _child(queue):
    queue.put(codes(7))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork_after_threads_were_used():
    codes(0)  # the pool exists, and is not inherited
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        # Python warns of fork beside threads; that it works all the same is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=_child, args=(queue,))
        child.start()
    got = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(got, expected(7))
    np.testing.assert_array_equal(codes(8), expected(8))  # and the parent goes on


def test_other_python_threads_go_on_during_long_work():
    x = np.zeros(1 << 24, np.float32)
    done, ticks = threading.Event(), 0

    def tick():
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0)

    thread = threading.Thread(target=tick)
    before = sys.getswitchinterval()
    # Nobody takes the lock away from a thread that does not let go of it: each tick is one during a call.
    sys.setswitchinterval(1000)
    try:
        thread.start()
        ticks, deadline = 0, time.monotonic() + 30
        while ticks < 5 and time.monotonic() < deadline:
            qt.quantize_per_tensor(x, 0.1, 0, qt.qint8)
        seen = ticks
    finally:
        done.set()
        sys.setswitchinterval(before)
    thread.join()
    assert seen >= 5


INTERRUPTED = """
import numpy as np, quantray as qt, sys, time
# One call that runs for many seconds: a stride of 0 makes it large without memory.
x = np.zeros(1 << 22, np.float32)
out = np.empty(1 << 22, np.int8)
print("ready", flush=True)
try:
    while True:
        qt.quantize_per_tensor(x, 0.1, 0, qt.qint8, out=out)
except KeyboardInterrupt:
    q = qt.quantize_per_tensor(x, 0.1, 0, qt.qint8)
    print("interrupted", int(q.int_repr().max()), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_is_a_keyboard_interrupt():
    assert interrupted(INTERRUPTED) == "interrupted 0\n"


def in_fresh_process(code, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("QUANTRAY_")} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_environment_lowers_the_instruction_set():
    done = in_fresh_process("import quantray as qt; print(qt.cpu_info()['isa'])", QUANTRAY_ISA="scalar")
    assert done.stdout == "scalar\n", done.stderr


def test_environment_names_an_unknown_instruction_set():
    done = in_fresh_process("import quantray", QUANTRAY_ISA="avx9000")
    assert done.returncode != 0
    assert "QUANTRAY_ISA" in done.stderr
    assert "avx9000" in done.stderr
    assert "scalar" in done.stderr


def test_environment_sets_the_number_of_threads():
    done = in_fresh_process("import quantray as qt; print(qt.get_num_threads())", QUANTRAY_NUM_THREADS="3")
    assert done.stdout == "3\n", done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_environment_names_an_invalid_number_of_threads(value):
    done = in_fresh_process("import quantray", QUANTRAY_NUM_THREADS=value)
    assert done.returncode != 0
    assert "QUANTRAY_NUM_THREADS" in done.stderr
    assert value in done.stderr


@pytest.mark.parametrize("value", [0, -3])
def test_at_least_one_thread(value):
    before = qt.get_num_threads()
    with pytest.raises(ValueError, match=f"num_threads must be at least 1, got {value}"):
        qt.set_num_threads(value)
    assert qt.get_num_threads() == before


def test_unknown_instruction_set_changes_nothing():
    before = qt.cpu_info()["isa"]
    with pytest.raises(ValueError, match="scalar"):
        qt.set_isa("avx9000")
    assert qt.cpu_info()["isa"] == before
