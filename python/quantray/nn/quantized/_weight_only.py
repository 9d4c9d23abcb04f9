"""Layers whose weights lie packed on any grid, with a scale for each block; inputs and outputs are floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from quantray import nn
from quantray._core import PackedWeightOnlyLinear
from quantray.grids import BlockTensor, Grid, Integers, named_grid, quantize_per_group
from quantray.grids._grid import NAMED
from quantray.grids._tensor import of_packed
from quantray.nn._tracing import whole
from quantray.nn.functional._arguments import floats

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Config, Floats, Input, Rounding
    from quantray.nn._state import Accepted

#: Float layers that have a weight to be packed, by name.
_LAYERS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        nn.Linear,
        nn.Conv1d,
        nn.Conv2d,
        nn.Conv3d,
        nn.ConvTranspose1d,
        nn.ConvTranspose2d,
        nn.ConvTranspose3d,
    )
}


class WeightOnly(nn.Module):
    """A linear layer or a convolution whose weight is a `BlockTensor`.

    Linear layers on integers of 4 and 8 bits, in groups along the inputs, multiply from the packed weight; on
    other grids, and in convolutions, the weight is made float for each call.

    Made by `from_float`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> layer = nn.Linear(64, 8)
    >>> small = nn.quantized.WeightOnly.from_float(layer, "nf4", group_size=32)
    >>> small
    WeightOnly(Linear(in_features=64, out_features=8, bias=True), grid=nf4, block=(1, 32), 320 bytes)
    >>> x = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    >>> bool(np.abs(small(x) - layer(x)).max() < 0.3)
    True

    Source: Frantar et al., GPTQ (2022), and Dettmers et al., QLoRA (2023), for what is stored.
    """

    codes: Array
    scales: Array
    zero_points: Array | None
    bias: Array | None

    def __init__(
        self,
        layer: str,
        settings: Config | Sequence[tuple[str, object]],
        shape: Sequence[int],
        grid: Grid | str,
        block: Sequence[int],
        has_zero_points: bool = False,
    ) -> None:
        super().__init__()
        if layer not in _LAYERS:
            raise ValueError(f"layer must be one of {', '.join(_LAYERS)}, got {layer!r}")
        self._layer = layer
        # Files have pairs, which no key of theirs can be mistaken in.
        pairs = settings.items() if isinstance(settings, dict) else settings
        self._given = {str(name): value for name, value in pairs}
        self._shape, self._block = tuple(shape), tuple(block)
        self.grid: Grid = named_grid(grid)
        blocks = tuple(-(-m // n) for m, n in zip(self._shape, self._block, strict=True))
        size = -(-int(np.prod(self._shape, dtype=np.int64)) * self.grid.bits // 8)
        self.register_buffer("codes", nn._init.zeros((size,), np.uint8))
        self.register_buffer("scales", nn._init.full(blocks, 1))
        zeros = nn._init.zeros(blocks, np.int32) if has_zero_points else None
        self.register_buffer("zero_points", zeros)
        outputs = cast("int", self._given.get("out_features", self._given.get("out_channels")))
        self.register_parameter("bias", nn._init.zeros((outputs,)) if self._given.get("bias") else None)
        self._packed: Callable[[Floats], Floats] | None = None

    @classmethod
    def from_float(
        cls,
        mod: nn.Module,
        grid: Grid | str = "int4",
        group_size: int | Sequence[int] = 32,
        axis: int = 1,
        *,
        symmetric: bool = True,
        rounding: Rounding = "nearest",
    ) -> Self:
        """The layer of a float one.

        Parameters
        ----------
        mod : Module
            A linear layer or a convolution of `nn`.
        grid, group_size, axis, symmetric, rounding
            As for `quantray.quantize_per_group`, of its weight; axis 1 is that of the inputs.
        """
        if type(mod).__name__ not in _LAYERS or type(mod) is not _LAYERS[type(mod).__name__]:
            raise TypeError(f"mod must be one of {', '.join(_LAYERS)} of nn, got {type(mod).__name__}")
        weight = quantize_per_group(
            mod.weight, group_size, axis, grid, symmetric=symmetric, rounding=rounding
        )
        return cls.of(mod, weight)

    @classmethod
    def of(cls, mod: nn.Module, weight: BlockTensor) -> Self:
        """The layer of a float one, with a weight that was quantized before."""
        if weight.shape != np.shape(mod.weight):
            raise ValueError(f"weight must be of shape {np.shape(mod.weight)}, got {weight.shape}")
        config = mod._config()
        made = cls(
            type(mod).__name__,
            config,
            weight.shape,
            weight.grid,
            weight.block,
            weight.zero_points is not None,
        )
        made.codes, made.scales, made.zero_points = weight.data, weight.scales, weight.zero_points
        if mod.bias is not None:
            made.bias = np.array(mod.bias, np.float32)
        made.training = mod.training
        return made

    def weight(self) -> BlockTensor:
        """The weight, packed."""
        return of_packed(self.codes, self._shape, self.grid, self._block, self.scales, self.zero_points)

    def _assign(self, state: Accepted) -> None:
        super()._assign(state)
        self._packed = None

    @whole
    def forward(self, input: Input) -> Floats:
        """The float layer's output, with the weight that the codes stand for."""
        if self._packed is None:
            self._packed = self._operator()
        return self._packed(floats(input))

    def _operator(self) -> Callable[[Floats], Floats]:
        """What computes a call: a kernel where there is one."""
        weight = self.weight()
        if self._layer == "Linear":
            kernel = packed_product(weight, self.bias)
            if kernel is not None:
                return kernel
        bare = _LAYERS[self._layer].__new__(_LAYERS[self._layer])
        nn.Module.__init__(bare)
        template = _LAYERS[self._layer](**self._settings())
        bare.__dict__.update({k: v for k, v in template.__dict__.items() if k not in bare.__dict__})
        bias = self.bias

        def call(x: Floats) -> Floats:
            return bare.forward_with(x, weight.dequantize(), bias)

        return call

    def _settings(self) -> Config:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in self._given.items()}  # pyright: ignore

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_packed": None}

    def _config(self) -> Config:
        name = getattr(self.grid, "name", "")
        if NAMED.get(name) != self.grid:
            raise TypeError(
                f"a layer with {self.grid!r} cannot be saved: files know the grids {', '.join(NAMED)}"
            )
        return {
            "layer": self._layer,
            "settings": [list(pair) for pair in self._given.items()],
            "shape": list(self._shape),
            "grid": name,
            "block": list(self._block),
            "has_zero_points": self.zero_points is not None,
        }

    def extra_repr(self) -> str:
        """The layer, its grid and blocks, and bytes."""
        layer = _LAYERS[self._layer]
        with nn._init.rebuilding(2**62):
            shown = repr(layer(**self._settings()))
        return f"{shown}, grid={self.grid!r}, block={self._block}, {self.weight().nbytes} bytes"


def packed_product(weight: BlockTensor, bias: ArrayLike | None) -> PackedWeightOnlyLinear | None:
    """The kernel that multiplies by a packed weight; None where there is none for its grid and blocks."""
    grid = weight.grid
    if not isinstance(grid, Integers) or grid.bits not in (4, 8) or weight.ndim != 2 or weight.block[0] != 1:
        return None
    zeros = weight.zero_points
    # Codes are counted from the smallest one there.
    moved = -grid.qmin if zeros is None else zeros - grid.qmin
    made = np.broadcast_to(np.asarray(moved, np.int32), weight.scales.shape)
    if made.size and (made.min() < 0 or made.max() > 255):
        return None
    try:
        return PackedWeightOnlyLinear.from_codes(
            weight.codes().astype(np.uint8),
            weight.scales,
            np.ascontiguousarray(made, np.uint8),
            bias,
            grid.bits,
            weight.block[1],
        )
    except ValueError:
        # Lengths of groups that the kernel does not know.
        return None


def pack_weights(
    model: nn.Module,
    grid: Grid | str = "int4",
    group_size: int | Sequence[int] = 32,
    axis: int = 1,
    *,
    kinds: Sequence[type[nn.Module]] = (nn.Linear,),
    symmetric: bool = True,
    rounding: Rounding = "nearest",
    inplace: bool = False,
) -> nn.Module:
    """A model whose layers have packed weights, on any grid, and compute in floats.

    Parameters
    ----------
    model : Module
    grid, group_size, axis, symmetric, rounding
        As for `quantray.quantize_per_group`.
    kinds : sequence of types
        Which layers: `nn.Linear`, or convolutions too.
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    >>> import numpy as np
    >>> from quantray import nn
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    >>> small = nn.quantized.pack_weights(model, "int3", 16)
    >>> type(small[0]).__name__, small(np.ones((1, 64), np.float32)).shape
    ('WeightOnly', (1, 4))
    """
    from quantray.nn._foreign import check_model

    check_model(model)
    model = model if inplace else model.copy()
    found = [(path, module) for path, module in model.named_modules() if type(module) in tuple(kinds)]
    made: dict[int, nn.Module] = {}
    for path, module in found:
        if id(module) not in made:
            try:
                made[id(module)] = WeightOnly.from_float(
                    module, grid, group_size, axis, symmetric=symmetric, rounding=rounding
                )
            except (ValueError, TypeError) as error:
                raise type(error)(f"{path or 'model'}: {error}") from None
        if not path:
            return made[id(module)]
        model.set_submodule(path, made[id(module)])
    return model
