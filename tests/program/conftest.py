from collections.abc import Iterator

import pytest
import quantray as qt


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = qt.get_num_threads()
    qt.set_num_threads(request.param)
    yield request.param
    qt.set_num_threads(before)
