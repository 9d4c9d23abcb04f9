"""The reference: a page for each package, a section for each of its files, an entry for each public name.

Nothing is listed by hand: what stands in `__all__` is there, under the first sentence of the file that it
comes from.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

#: Packages in the order of their pages; those that are not there yet are left out.
PACKAGES = {
    "quantray": "Tensors",
    "quantray.grids": "Grids",
    "quantray.ops": "Operators",
    "quantray.nn": "Modules",
    "quantray.nn.functional": "Functions of models",
    "quantray.nn.init": "How parameters begin",
    "quantray.quantization": "Quantization",
    "quantray.nn.quantized": "Modules of integers",
    "quantray.nn.quantized.dynamic": "Modules of 8-bit weights",
    "quantray.nn.intrinsic": "Fused modules",
    "quantray.nn.qat": "Modules in training for integers",
    "quantray.graph": "Graphs",
    "quantray.onnx": "ONNX",
    "quantray.analysis": "Analysis",
    "quantray.optim": "Optimizers",
    "quantray.quantization.observer": "Observers",
    "quantray.quantization.fake_quantize": "Fake quantization",
}

#: What the compiled module's names are about, since it is one module: the first pattern that fits.
_COMPILED = [
    (r"Packed(Linear|Conv|Weight)", "Layers, packed for this CPU"),
    (r"Packed|lstm|gru|rnn$", "Recurrent layers"),
    (r"quantize_|make_", "Making tensors"),
    (r"fake_quantize", "Fake quantization"),
    (r"(adaptive_)?(avg|max)_pool|interpolate", "Images"),
    (r"matmul|int_mm|add$|sub$|mul$|embedding", "Products, sums and rows"),
    (r"elu$|.*elu|sigmoid|tanh|hard|softmax|layer_norm|self_attention|relu6", "Functions"),
    (r"cpu_info|set_|get_|explain|peaks|read_bandwidth", "The machine, and settings"),
    (r"save|load|read_metadata", "Files of tensors and of models"),
    (r"QTensor|ValuesAndIndices|.*Quantizer|dtype|qscheme", "Classes"),
    (r"q(u)?int|per_(tensor|channel)", "Data types and schemes"),
]
_SAME = re.compile(r"The same as `(QTensor\.\w+)`")


def _section(name: str, value: Any, package: str) -> str:
    """The title of the section that a name stands in."""
    home = getattr(value, "__module__", None) or package
    if isinstance(value, ModuleType):
        return ""
    if _SAME.search(inspect.getdoc(value) or "") and home == "quantray":
        return "Methods as functions"
    if "_factory" in home or isinstance(value, dict) or (not callable(value) and "quantization" in package):
        return "Defaults"
    if home not in ("quantray", "quantray.ops", "quantray._core"):
        doc = inspect.getdoc(import_module(home)) or ""
        return re.split(r"[.:](?:\s|$)", doc, maxsplit=1)[0].replace("\n", " ").removesuffix(".")
    return next((title for pattern, title in _COMPILED if re.match(pattern, name)), "Functions of tensors")


def _summary(value: Any) -> str:
    return re.split(r"\.(?:\s|$)", inspect.getdoc(value) or "", maxsplit=1)[0].replace("\n", " ")


def _entry(name: str, value: Any, title: str) -> Iterator[str]:
    """The directive that documents a name."""
    if title == "Methods as functions":
        method = _SAME.search(inspect.getdoc(value) or "")
        assert method is not None
        yield f"- `{name}`: {_summary(value)}. `{method[1]}`"
    elif inspect.isclass(value):
        yield from (f".. autoclass:: {name}", "")
    elif title != "Defaults" and callable(value) and not isinstance(value, (dict, list)):
        yield from (f".. autofunction:: {name}", "")
    else:
        yield from (f".. py:data:: {name}", "")
        if not isinstance(value, (dict, str)):
            yield from ("   .. code-block:: text", "", f"      {value!r}", "")


def page(package: str, title: str, seen: dict[int, str]) -> str:
    """The page of a package in reStructuredText."""
    module = import_module(package)
    sections: dict[str, list[str]] = {}
    for name in module.__all__:
        value = getattr(module, name)
        where = _section(name, value, package)
        # A name that a page before this one has is not documented twice.
        known = seen.setdefault(id(value), package) if callable(value) else package
        if where and known == package and not name.startswith("__"):
            sections.setdefault(where, []).extend(_entry(name, value, where))
    lines = [title, "=" * len(title), "", f".. py:module:: {package}", ""]
    intro = (inspect.getdoc(module) or "").split("\n\n")
    lines += "\n\n".join(intro).splitlines()
    # What is a list of names comes last.
    last = [t for t in ("Defaults", "Methods as functions") if t in sections]
    for where in [*(t for t in sections if t not in last), *last]:
        lines += ["", where, "-" * len(where), "", f".. py:currentmodule:: {package}", "", *sections[where]]
    return "\n".join(lines) + "\n" if sections else ""


def write(app: Sphinx) -> None:
    """Writes the pages into `reference`, which is not committed."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    seen: dict[int, str] = {}
    names: list[str] = []
    for package, title in PACKAGES.items():
        if util.find_spec(package) is None:
            continue
        text = page(package, title, seen)
        if text:
            names.append(package.replace(".", "-"))
            _write(folder / f"{names[-1]}.rst", text)
    index = ["Reference", "=========", "", ".. toctree::", "   :maxdepth: 2", "", *(f"   {n}" for n in names)]
    _write(folder / "index.rst", "\n".join(index) + "\n")
    for old in folder.glob("*.rst"):
        if old.stem not in (*names, "index"):
            old.unlink()


def _write(path: Path, text: str) -> None:
    # What has not changed keeps its time, and is not built again.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Before Sphinx looks for pages."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
