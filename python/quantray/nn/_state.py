"""State that a model takes by name: from another model, from torch, from a file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np

from quantray._core import QTensor

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Scalar, Tensor
    from quantray.nn._module import Module


if TYPE_CHECKING:
    from typing import TypeAlias

    #: Entries of a state_dict as a module takes them: arrays, tensors, scales and zero points.
    Accepted: TypeAlias = Mapping[str, Tensor | Scalar]


class Incompatible(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_state(model: Module, given: Mapping[str, object], strict: bool) -> Incompatible:
    """`Module.load_state_dict` of a mapping: either all that it names is taken, or nothing."""
    for module in model.modules():
        if module._runner is not None:
            module._runner.expect(module, given.keys())
    own = model.state_dict()
    # Of torch's batch normalization; it takes no part in what is computed here.
    ignored = ".num_batches_tracked"
    missing = [key for key in own if key not in given and not f".{key}".endswith(ignored)]
    unexpected = [key for key in given if key not in own and not f".{key}".endswith(ignored)]
    if strict and (missing or unexpected):
        lines = [f"state_dict does not fit {model._get_name()}:"]
        lines += _listed("missing", missing, unexpected) + _listed("unexpected", unexpected, missing)
        # Few names are one line.
        text = "\n".join(lines) if len(lines) > 4 else f"{lines[0]} {'; '.join(map(str.strip, lines[1:]))}"
        raise KeyError(_Text(text))
    # By module, which may have several names: what it takes, and what its runner does.
    accepted: dict[int, tuple[Module, dict[str, Tensor | Scalar], dict[str, Tensor | Scalar]]] = {}
    taken_from: dict[tuple[int, str], object] = {}
    # By the array that is replaced: one that is tied to another place is replaced in both by one.
    tied: dict[int, Tensor | Scalar] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        _, taken, of_runner = accepted.setdefault(id(module), (module, {}, {}))
        runner, mine = module._runner, module._own_state() | module._more_state()
        names = mine if runner is None else mine | runner.own_state(module)
        for name in names:
            key = f"{path}.{name}" if path else name
            if key not in given or taken_from.get((id(module), name), model) is given[key]:
                continue
            taken_from[id(module), name] = given[key]
            try:
                if runner is not None and name not in mine:
                    of_runner[name] = runner.accept(module, name, given[key])
                    continue
                value = module._accept(name, given[key])
            except (TypeError, ValueError) as error:
                raise type(error)(f"{key} {error}") from None
            held = module._parameters.get(name, module._buffers.get(name))
            if held is not None:
                known = tied.setdefault(id(held), value)
                value = known if is_same(known, value) else value
            taken[name] = value
    for module, taken, _ in accepted.values():
        module._assign(taken)
    for module, _, of_runner in accepted.values():
        if module._runner is not None:
            module._runner.assign(module, of_runner)
    return Incompatible(missing, unexpected)


class _TorchTensor(Protocol):
    """What is asked of torch's tensors."""

    def detach(self) -> _TorchTensor: ...
    def float(self) -> ArrayLike: ...


class _Text(str):
    """A message that KeyError shows as it is, not as a quoted string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def as_array(value: object) -> Array:
    """An array of numbers from what a state_dict may hold: arrays, lists, torch tensors of any float type."""
    if isinstance(value, QTensor):
        return value.dequantize()
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError):
        # torch's bfloat16, and tensors that require gradients.
        array = np.asarray(cast("_TorchTensor", value).detach().float())
    if array.dtype.kind not in "biuf" and array.dtype.name not in ("bfloat16", "float8_e4m3fn"):
        raise TypeError(f"must be an array of numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array


def _listed(what: str, names: list[str], others: list[str]) -> list[str]:
    """Lines for names that do not match, each with the nearest one of others; no more than one reads."""
    lines = [f"  {what}: {name}{nearest(name, others[:1000])}" for name in names[:20]]
    return [*lines, f"  {what}: {len(names) - 20} more"] if len(names) > 20 else lines


def is_same(a: Tensor | Scalar, b: Tensor | Scalar) -> bool:
    """Whether two arrays hold the same numbers."""
    if a is b or not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return a is b
    return bool(a.dtype == b.dtype and a.tobytes() == b.tobytes())


def nearest(name: str, names: list[str]) -> str:
    """A hint at the most similar one of some names."""
    close = difflib.get_close_matches(name, names, 1, 0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
