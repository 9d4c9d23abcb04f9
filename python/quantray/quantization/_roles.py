"""What part a module plays when a model is quantized."""

from __future__ import annotations

from enum import Enum

from quantray import nn
from quantray.nn import intrinsic


class Role(Enum):
    """What part a module plays."""

    #: Multiplies by weights: always in integers, whatever its input is.
    WEIGHTED = "weighted"
    #: Computes in integers where all its inputs are quantized; its output has a scale of its own.
    FOLLOWS = "follows"
    #: Passes on what it is given, quantized or not, in the scale it came in.
    KEEPS = "keeps"
    #: Floats go in, quantized values come out.
    BEGINS = "begins"
    #: Quantized values go in, floats come out.
    ENDS = "ends"


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)

_KEEPS = (
    nn.ReLU,
    nn.ReLU6,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Identity,
    nn.Upsample,
)
_FOLLOWS = (
    nn.FloatFunctional,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softmax,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.PReLU,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    intrinsic.BNReLU2d,
    intrinsic.BNReLU3d,
    *BATCH_NORMS,
)
_ROLES: tuple[tuple[Role, tuple[type[nn.Module], ...]], ...] = (
    (Role.WEIGHTED, (*WEIGHTED, intrinsic.FusedWeighted)),
    (Role.FOLLOWS, _FOLLOWS),
    (Role.KEEPS, _KEEPS),
    (Role.BEGINS, (nn.QuantStub,)),
    (Role.ENDS, (nn.DeQuantStub,)),
)


def role_of(module: nn.Module) -> Role | None:
    """The part that a module plays; None for containers and for those that stay as they are."""
    return next((role for role, types in _ROLES if isinstance(module, types)), None)
