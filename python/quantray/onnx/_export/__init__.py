"""From graphs to files."""

from quantray.onnx._export import (  # noqa: F401
    _arrays,  # pyright: ignore[reportUnusedImport]
    _attention,  # pyright: ignore[reportUnusedImport]
    _functions,  # pyright: ignore[reportUnusedImport]
    _integers,  # pyright: ignore[reportUnusedImport]
    _layers,  # pyright: ignore[reportUnusedImport]
    _modules,  # pyright: ignore[reportUnusedImport]
    _moves,  # pyright: ignore[reportUnusedImport]
    _spatial,  # pyright: ignore[reportUnusedImport]
)
from quantray.onnx._export._save import save

__all__ = ["save"]
