"""Bars: in a notebook an output that needs no widgets and stays; in a terminal tqdm's."""

import pytest

CELL = """
import sys
sys.modules["ipywidgets"] = None
import numpy as np
from quantray import nn
from quantray import quantization as tq
ready = tq.prepare(nn.Linear(2, 3))
tq.calibrate(ready, [np.ones((4, 2), np.float32)] * 7);
"""


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_shows_the_total_and_nothing_red(tmp_path):
    # It takes seconds to import: not where tests are collected, which each process does.
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = notebook.cells[0].outputs
    assert [o.output_type for o in outputs] == ["display_data"]
    data = outputs[0]["data"]
    assert data["text/plain"].startswith("calibrate: 7 of 7, ")
    assert '<progress value="7" max="7">' in data["text/html"]


def test_a_terminal_shows_tqdms(capsys):
    pytest.importorskip("tqdm")
    from quantray.quantization._progress import progress

    assert list(progress(range(3), "count")) == [0, 1, 2]
    assert "count" in capsys.readouterr().err
    assert list(progress(iter(range(3)), "count", transform=lambda x: x + 1)) == [1, 2, 3]
    assert list(progress(range(3), "count", show=False)) == [0, 1, 2]
