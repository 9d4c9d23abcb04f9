"""From graphs to files."""

from quantray.onnx._export import _attention, _functions, _integers, _layers, _modules, _moves  # noqa: F401  # pyright: ignore[reportUnusedImport]
from quantray.onnx._export._save import save

__all__ = ["save"]
