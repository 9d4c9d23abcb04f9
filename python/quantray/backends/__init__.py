"""Torch's place of what runs integers: `quantray.backends.quantized`."""

from quantray.backends._quantized import Engines, quantized

__all__ = ["Engines", "quantized"]
