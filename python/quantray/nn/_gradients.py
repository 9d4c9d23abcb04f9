"""Gradients by autograd: functions that know their own gradient, and the gradient of a model's loss.

autograd is imported when a gradient is asked for. Until then these functions are the plain ones.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np

from quantray._array_advice import note
from quantray._core import QTensor

if TYPE_CHECKING:
    from typing import TypeAlias

    from quantray._typing import Args, Array, Input, Kwargs
    from quantray.nn._module import Module

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    #: From the gradient of a function's value to those of its arguments, one for each wanted position.
    Vjp: TypeAlias = Callable[[R], Sequence[Input]]
    #: `maker(wanted, output, *args, **kwargs)`: what a gradient is made by, after the function has run.
    VjpMaker: TypeAlias = Callable[Concatenate[Sequence[int], R, P], Vjp[R]]


def is_traced(value: object) -> bool:
    """Whether it is autograd's box of an array."""
    tracer = sys.modules.get("autograd.tracer")
    return tracer is not None and isinstance(value, tracer.Box)


def untraced(value: T) -> T:
    """The array itself, where it may be autograd's box of one: for state that gradients must not see."""
    found: Any = value
    while is_traced(found):
        found = found._value
    return found


class Differentiable(Generic[P, R]):
    """A function of arrays with a gradient: plain until autograd traces one of its arguments.

    Arguments that may be traced are given by position. Gradients have their arguments' dtypes.
    """

    def __init__(self, forward: Callable[P, R]) -> None:
        functools.update_wrapper(self, forward)
        self._forward = forward
        self._maker: VjpMaker[R, P] | None = None
        self._primitive: Callable[..., R] | None = None

    def gradient(self, maker: VjpMaker[R, P]) -> VjpMaker[R, P]:
        """Decorates what makes the gradient: it takes which positions are wanted, the function's value, and
        what the function took.
        """
        self._maker = maker
        return maker

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if "autograd" in sys.modules and any(map(is_traced, args)):
            return self._traced()(*args, **kwargs)
        return self._forward(*args, **kwargs)

    def _traced(self) -> Callable[..., R]:
        if self._primitive is None:
            extend = _autograd("autograd.extend")
            maker = self._maker
            if maker is None:
                name = getattr(self, "__name__", "this function")
                raise TypeError(f"{name} has no gradient: give it arrays that no gradient is asked of")

            def typed(
                wanted: Sequence[int], out: R, args: Args, kwargs: Kwargs
            ) -> Callable[[R], tuple[Array, ...]]:
                args = tuple(map(untraced, args))
                vjp = maker(wanted, untraced(out), *args, **kwargs)

                def pull(g: R) -> tuple[Array, ...]:
                    return tuple(
                        np.asarray(d, np.asarray(args[i]).dtype).reshape(np.shape(args[i]))
                        for i, d in zip(wanted, vjp(_as(g, out)), strict=True)
                    )

                return pull

            made: Callable[..., R] = extend.primitive(self._forward)
            extend.defvjp_argnums(made, typed)
            self._primitive = made
        return self._primitive


def _as(g: T, out: T) -> T:
    """A gradient in the dtype of what it is the gradient of."""
    found: Any = untraced(out)
    return g if isinstance(found, tuple) else np.asarray(g, np.asarray(found).dtype)  # type: ignore[return-value] # an array, as `out` is


def _autograd(name: str) -> Any:
    """autograd, or one of its modules: imported only when gradients are asked for."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError("gradients need autograd: pip install autograd") from None


def differentiable(forward: Callable[P, R]) -> Differentiable[P, R]:
    """Decorates a function of arrays; `.gradient` then decorates what makes its gradient."""
    return Differentiable(forward)


def value_and_grad(
    model: Module, loss_fn: Callable[..., Any]
) -> Callable[..., tuple[np.float32, dict[str, Array]]]:
    """A function that returns a loss and its gradients for a model's parameters.

    Parameters
    ----------
    model : Module
        Whose parameters the gradients are for; `requires_grad_(False)` takes some out. A parameter that
        several modules share has one gradient, by its first name.
    loss_fn : callable
        Called with the arguments of the function that is returned, `loss_fn(model, x, y)`, say; returns a
        number. What it does beyond modules and `quantray.nn.functional` it does with `autograd.numpy`.

    Returns
    -------
    callable
        Its result is `(loss, grads)`: the number, and a dict from the parameters' names to arrays of their
        shapes and dtypes. `optimizer.update(model, grads)` takes it as it is.

    Raises
    ------
    ImportError
        Without autograd: `pip install autograd`.

    >>> import numpy as np
    >>> from quantray import nn
    >>> model = nn.Linear(2, 1, bias=False)
    >>> model.weight = np.float32([[1.0, 2.0]])
    >>> step = nn.value_and_grad(model, lambda model, x: model(x).sum())
    >>> loss, grads = step(model, np.float32([[3.0, 4.0]]))
    >>> float(loss), grads
    (11.0, {'weight': array([[3., 4.]], dtype=float32)})

    Source: `mlx.nn.value_and_grad`.
    """
    autograd = _autograd("autograd")

    @functools.wraps(loss_fn)
    def step(*args: Any, **kwargs: Any) -> tuple[np.float32, dict[str, Array]]:
        parameters = model.trainable_parameters()
        if not parameters:
            raise ValueError("model must have parameters that require gradients, and has none")
        places = model._places()
        homes = {name: places[id(array)] for name, array in parameters.items()}

        def loss(values: dict[str, Any]) -> Any:
            try:
                for name, several in homes.items():
                    for module, key in several:
                        module._parameters[key] = values[name]
                found = loss_fn(*args, **kwargs)
            except Exception as error:
                note(error)
                raise
            finally:
                for name, several in homes.items():
                    for module, key in several:
                        module._parameters[key] = parameters[name]
            if isinstance(untraced(found), QTensor) or np.ndim(untraced(found)):
                raise ValueError(
                    f"loss_fn must return one number, got an array of shape {np.shape(untraced(found))}"
                )
            if not is_traced(found):
                raise ValueError("loss_fn must return a number that depends on the model's parameters")
            return found

        value, grads = autograd.value_and_grad(loss)(parameters)
        return np.float32(value), {name: np.asarray(g, parameters[name].dtype) for name, g in grads.items()}

    return step
