"""What a file says of an input or an output."""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """An input or an output of a model.

    Attributes
    ----------
    name : str
    dtype : str
        As the file has it: "float32", "int64", "float16"; "unknown" for an output whose type it does not say.
    shape : tuple of int, str or None, optional
        Lengths: numbers, names of lengths that are free, None for those without a name; None where the file
        does not say how many axes there are.
    kind : str
        "tensor"; "sequence": a list of arrays; "optional" or "optional sequence": or None.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    kind: str = "tensor"

    def __str__(self) -> str:
        if self.kind != "tensor":
            return f"{self.name} {self.kind} of {self.dtype}"
        if self.shape is None:
            return f"{self.name} {self.dtype}"
        lengths = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} {self.dtype} ({lengths}{',' * (len(self.shape) == 1)})"
