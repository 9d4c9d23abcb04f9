"""Optimizers: gradient descent with momentum, Adam, AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self, SupportsFloat, TypedDict

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import Array, ArrayLike, Floats
    from quantray.nn import Module
    from quantray.optim._schedules import Schedule


class Moments(TypedDict, total=False):
    """What an optimizer remembers of a parameter: as much of it as its rule needs."""

    momentum_buffer: Array
    step: int
    exp_avg: Array
    exp_avg_sq: Array


class Optimizer:
    """Base of optimizers: a learning rate, a count of updates, and state for each parameter by its name.

    A subclass defines `_move(parameter, gradient, state, rate)`, which returns the parameter's new value.

    Attributes
    ----------
    step : int
        Updates so far.
    state : dict
        For each parameter's name its arrays by their names.

    >>> from quantray import optim
    >>> optim.SGD(optim.step_decay(0.1, 0.5, 100)).learning_rate
    0.1
    """

    # Type checkers say themselves that parameters are no lr.
    if not TYPE_CHECKING:

        def __new__(cls, *args: object, **_: object) -> Self:
            """Before arguments get their names: those of torch's optimizers begin with the parameters."""
            if args and not callable(args[0]) and not isinstance(args[0], (SupportsFloat, str)):
                raise TypeError(
                    f"the first argument must be lr, got {type(args[0]).__name__}: no parameters are given; "
                    f"optimizer = {cls.__name__}(lr=0.1), then optimizer.update(model, grads), with the "
                    "grads of nn.value_and_grad(model, loss_fn)"
                )
            return super().__new__(cls)

    def __init__(self, lr: float | Schedule) -> None:
        if not callable(lr) and not (math.isfinite(lr) and lr >= 0):
            raise ValueError(f"lr must be at least 0, or a schedule, got {lr}")
        self.lr = lr
        self.step = 0
        self.state: dict[str, Moments] = {}

    @property
    def learning_rate(self) -> float:
        """That of the next update."""
        return float(self.lr(self.step) if callable(self.lr) else self.lr)

    def update(self, model: Module, grads: Mapping[str, ArrayLike]) -> None:
        """Moves a model's parameters.

        Parameters
        ----------
        model : Module
            Whose parameters get new arrays; those that it had are not changed.
        grads : mapping
            From parameters' names to gradients of their shapes, as `nn.value_and_grad` returns them.

        Raises
        ------
        KeyError
            A name that the model has no parameter of.
        ValueError
            A gradient of another shape. Then nothing is moved.
        """
        parameters = dict(model.named_parameters(remove_duplicate=False))
        for name, g in grads.items():
            if name not in parameters:
                raise KeyError(f"grads must have names of the model's parameters, got {name!r}")
            if np.shape(g) != np.shape(parameters[name]):
                raise ValueError(
                    f"the gradient of {name} must be of shape {np.shape(parameters[name])}, got {np.shape(g)}"
                )
        # One that several modules share moves once, by all that it is told.
        places = model._places()
        summed: dict[int, tuple[str, Floats]] = {}
        for name, g in grads.items():
            array = parameters[name]
            first, before = summed.get(id(array), (name, None))
            given = np.asarray(g, np.float32)
            summed[id(array)] = first, given if before is None else before + given
        rate = self.learning_rate
        self.step += 1
        for identity, (name, g) in summed.items():
            own = self.state.setdefault(name, {})
            moved = self._move(parameters[name], g, own, rate).astype(np.float32, copy=False)
            for module, key in places[identity]:
                module._parameters[key] = moved
                module._touched()

    def _move(self, parameter: Array, gradient: Array, state: Moments, rate: float) -> Array:
        raise NotImplementedError(f"{type(self).__name__} must define _move")


def _check_decay(weight_decay: float) -> None:
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must be at least 0, got {weight_decay}")


class SGD(Optimizer):
    """Gradient descent, with momentum.

    Parameters
    ----------
    lr : float or schedule
        The learning rate, or a function from the number of the update to it.
    momentum : float
        How much of the last step is part of the next.
    dampening : float
        How much less of the gradient is part of it.
    weight_decay : float
        How much of the parameter is added to its gradient.
    nesterov : bool
        Whether the gradient counts as if it were taken after the step.

    >>> import numpy as np
    >>> from quantray import nn, optim
    >>> model = nn.Linear(1, 1, bias=False)
    >>> model.weight = np.float32([[1.0]])
    >>> optim.SGD(0.5).update(model, {"weight": np.float32([[1.0]])})
    >>> model.weight
    array([[0.5]], dtype=float32)

    Source: `torch.optim.SGD`.
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(lr)
        if not momentum >= 0:
            raise ValueError(f"momentum must be at least 0, got {momentum}")
        _check_decay(weight_decay)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"nesterov must go with momentum and without dampening, got {momentum} and {dampening}"
            )
        self.momentum, self.dampening = momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov

    def _move(self, parameter: Array, gradient: Array, state: Moments, rate: float) -> Array:
        if self.weight_decay:
            gradient = gradient + np.float32(self.weight_decay) * parameter
        if self.momentum:
            moving = state.get("momentum_buffer")
            if moving is None:
                moving = gradient
            else:
                moving = np.float32(self.momentum) * moving + np.float32(1 - self.dampening) * gradient
            state["momentum_buffer"] = moving
            gradient = gradient + np.float32(self.momentum) * moving if self.nesterov else moving
        return parameter - np.float32(rate) * gradient


class Adam(Optimizer):
    """Steps of nearly the same length in every direction, by running moments of gradients.

    Parameters
    ----------
    lr : float or schedule
        The learning rate, or a function from the number of the update to it.
    betas : (float, float)
        How much of the last running mean, and of the last running mean of squares, is kept.
    eps : float
        Added to the root of the latter.
    weight_decay : float
        How much of the parameter is added to its gradient.

    >>> import numpy as np
    >>> from quantray import nn, optim
    >>> model = nn.Linear(1, 1, bias=False)
    >>> model.weight = np.float32([[1.0]])
    >>> optim.Adam(0.5).update(model, {"weight": np.float32([[1000.0]])})
    >>> model.weight
    array([[0.5]], dtype=float32)

    Source: `torch.optim.Adam`; Kingma and Ba 2015, algorithm 1.
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
            raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas}")
        if not eps >= 0:
            raise ValueError(f"eps must be at least 0, got {eps}")
        _check_decay(weight_decay)
        self.betas, self.eps, self.weight_decay = (betas[0], betas[1]), eps, weight_decay

    def _move(self, parameter: Array, gradient: Array, state: Moments, rate: float) -> Array:
        if self.weight_decay:
            gradient = gradient + np.float32(self.weight_decay) * parameter
        return self._adapted(parameter, gradient, state, rate)

    def _adapted(self, parameter: Array, gradient: Array, state: Moments, rate: float) -> Array:
        first, second = self.betas
        # A parameter's own count: it may have been frozen before.
        step = state.get("step", 0) + 1
        mean, mean_of_squares = state.get("exp_avg"), state.get("exp_avg_sq")
        if mean is None or mean_of_squares is None:
            mean = mean_of_squares = np.zeros_like(gradient)
        mean = np.float32(first) * mean + np.float32(1 - first) * gradient
        squares = np.float32(1 - second) * gradient * gradient
        mean_of_squares = np.float32(second) * mean_of_squares + squares
        state.update(step=step, exp_avg=mean, exp_avg_sq=mean_of_squares)
        # Means of few gradients are too near to the zero that they began at.
        length = rate / (1 - first**step)
        root = np.sqrt(mean_of_squares) / np.float32(math.sqrt(1 - second**step))
        return parameter - np.float32(length) * mean / (root + np.float32(self.eps))


class AdamW(Adam):
    """Adam, with weights that decay by themselves, not through their gradients.

    Parameters
    ----------
    lr, betas, eps
        As for `Adam`.
    weight_decay : float
        How much of the parameter is taken off with each update, times the learning rate.

    >>> import numpy as np
    >>> from quantray import nn, optim
    >>> model = nn.Linear(1, 1, bias=False)
    >>> model.weight = np.float32([[1.0]])
    >>> optim.AdamW(0.5, weight_decay=0.5).update(model, {"weight": np.float32([[0.0]])})
    >>> model.weight
    array([[0.75]], dtype=float32)

    Source: `torch.optim.AdamW`; Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)

    def _move(self, parameter: Array, gradient: Array, state: Moments, rate: float) -> Array:
        return self._adapted(parameter * np.float32(1 - rate * self.weight_decay), gradient, state, rate)
