"""How pictures look, here and in the notebooks: one place.

Backgrounds are transparent and lines of a middle lightness, so that a picture is read on light pages and on
dark ones. The four colours are told apart by people with any kind of colour blindness, and in grey; no
meaning hangs on colour alone. Widths and sizes of type are such that a phone shows them legibly.
"""

from __future__ import annotations

import importlib
from types import ModuleType

BLUE, ORANGE, TEAL, PINK, GREY = "#3d85d1", "#d9701f", "#17917c", "#c0568f", "#7d7d7d"
#: Of magnitudes: one that is read in grey, too.
COLOURS = "cividis"
#: Inches; type of 10 points in it is 10 pixels high on a phone.
WIDTH = 5.6

RC: dict[str, object] = {
    "figure.dpi": 96,
    "figure.facecolor": "none",
    "figure.figsize": (WIDTH, 3.4),
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": None,
    "font.size": 10,
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "grid.color": GREY,
    "grid.alpha": 0.3,
}


def settings() -> dict[str, object]:
    """The settings, for `matplotlib.rc_context`."""
    cycler = importlib.import_module("matplotlib").cycler
    return {**RC, "axes.prop_cycle": cycler(color=[BLUE, ORANGE, TEAL, PINK])}


def style() -> None:
    """Sets matplotlib up as all pictures here are: call it once in a notebook.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    pyplot().rcParams.update(settings())


def pyplot() -> ModuleType:
    """matplotlib's `pyplot`.

    Raises
    ------
    ImportError
        It is not installed; what to do is said.
    """
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from None
