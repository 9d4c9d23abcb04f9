"""The choice of an engine, for programs that make one: all of torch's names mean the kernels of this CPU."""

from __future__ import annotations

_NAMES = ("x86", "fbgemm", "onednn", "qnnpack")


class Engines:
    """Torch's engines of integers by name.

    There is one engine, which is exact on every CPU; the names are accepted, so that code that chooses one
    runs as it is. Where the choice has a meaning, as in `get_default_qconfig(backend)`, it is an argument.

    Attributes
    ----------
    engine : str
        The name that was chosen last; "x86" at first.
    supported_engines : list of str

    >>> import quantray as torch
    >>> torch.backends.quantized.engine = "qnnpack"
    >>> torch.backends.quantized.engine in torch.backends.quantized.supported_engines
    True
    >>> torch.backends.quantized.engine = "x86"

    Source: `torch.backends.quantized`.
    """

    def __init__(self) -> None:
        self._engine = _NAMES[0]

    @property
    def engine(self) -> str:
        """The name that was chosen last."""
        return self._engine

    @engine.setter
    def engine(self, name: str) -> None:
        if name not in _NAMES:
            raise ValueError(f"engine must be one of {', '.join(_NAMES)}, got {name!r}")
        self._engine = name

    @property
    def supported_engines(self) -> list[str]:
        """All names."""
        return list(_NAMES)

    def __repr__(self) -> str:
        return f"<engine {self._engine!r}, one of {', '.join(_NAMES)}, which are the same>"


quantized = Engines()
