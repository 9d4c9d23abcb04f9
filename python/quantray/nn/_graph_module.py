"""What a file makes of a module whose class is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from quantray.nn._module import Module

if TYPE_CHECKING:
    from quantray._typing import Config


class GraphModule(Module):
    """A module with the names and the arrays of one of another class; the model around it runs by its graphs.

    `quantray.load` makes it of the modules of quantized models.

    Parameters
    ----------
    name : str
        What the class was called, which is shown.

    >>> from quantray import nn
    >>> nn.GraphModule("Block")
    Block()
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"name must be that of a class, got {name!r}")
        self.class_name = name

    def forward(self, *args: object, **kwargs: object) -> Never:
        """Raises: its work is in the graphs of the model that it is part of."""
        raise RuntimeError(
            f"{self.class_name} was read from a file and has no forward of its own: call the model that it "
            "is part of, or take the file into an instance of its class with load_state_dict(path)"
        )

    def _config(self) -> Config:
        return {"name": self.class_name}

    def _get_name(self) -> str:
        return self.class_name
