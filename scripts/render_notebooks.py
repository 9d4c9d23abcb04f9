"""Runs the notebooks top to bottom and writes them back with outputs, free of what differs between machines.

    python scripts/render_notebooks.py [notebooks/01-quantized-tensors.ipynb ...]

Needs `pip install '.[notebook]'`. A cell that raises stops it and leaves the file as it was.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def smaller(png: str) -> str:
    """The picture with a palette of 256 colours, which plots can do with: a third of the bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).quantize(256, Image.Quantize.FASTOCTREE)
    small = io.BytesIO()
    picture.save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def render(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    # Where it lies: 04 and 05 import `digits.py` beside them.
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", record_timing=False, resources=resources
    )
    client.execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise SystemExit(f"{path}: a cell writes to stderr:\n{output.text}")
            if "metadata" in output:
                # Else Jupyter puts a background of its own behind transparent pictures.
                output.metadata = {}
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    for argument in [Path(a) for a in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        render(argument)
