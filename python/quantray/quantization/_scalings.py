"""Parameters multiplied by powers of two, which changes no bit of what a model returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard, TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Ints
from quantray.graph._files import Unreadable
from quantray.graph._trees import is_dict, is_list

M = TypeVar("M", bound=nn.Module)


class Scaling(NamedTuple):
    """A parameter of a model, and the powers of two that it is multiplied by; they broadcast to its shape."""

    path: str
    key: str
    exponents: Ints


def scaled(model: M, scalings: Sequence[Scaling]) -> M:
    """A copy of a model with other parameters."""
    made = model.copy()
    apply(made, scalings)
    return made


def apply(model: nn.Module, scalings: Sequence[Scaling]) -> None:
    """Multiplies a model's own parameters.

    Raises
    ------
    ValueError
        It has none of such a name and shape.
    """
    parameters = dict(model.named_parameters())
    for path, key, exponents in scalings:
        name = ".".join(part for part in (path, key) if part)
        value = parameters.get(name)
        if value is None or not _fits(np.shape(value), exponents.shape):
            raise ValueError(
                "model and int8 do not correspond: the model that int8 was made of has a "
                f"{name} whose channels were made alike"
            )
        parameters[name] = np.ldexp(np.asarray(value, np.float32), exponents)
        setattr(model.get_submodule(path), key, parameters[name])


def _fits(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether one shape broadcasts to another, which stays."""
    return len(other) <= len(shape) and all(
        n in (1, m) for n, m in zip(reversed(other), reversed(shape), strict=False)
    )


def described(scalings: Sequence[Scaling]) -> list[dict[str, object]]:
    """As JSON."""
    return [
        {"path": path, "key": key, "shape": list(exponents.shape), "exponents": exponents.ravel().tolist()}
        for path, key, exponents in scalings
    ]


def read(given: object) -> list[Scaling]:
    """What `described` gave.

    Raises
    ------
    Unreadable
        It is anything else.
    """
    if not is_list(given):
        raise Unreadable("scalings must be a list")
    return [_read(each) for each in given]


def _read(given: object) -> Scaling:
    if is_dict(given):
        path, key, shape, found = (given.get(name) for name in ("path", "key", "shape", "exponents"))
        if isinstance(path, str) and isinstance(key, str) and _are_integers(shape) and _are_integers(found):
            exponents = np.array(found, np.int64)
            if np.abs(exponents).max(initial=0) < 127 and math.prod(shape) == exponents.size:
                return Scaling(path, key, exponents.reshape(shape))
    raise Unreadable("each scaling must have a path, a key, a shape, and so many small exponents")


def _are_integers(given: object) -> TypeGuard[list[int]]:
    return is_list(given) and all(type(each) is int and abs(each) < 2**31 for each in given)
