"""Fixtures that every test may use: instruction sets and threads, printing, seeds, hypothesis profiles."""

import gc
import itertools
import os
import signal

import hypothesis
import numpy as np
import pytest
import quantray as qt
from quantray import nn

# Collecting makes millions of objects, none of which is garbage: to look for some takes a fifth of its time.
gc.disable()

hypothesis.settings.register_profile("default", max_examples=60, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=3000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Runs in the background need not hear Ctrl-C, but tests of it must, and the programs that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """What has been collected stays until the end, and is not looked through for garbage while tests run."""
    gc.collect()
    gc.freeze()
    gc.enable()


KERNELS = list(itertools.product(qt.cpu_info()["available"], [1, 2]))


@pytest.fixture(params=KERNELS, ids=[f"{isa}-{threads}t" for isa, threads in KERNELS])
def kernels(request):
    """Every instruction set of this CPU, alone and with two threads."""
    before = qt.cpu_info()
    isa, threads = request.param
    qt.set_isa(isa)
    qt.set_num_threads(threads)
    yield request.param
    qt.set_isa(before["isa"])
    qt.set_num_threads(before["num_threads"])


@pytest.fixture
def each_kernel():
    """The same in one test, where what is right takes long to know: what goes through their names."""
    before = qt.cpu_info()

    def each():
        for isa, threads in KERNELS:
            qt.set_isa(isa)
            qt.set_num_threads(threads)
            yield f"{isa}, {threads} threads"

    yield each
    qt.set_isa(before["isa"])
    qt.set_num_threads(before["num_threads"])


@pytest.fixture(autouse=True)
def _print_options():
    """Printing as it is by default, before and after."""
    yield
    qt.set_printoptions(profile="default")


@pytest.fixture(autouse=True)
def _weights():
    """New layers have the same weights in every run, whatever ran before."""
    nn.manual_seed(0)


@pytest.fixture
def rng():
    """The same random numbers in every run."""
    return np.random.default_rng(0)
