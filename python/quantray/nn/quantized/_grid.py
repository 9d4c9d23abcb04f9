"""A grid: the scale, the zero point and the range of the codes of what goes in or comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, cast

import numpy as np

from quantray import _core
from quantray._core import QTensor
from quantray.nn._module import Module
from quantray.nn._state import as_array

if TYPE_CHECKING:
    from quantray._typing import Array, Floats, Input, Scalar, State, Tensor
    from quantray.nn._state import Accepted


class Observer(Protocol):
    """What has seen values and says on which grid they lie: an observer, or a fake quantization."""

    quant_min: int
    quant_max: int
    ch_axis: int

    @property
    def dtype(self) -> _core.dtype: ...
    @property
    def qscheme(self) -> _core.qscheme: ...
    def calculate_qparams(self) -> tuple[Array, Array]: ...


class Grid(NamedTuple):
    """Where quantized values lie.

    >>> from quantray import nn, quantization as tq
    >>> observer = tq.MinMaxObserver()
    >>> _ = observer([0.0, 2.55])
    >>> grid = nn.quantized.Grid.of(observer)
    >>> print(grid)
    scale=0.01, zero_point=0, dtype=quint8
    >>> grid.quantize([0.0, 1.0]).int_repr()
    array([  0, 100], dtype=uint8)
    """

    scale: float
    zero_point: int
    dtype: str = "quint8"
    quant_min: int = 0
    quant_max: int = 255

    @classmethod
    def of(cls, observer: Observer | Module) -> Grid:
        """That of an observer, or of a fake quantization, which has seen data."""
        scale, zero_point = observer.calculate_qparams()
        dtype = getattr(observer.dtype, "name", str(observer.dtype))
        if dtype not in ("quint8", "qint8"):
            raise ValueError(f"activations must be quint8 or qint8 where integers compute, got {dtype}")
        low, high = (0, 255) if dtype == "quint8" else (-128, 127)
        least, greatest = int(observer.quant_min), int(observer.quant_max)
        if not low <= least < greatest <= high:
            raise ValueError(
                f"activations must have codes from {low} to {high} where integers compute, "
                f"got {least} to {greatest}"
            )
        # float32, as all kernels have it: what is trained is what runs.
        return cls(float(np.float32(scale[0])), int(zero_point[0]), dtype, least, greatest)

    @classmethod
    def checked(cls, items: Sequence[Any], name: str = "grid") -> Grid:
        """A grid of these items.

        Raises
        ------
        ValueError, TypeError
            They are none: a scale that is no positive finite float32, codes that the dtype has not.
        """
        grid = cls(*items)
        limits = {"quint8": (0, 255), "qint8": (-128, 127)}.get(grid.dtype)
        if limits is None:
            raise ValueError(f"{name} must be of quint8 or qint8, got {grid.dtype!r}")
        if not is_scale(grid.scale):
            raise ValueError(f"{name} must have a scale that is a positive finite float32, got {grid.scale}")
        for what in ("zero_point", "quant_min", "quant_max"):
            value = getattr(grid, what)
            if not isinstance(value, (int, np.integer)) or not limits[0] <= value <= limits[1]:
                raise ValueError(
                    f"{name} must have a {what} from {limits[0]} to {limits[1]} for {grid.dtype}, "
                    f"got {value!r}"
                )
        if grid.quant_min >= grid.quant_max:
            raise ValueError(f"{name} must have codes, got {grid.quant_min} to {grid.quant_max}")
        return grid

    @property
    def is_full(self) -> bool:
        """Whether every code of the dtype is used."""
        return self.quant_max - self.quant_min == 255

    def clamp(self, q: QTensor) -> QTensor:
        """Codes into the range, in place."""
        if not self.is_full:
            codes = q.int_repr()
            np.clip(codes, self.quant_min, self.quant_max, out=codes)
        return q

    def quantize(self, values: Input, *, divides: bool = False) -> QTensor:
        """Floats, quantized; a quantized tensor as it is.

        With `divides` they are divided by the scale, as ONNX's QuantizeLinear does, not multiplied by its
        inverse.
        """
        if isinstance(values, QTensor):
            return values
        if divides:
            # The nearest whole steps are their own codes either way; what is no number still has none.
            with np.errstate(all="ignore"):
                steps = np.rint(np.asarray(values, np.float32) / np.float32(self.scale))
            made = _core.quantize_per_tensor(steps, 1.0, self.zero_point, getattr(_core, self.dtype))
            codes = made.int_repr()
            return self.clamp(_core.make_per_tensor_quantized_tensor(codes, self.scale, self.zero_point))
        dtype = getattr(_core, self.dtype)
        return self.clamp(_core.quantize_per_tensor(values, self.scale, self.zero_point, dtype))

    def rounded(self, values: Floats) -> Floats:
        """Floats, each as the one that its code stands for: `quantize(values).dequantize()`."""
        scale, zero, low, high = self.scale, self.zero_point, self.quant_min, self.quant_max
        if low <= zero <= high:
            return _core.fake_quantize_per_tensor_affine(values, scale, zero, low, high)
        return self.quantize(values).dequantize()

    @property
    def output(self) -> tuple[float, int, _core.dtype]:
        """What operators take: scale, zero point and dtype."""
        return self.scale, self.zero_point, getattr(_core, self.dtype)

    @property
    def clamps(self) -> list[tuple[str, int, int]]:
        """What a chain does after a step to stay in the range."""
        return [] if self.is_full else [("clamp", self.quant_min, self.quant_max)]

    def __str__(self) -> str:
        text = f"scale={self.scale:.6g}, zero_point={self.zero_point}, dtype={self.dtype}"
        return text if self.is_full else f"{text}, codes {self.quant_min} to {self.quant_max}"

    @property
    def state(self) -> State:
        """What a state_dict has of it, as torch's: `scale` and `zero_point`, arrays without axes."""
        # float32 wherever that is exact, as it is for what observers find.
        kind = np.float32 if np.float32(self.scale) == self.scale else np.float64
        return {"scale": np.array(self.scale, kind), "zero_point": np.array(self.zero_point, np.int64)}

    def accept(self, name: str, value: object) -> float | int:
        """A `scale` or a `zero_point` of a state_dict; raises where it cannot be this grid's."""
        array = as_array(value)
        if array.size != 1:
            raise ValueError(f"must be one number, got shape {tuple(array.shape)}")
        number = array.reshape(())[()]
        if name == "scale":
            if not is_scale(number):
                raise ValueError(f"must be a positive finite float32, got {number}")
            return float(number)
        low, high = (0, 255) if self.dtype == "quint8" else (-128, 127)
        if number != np.rint(number) or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high} for {self.dtype}, got {number}")
        return int(number)


def is_scale(value: object) -> bool:
    """Whether kernels can multiply and divide by a number."""
    if not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    with np.errstate(all="ignore"):
        number = np.float32(cast("float", value))
        return bool(number > 0 and np.isfinite(number) and np.isfinite(1 / number))


class OnGrids(Module):
    """A module that keeps grids, whose scales and zero points are part of its state.

    That of its output is there as `scale` and `zero_point`, as torch has them; another one with the grid's
    name before it, as in `input_scale`.
    """

    #: Names of the attributes that are grids, or None.
    _grids: ClassVar[tuple[str, ...]] = ("grid",)
    #: The output's; subclasses say whether there may be none.
    grid: Any

    @property
    def scale(self) -> float | None:
        """The output's scale; None where it is floats."""
        return None if self.grid is None else self.grid.scale

    @scale.setter
    def scale(self, value: Scalar | Array) -> None:
        self._set_grid("scale", value)

    @property
    def zero_point(self) -> int | None:
        """The output's zero point; None where it is floats."""
        return None if self.grid is None else self.grid.zero_point

    @zero_point.setter
    def zero_point(self, value: Scalar | Array) -> None:
        self._set_grid("zero_point", value)

    def _set_grid(self, name: str, value: object) -> None:
        """Another scale or zero point of the output, a number or an array of one."""
        if self.grid is None:
            raise AttributeError(f"{name} cannot be set: the output of this {self._get_name()} is floats")
        try:
            number = self.grid.accept(name, value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        self.grid = self.grid._replace(**{name: number})

    def _more_state(self) -> State:
        found: State = {}
        for attribute in self._grids:
            grid: Grid | None = getattr(self, attribute)
            if grid is not None:
                prefix = attribute.removesuffix("grid")
                found.update({prefix + name: value for name, value in grid.state.items()})
        return found

    def _grid_of(self, name: str) -> tuple[str, str] | None:
        """The attribute that an entry of the state_dict is part of, and which part it is."""
        for attribute in self._grids:
            part = name.removeprefix(attribute.removesuffix("grid"))
            if part in ("scale", "zero_point") and getattr(self, attribute) is not None:
                return attribute, part
        return None

    def _accept(self, name: str, value: object) -> Tensor | Scalar:
        found = self._grid_of(name)
        if found is None:
            return super()._accept(name, value)
        return getattr(self, found[0]).accept(found[1], value)

    def _assign(self, state: Accepted) -> None:
        rest: dict[str, Tensor | Scalar] = {}
        for name, value in state.items():
            found = self._grid_of(name)
            if found is None:
                rest[name] = value
            else:
                grid: Grid = getattr(self, found[0])
                self.__dict__[found[0]] = grid._replace(**{found[1]: cast("Any", value)})
        self._assign_arrays(rest)
        if state:
            self._changed()

    def _assign_arrays(self, state: Accepted) -> None:
        """Takes what is no grid's."""
        super()._assign(state)
