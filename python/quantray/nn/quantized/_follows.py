"""Functions of quantized values whose result has a scale of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from quantray import nn, ops
from quantray._core import QTensor
from quantray.nn._tracing import whole
from quantray.nn.quantized._grid import Grid, OnGrids
from quantray.nn.quantized._means import averaged
from quantray.nn.quantized._observed import observed_grid
from quantray.nn.quantized._output import checked_zero_point

if TYPE_CHECKING:
    from quantray._typing import Config, Input, Scalar, Tensor
    from quantray.nn._stubs import Term

#: Modules that one operator computes from integers, and what it is told of them.
_OPERATORS: dict[type[nn.Module], tuple[Callable[..., QTensor], Callable[[nn.Module], Config]]] = {
    nn.Sigmoid: (ops.sigmoid, lambda _: {}),
    nn.Tanh: (ops.tanh, lambda _: {}),
    nn.Hardsigmoid: (ops.hardsigmoid, lambda _: {}),
    nn.Hardswish: (ops.hardswish, lambda _: {}),
    nn.SiLU: (ops.silu, lambda _: {}),
    nn.LeakyReLU: (ops.leaky_relu, lambda m: {"negative_slope": m.negative_slope}),
    nn.ELU: (ops.elu, lambda m: {"alpha": m.alpha}),
    nn.GELU: (ops.gelu, lambda m: {"approximate": m.approximate}),
}


#: Means of windows, by their class.
_MEANS_OF: dict[type[nn.Module], str] = {
    getattr(nn, f"{name}AvgPool{dims}d"): f"{kind}avg_pool{dims}d"
    for name, kind in (("", ""), ("Adaptive", "adaptive_"))
    for dims in (1, 2, 3)
}


class Requantized(OnGrids):
    """A module between integers: its input is dequantized, its output quantized on a grid of its own.

    Functions of one element are tables of 256 codes; means are sums of integers.

    >>> import quantray as qt
    >>> from quantray import nn
    >>> layer = nn.quantized.Requantized(nn.Tanh(), nn.quantized.Grid(1 / 128, 128))
    >>> layer(qt.quantize_per_tensor([0.0, 0.5], 0.01, 100, qt.quint8)).tolist()
    [0.0, 0.4609375]
    """

    grid: Grid

    def __init__(self, module: nn.Module, grid: Sequence[object]) -> None:
        super().__init__()
        self.grid = Grid.checked(grid)
        self.module = module

    @whole
    def forward(self, input: Input) -> QTensor:
        """Quantized output."""
        known = _OPERATORS.get(type(self.module))
        if known is not None and isinstance(input, QTensor):
            operator, settings = known
            return self.grid.clamp(operator(input, *self.grid.output, **settings(self.module)))
        pool = _MEANS_OF.get(type(self.module))
        if pool is not None and isinstance(input, QTensor):
            module: Any = self.module
            settings = {name: getattr(module, name) for name in module._arguments}
            return averaged(input, pool, settings, self.grid)
        return self.grid.quantize(self.module(np.asarray(input, np.float32)))

    def _config(self) -> Config:
        return {"module": self.module, "grid": self.grid}

    def extra_repr(self) -> str:
        return str(self.grid)


class QFunctional(OnGrids, nn.FloatFunctional):
    """Sums, products and joins of quantized tensors: what `FloatFunctional` becomes.

    A sum of a quantized tensor and floats is rounded once.

    Parameters
    ----------
    grid : Grid, optional
        Of results. Without one `scale` and `zero_point` are 1 and 0, to be set, and the dtype is that of the
        inputs, as torch has it; `add_scalar` and `mul_scalar` move the input's grid.
    relu : bool
        Whether negative sums are 0.

    >>> import quantray as qt
    >>> from quantray import nn
    >>> join = nn.quantized.QFunctional(nn.quantized.Grid(0.5, 0), relu=True)
    >>> q = qt.quantize_per_tensor([1.0, -2.0], 0.5, 10, qt.quint8)
    >>> join.add(q, q).tolist()
    [2.0, 0.0]

    Source: `torch.ao.nn.quantized.QFunctional`.
    """

    grid: Grid

    def __init__(self, grid: Sequence[object] | None = None, relu: bool = False) -> None:
        super().__init__()
        #: Whether results have their input's dtype, as torch's have; a grid says which one.
        self.keeps_dtype = grid is None
        self.grid = Grid(1.0, 0) if grid is None else Grid.checked(grid)
        self.relu = relu

    @classmethod
    def from_float(cls, mod: nn.Module, use_precomputed_fake_quant: bool = False) -> Self:
        """Of a `FloatFunctional` whose `activation_post_process` has seen its results."""
        return cls(observed_grid(cls, mod))

    def _set_grid(self, name: str, value: object) -> None:
        # Of either dtype, as long as no input has decided.
        if self.keeps_dtype and name == "zero_point":
            self.grid = self.grid._replace(zero_point=checked_zero_point(name, value))
        else:
            super()._set_grid(name, value)

    def _accept(self, name: str, value: object) -> Tensor | Scalar:
        if self.keeps_dtype and name == "zero_point":
            return checked_zero_point("", value)
        return super()._accept(name, value)

    def _grid_for(self, args: tuple[object, ...]) -> Grid:
        """The grid of a result: with `keeps_dtype` of the first tensor's dtype."""
        first = args[0]
        if isinstance(first, (list, tuple)) and first:
            first = cast("Sequence[object]", first)[0]
        if not self.keeps_dtype or not isinstance(first, QTensor) or first.dtype.bits != 8:
            return self.grid
        kind = first.dtype
        return Grid.checked((self.grid.scale, self.grid.zero_point, kind.name, kind.qmin, kind.qmax))

    @whole
    def forward(self, name: str, *args: Any) -> QTensor:
        """One of the functions, by name."""
        if self.keeps_dtype and name in ("add_scalar", "mul_scalar"):
            # The grid moves with the number, as torch's does.
            return (ops.add_scalar if name == "add_scalar" else ops.mul_scalar)(*args)
        grid = self._grid_for(args)
        scale, zero_point, dtype = grid.output
        if name == "cat":
            tensors, dim = args
            if all(isinstance(t, QTensor) for t in tensors):
                return grid.clamp(ops.cat(tensors, dim, scale, zero_point, dtype))
        elif name in ("add", "add_relu") and any(isinstance(a, QTensor) for a in args):
            x, y = args
            relu = self.relu or name == "add_relu"
            return grid.clamp(ops.add(x, y, scale, zero_point, dtype, relu=relu))
        elif all(isinstance(a, QTensor) for a in args):
            x, y = args
            match name:
                case "mul":
                    return grid.clamp(ops.mul(x, y, scale, zero_point, dtype))
                case "sub":
                    return grid.clamp(ops.sub(x, y, scale, zero_point, dtype))
                case "matmul":
                    return grid.clamp(ops.matmul(x, y, scale, zero_point, dtype))
                case _:
                    pass
        name = "add_relu" if self.relu and name == "add" else name
        return grid.quantize(super().forward(name, *map(_floats, args)))

    def _config(self) -> Config:
        # A file's grid is one that was found; one that inputs complete is given its numbers by the state.
        return {"grid": None if self.keeps_dtype else self.grid, "relu": self.relu}

    def extra_repr(self) -> str:
        return f"{'relu, ' if self.relu else ''}{self.grid}"


def _floats(value: Term) -> Term:
    if isinstance(value, (list, tuple)):
        return [cast("Input", _floats(v)) for v in cast("Sequence[Input]", value)]
    return np.asarray(value, np.float32) if isinstance(value, QTensor) else value
