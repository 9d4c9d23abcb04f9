"""What layers between integers do, as chains take it.

Each type says it for itself alone: a subclass may compute something else.
"""

from __future__ import annotations

from typing import Any, cast

from quantray import nn
from quantray._core import qint8
from quantray.nn._chains import STEPS, Params, Steps
from quantray.nn.functional._arguments import per_axis
from quantray.nn.quantized import _weighted
from quantray.nn.quantized._follows import Requantized
from quantray.nn.quantized._grid import Grid
from quantray.nn.quantized._stubs import Quantize
from quantray.nn.quantized._weighted import Weighted


def _begin(grid: Grid | None) -> tuple[Any, ...] | None:
    return None if grid is None else (*grid.output, grid.quant_min, grid.quant_max)


def _weighted_steps(module: Weighted, now: Params | None) -> Steps | None:
    grid = module.grid
    is_linear = isinstance(module, _weighted.Linear)
    dims = None if is_linear else len(module.packed.kernel_size)
    output = None if grid is None else grid.output
    steps: list[tuple[Any, ...]] = [("linear" if is_linear else "conv", module.packed, module.relu, output)]
    if grid is not None:
        steps += grid.clamps
    if module.relu6:
        if output is None:
            return None
        steps.append(("relu6", 0.0, output))
    return Steps(steps, output, dims, _begin(module.input_grid))


def _quantize(module: Quantize, now: Params | None) -> Steps | None:
    # In the middle, what is quantized already stays as it is.
    grid = module.grid
    return Steps([], now or grid.output, begin=_begin(grid))


def _keeps(module: nn.Module, now: Params | None) -> Steps | None:
    return None if now is None else Steps([], now)


def _dropout(module: nn.Module, now: Params | None) -> Steps | None:
    return None if module.training else _keeps(module, now)


def _flatten(module: nn.Flatten, now: Params | None) -> Steps | None:
    if now is None or module.start_dim != 1 or module.end_dim != -1:
        return None
    return Steps([("flatten",)], now)


def _relu(module: nn.ReLU, now: Params | None) -> Steps | None:
    if now is None:
        return None
    _, zero_point, dtype = now
    return Steps([("clamp", zero_point, 127 if dtype is qint8 else 255)], now)


def _relu6(module: nn.ReLU6, now: Params | None) -> Steps | None:
    return None if now is None else Steps([("relu6", 0.0, now)], now)


def _numbers(module: Any, names: str, dims: int) -> list[Any]:
    least = {"padding": 0}
    return [per_axis(getattr(module, name), dims, name, least.get(name, 1)) for name in names.split()]


def _max_pool(dims: int) -> Any:
    def of(module: Any, now: Params | None) -> Steps | None:
        if now is None:
            return None
        numbers = _numbers(module, "kernel_size stride padding dilation", dims)
        return Steps([("max_pool", *numbers, bool(module.ceil_mode))], now, dims)

    return of


def _avg_pool(dims: int) -> Any:
    def of(module: Any, now: Params | None) -> Steps | None:
        if now is None:
            return None
        numbers = _numbers(module, "kernel_size stride padding", dims)
        settings = bool(module.ceil_mode), bool(module.count_include_pad), module.divisor_override
        return Steps([("avg_pool", *numbers, *settings)], now, dims)

    return of


def _adaptive(name: str, dims: int) -> Any:
    def of(module: Any, now: Params | None) -> Steps | None:
        size = module.output_size
        each: list[Any] = list(cast("Any", size)) if isinstance(size, (list, tuple)) else [size] * dims
        if now is None or len(each) != dims or any(n == 0 for n in each):
            return None
        return Steps([(name, [n or 0 for n in each])], now, dims)

    return of


#: Names of functions, and their parameters.
_FUNCTIONS: dict[type[nn.Module], tuple[str, str | None]] = {
    nn.Sigmoid: ("sigmoid", None),
    nn.Tanh: ("tanh", None),
    nn.Hardsigmoid: ("hardsigmoid", None),
    nn.Hardswish: ("hardswish", None),
    nn.SiLU: ("silu", None),
    nn.LeakyReLU: ("leaky_relu", "negative_slope"),
    nn.ELU: ("elu", "alpha"),
}


def _requantized(module: Requantized, now: Params | None) -> Steps | None:
    known = _FUNCTIONS.get(type(module.module))
    if now is None or known is None:
        return None
    (name, parameter), grid = known, module.grid
    value = 0.0 if parameter is None else float(getattr(module.module, parameter))
    return Steps([(name, value, grid.output), *grid.clamps], grid.output)


STEPS[Quantize], STEPS[Requantized] = _quantize, _requantized
for _type in (
    _weighted.Linear,
    _weighted.Conv1d,
    _weighted.Conv2d,
    _weighted.Conv3d,
    _weighted.ConvTranspose1d,
    _weighted.ConvTranspose2d,
    _weighted.ConvTranspose3d,
):
    STEPS[_type] = _weighted_steps
STEPS[nn.Identity], STEPS[nn.Dropout], STEPS[nn.Flatten] = _keeps, _dropout, _flatten
STEPS[nn.ReLU], STEPS[nn.ReLU6] = _relu, _relu6
for _dims, _types in enumerate(
    (
        (nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d),
        (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d),
        (nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool3d),
    ),
    1,
):
    _max, _average, _adaptive_max, _adaptive_average = _types
    STEPS[_max], STEPS[_average] = _max_pool(_dims), _avg_pool(_dims)
    STEPS[_adaptive_max] = _adaptive("adaptive_max_pool", _dims)
    STEPS[_adaptive_average] = _adaptive("adaptive_avg_pool", _dims)
