"""Eight threads on the same objects, here and in processes that were forked and spawned meanwhile."""

import multiprocessing
import threading
import warnings

import pytest
import quantray as qt
from eight_threads import differing, report, results, shared


@pytest.fixture(params=[1, 2])
def want(request):
    before = qt.get_num_threads()
    qt.set_num_threads(request.param)
    yield results()
    qt.set_num_threads(before)


def test_all_get_what_one_gets(want):
    # Packed weights and plans anew, so that the first calls meet.
    shared.cache_clear()
    assert differing(want) == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_too(want, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this platform")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    here = []
    thread = threading.Thread(target=lambda: here.extend(differing(want)))
    child = context.Process(target=report, args=(queue, want))
    with warnings.catch_warnings():
        # Python warns of fork beside threads; that it works all the same is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        thread.start()
        child.start()
    assert queue.get(timeout=120) == []
    child.join(timeout=60)
    thread.join()
    assert child.exitcode == 0
    assert here == []
