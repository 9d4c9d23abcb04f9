"""The gallery: each program in `gallery` makes one picture, drawn on light and on dark, and a page of it.

A program's docstring is the page's text, its first line the title. It leaves its picture in `figure`.
"""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from sphinx.application import Sphinx

#: Paper and ink of the theme's two modes; pictures are transparent.
INKS = {"light": "#222832", "dark": "#ced6dd"}
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor")


def draw(program: Path, folder: Path) -> None:
    """Runs a program once for each mode and saves its picture."""
    for mode, ink in INKS.items():
        target = folder / f"{program.stem}-{mode}.png"
        if target.exists() and target.stat().st_mtime > program.stat().st_mtime:
            continue
        settings = dict.fromkeys(_INKED, ink) | {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        }
        with plt.rc_context(settings):
            figure = runpy.run_path(str(program))["figure"]
            figure.savefig(target, dpi=160, transparent=True)
            plt.close("all")


def _parts(program: Path) -> tuple[str, str, str]:
    """Title, text and code of a program."""
    source = program.read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(source))
    if not doc:
        raise ValueError(f"{program.name} must begin with a docstring, got none")
    title, _, text = doc.partition("\n")
    return title.removesuffix("."), text.strip(), source.split('"""', 2)[2].strip()


def write(app: Sphinx) -> None:
    """Pictures, a page for each, and the page of all."""
    folder = Path(app.srcdir) / "gallery"
    pictures = Path(app.srcdir) / "_static" / "gallery"
    pictures.mkdir(exist_ok=True)
    cards: list[str] = []
    names: list[str] = []
    for program in sorted(folder.glob("*.py")):
        draw(program, pictures)
        title, text, code = _parts(program)
        name = program.stem
        images = "\n".join(
            f'<img class="only-{mode} picture" src="../_static/gallery/{name}-{mode}.png" alt="{title}">'
            for mode in INKS
        )
        page = f"# {title}\n\n{text}\n\n{images}\n\n```python\n{code}\n```\n"
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
        cards.append(f'<a class="card-link" href="{name}.html">\n{images}\n<span>{title}</span></a>')
        names.append(name)
    index = [
        "# Gallery\n\nEach picture with the program that draws it.\n",
        '<div class="cards">',
        *cards,
        "</div>\n",
        "```{toctree}\n:hidden:\n",
        *names,
        "```",
    ]
    (folder / "index.md").write_text("\n".join(index) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Before Sphinx looks for pages."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
