"""Windows of convolutions and pools: kernels, steps, and what is padded on each side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsInt

from quantray._typing import Array
from quantray.onnx._lengths import is_length
from quantray.onnx.operators._registry import Call


@dataclass(frozen=True)
class Window:
    """The geometry of a node.

    Attributes
    ----------
    kernel, strides, dilations : tuple of int
        For each axis of an image.
    pads : tuple of (int, int), optional
        Before and after; None where `auto` says it.
    auto : str
        "NOTSET", "VALID", "SAME_UPPER" or "SAME_LOWER".
    output_padding : tuple of int
        Of transposed convolutions.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...] | None
    auto: str
    output_padding: tuple[int, ...]

    @classmethod
    def of(cls, call: Call, kernel: Sequence[SupportsInt] | None = None) -> Window:
        """What a node's attributes say; the kernel is the weight's, where there is one."""
        lengths = call.integers("kernel_shape") if kernel is None else tuple(int(n) for n in kernel)
        if lengths is None:
            raise call.error("it has no kernel_shape")
        dims = len(lengths)
        if not 1 <= dims <= 3:
            raise call.error(f"kernels have 1 to 3 axes, got {dims}")
        auto = call.get("auto_pad", "NOTSET")
        if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            raise call.error(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {auto!r}")
        flat = call.integers("pads") or (0,) * (2 * dims)
        if len(flat) != 2 * dims:
            raise call.error(f"pads must be {2 * dims} integers, got {list(flat)}")
        pads = tuple(zip(flat[:dims], flat[dims:], strict=True)) if auto == "NOTSET" else None
        if auto == "VALID":
            pads = ((0, 0),) * dims
        each = [
            call.integers(name) or (default,) * dims
            for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
        ]
        if any(len(one) != dims for one in each):
            raise call.error(f"strides and dilations must be {dims} integers each")
        return cls(lengths, each[0], each[1], pads, auto, each[2])

    @property
    def reach(self) -> tuple[int, ...]:
        """Elements from a window's first to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def fixed_sides(self) -> list[tuple[int, int]] | None:
        """What is padded, where that depends on no length."""
        if self.pads is not None:
            return list(self.pads)
        if any(s != 1 for s in self.strides):
            return None
        return [self._halves(reach - 1) for reach in self.reach]

    def _halves(self, total: int) -> tuple[int, int]:
        small, large = total // 2, total - total // 2
        return (small, large) if self.auto == "SAME_UPPER" else (large, small)

    def sides(self, lengths: Sequence[int] | Array) -> list[tuple[int, int]]:
        """What is padded of axes of some lengths."""
        if len(lengths) != len(self.kernel):
            raise ValueError(f"kernels have {len(self.kernel)} axes, and images {len(lengths)}")
        fixed = self.fixed_sides()
        if fixed is not None:
            return list(fixed)
        made: list[tuple[int, int]] = []
        for length, reach, stride in zip(lengths, self.reach, self.strides, strict=True):
            # Lengths answer for integers.
            n = length if is_length(length) else int(length)
            total = (-(-n // stride) - 1) * stride + reach - n
            made.append(self._halves(total if total > 0 else 0))
        return made

    def transposed_sides(
        self, call: Call, lengths: Sequence[int] | Array
    ) -> tuple[list[tuple[int, int]], tuple[int, ...]]:
        """What is cut off of a transposed convolution's output, and how much longer that becomes."""
        wanted = call.integers("output_shape")
        more = self.output_padding
        if wanted is None and self.pads is not None:
            return list(self.pads), more
        sides: list[tuple[int, int]] = []
        for axis, n in enumerate(lengths):
            full = int(n - 1) * self.strides[axis] + self.reach[axis] + more[axis]
            length = int(n) * self.strides[axis] if wanted is None else wanted[axis]
            total = full - length
            # What is missing is added at the end.
            small = total // 2 if total > 0 else min(total, 0)
            sides.append((small, total - small) if self.auto == "SAME_UPPER" else (total - small, small))
        return sides, more
