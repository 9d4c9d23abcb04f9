"""torch 2.15's own results, from the files of `reference`."""

import json
import pathlib

import numpy as np
import pytest

REFERENCE = pathlib.Path(__file__).parent / "reference"


def cases(topic, keep=lambda case: True):
    """A parametrization of `case`, one call and its results: those of a topic that `keep` holds for."""
    arrays = dict(np.load(REFERENCE / f"{topic}.npz"))

    def value(v):
        return arrays[v["array"]] if isinstance(v, dict) and "array" in v else v

    found = json.loads((REFERENCE / f"{topic}.json").read_text())
    found = [{k: value(v) for k, v in case.items()} for case in found]
    found = [case for case in found if keep(case)]
    assert found
    names = [str(case.get("name") or case.get("input") or "") for case in found]
    return pytest.mark.parametrize("case", found, ids=[f"{i}-{name}" for i, name in enumerate(names)])
