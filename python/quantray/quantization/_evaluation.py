"""A float model that evaluates, called as it is: by a program, as long as nobody can tell.

That is so where the model's own code does nothing but compute (`graph/_purity.py`), no hook looks on, no
gradient is asked for, and a call by `forward` gives the same, which is tried once for each graph. Everything
else goes through `forward`, silently: nothing changes by it but the time.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from quantray import nn
from quantray._typing import Args, Kwargs, Tensor
from quantray.graph import Graph
from quantray.graph._arguments import arguments
from quantray.graph._arrays import Arrays
from quantray.graph._purity import Code, Impure, code_of
from quantray.graph._trees import is_array, is_dict, is_sequence, leaves
from quantray.nn._evaluating import by_forward_inside, forgotten, is_large
from quantray.nn._tracing import state
from quantray.quantization._floating import FloatProgram
from quantray.quantization._lowering import DTYPES
from quantray.quantization._programmed import shapes_of

#: Nodes that run code of the user's.
_CODE = frozenset(("python", "tap", "hook", "observe"))
#: More nodes than a network has: a loop over the steps of a sequence, which differs with its length.
_MOST_NODES = 5000
#: More graphs than kinds of arguments make: each length may be one of its own.
_MOST_GRAPHS = 8
#: Kinds of arguments that are remembered.
_MOST_KINDS = 1024
#: What may be between results: sums in another order, of values that may be large before they cancel.
_NEAR = 1e-3


class Evaluation(FloatProgram):
    """The way of a model's calls.

    Parameters
    ----------
    module : Module
    always : bool
        Whether small inputs are worth it, too.
    """

    def __init__(self, module: nn.Module, *, always: bool) -> None:
        super().__init__()
        self._always = always
        self._module = weakref.ref(module)
        self._look(module)

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        # A copy of the model is another model.
        return forgotten, ()

    def _look(self, module: nn.Module) -> None:
        """Looks at a model as it is now."""
        self.forget(module)
        self.watch(module)
        self._code: Code | None = None
        #: By kinds of arguments: whether the program is for them.
        self._fits: dict[object, bool] = {}
        #: Graphs, by identity, and dtypes of arguments for which `forward` gave the same.
        self._tried: set[object] = set()
        modules = list(module.modules())
        if any(each._hooks or each._pre_hooks or each._runner is not None for each in modules):
            return
        try:
            code = code_of(module)
        except Impure:
            return
        self._arrays = Arrays(module)
        self._modules = modules
        if self._arrays.are_plain:
            self._code = code
        else:
            # A gradient that is being made of them is over some time.
            self._mark.changed = self._arrays.are_traced

    def __call__(self, module: nn.Module, args: Args, kwargs: Kwargs) -> object:
        if state.by_forward or not (self._always or is_large(args)):
            return module._call(args, kwargs)
        if self._mark.changed or self._module() is not module:
            with self._lock:
                if self._module() is not module:
                    # It was copied together with the tables of another one.
                    self._module = weakref.ref(module)
                    self._mark.changed = True
                if self._mark.changed:
                    self._look(module)
        if not self._is_ready(module):
            return module._call(args, kwargs)
        given = args if not kwargs else (*args, *kwargs.values())
        if not all(type(arg) is np.ndarray or arg is None or type(arg) in (bool, int, str) for arg in given):
            return module._call(args, kwargs)
        if not kwargs:
            route = self._routes.find(args)
            if route is not None:
                try:
                    if not route.lowered.called:
                        return route.lowered(args)
                    with by_forward_inside():
                        return route.lowered(args)
                except Exception:
                    # `forward` says in its own words what is wrong, or does it.
                    return module._call(args, kwargs)
        return self._slowly(module, args, kwargs)

    def _is_ready(self, module: nn.Module) -> bool:
        """Whether programs may run: nobody looks on, and all is what it was when they were made."""
        code = self._code
        if code is None or sys.gettrace() is not None:
            return False
        if code.is_own and "raise" in np.geterr().values():
            # NumPy's functions in the model's code are to raise what kernels do not look at.
            return False
        mark, arrays = self._mark, self._arrays
        if any(each.training for each in self._modules):
            return False
        if not code.is_same():
            mark.changed = True
            return False
        is_there, is_known = arrays.are_there(), arrays.are_known()
        if is_there and is_known and not mark.touched and not mark.read:
            return True
        with self._lock:
            mark.read = False
            if not is_there or not arrays.are_same():
                fresh = Arrays(module)
                if not fresh.are_plain:
                    # Gradients are traced through them.
                    return False
                if [a.shape for a in fresh.arrays] != [a.shape for a in arrays.arrays]:
                    mark.changed = True
                    return False
                self._arrays = fresh
                self.renew()
            mark.touched = False
        return True

    def _slowly(self, module: nn.Module, args: Args, kwargs: Kwargs) -> object:
        """A call of a kind that there was none of before, or that is no plain list of arrays."""
        kind = tuple(map(_kind_of, args)), tuple((name, _kind_of(arg)) for name, arg in kwargs.items())
        fits = self._fits.get(kind)
        if fits is None:
            with self._lock, by_forward_inside():
                fits = self._try(module, args, kwargs)
                if not fits:
                    # Those of this kind among them; the others come back.
                    self._routes.clear()
                if len(self._fits) >= _MOST_KINDS:
                    self._fits.clear()
                self._fits[kind] = fits
        if len(self.graphs) > _MOST_GRAPHS:
            # What it decides by its inputs' numbers is another one each time.
            self._code = None
        if not fits or self._code is None:
            return module._call(args, kwargs)
        try:
            return self._by_program(module, args, kwargs)
        except Exception:
            return module._call(args, kwargs)

    def _by_program(self, module: nn.Module, args: Args, kwargs: Kwargs) -> object:
        before = self._arrays.before()
        try:
            with by_forward_inside():
                return FloatProgram.__call__(self, module, args, kwargs)
        finally:
            self._arrays.after(before)

    def _try(self, module: nn.Module, args: Args, kwargs: Kwargs) -> bool:
        """Whether the program is for arguments of this kind, and gives what `forward` does."""
        try:
            plain = arguments(module, args, kwargs)
            if any(is_array(a) and str(a.dtype) not in DTYPES for a in leaves(plain)):
                return False
            if len(self.graphs) >= _MOST_GRAPHS and self._fitting(module, *plain) is None:
                return False
            graph, _ = self.find(module, *plain)
            if len(graph.nodes) > _MOST_NODES or any(node.kind in _CODE for node in graph):
                return False
            key = id(graph), tuple(str(a.dtype) for a in leaves((args, kwargs)) if is_array(a))
            if key in self._tried:
                return True
            copies = [a.copy() if is_array(a) else a for a in (*args, *kwargs.values())]
            own: dict[str, object] = dict(zip(kwargs, copies[len(args) :], strict=True))
            want = module._call(tuple(copies[: len(args)]), own)
            made = self._by_program(module, args, kwargs)
            is_same = (
                all(map(_is_equal, copies, (*args, *kwargs.values())))
                and self._arrays.are_same()
                and not _shares(want, copies)
                and _are_alike(made, want)
            )
            if is_same:
                self._tried.add(key)
            return is_same
        except Exception:
            return False

    def run(self, module: nn.Module, graph: Graph, inputs: Mapping[str, Tensor]) -> object:
        arrays = list(inputs.values())
        made, key = self.made(module, graph), shapes_of(arrays)
        if key not in made.checked:
            # What the graph took for granted is looked at node by node; the numbers are always the program's.
            self.run_by(self.compute, module, graph, inputs)
            made.checked.add(key)
        self._routes.add(graph, module, dict(inputs), made.lowered, made.grids)
        return made.lowered(arrays)


def _kind_of(arg: object) -> tuple[object, object]:
    return (arg.shape, arg.dtype) if is_array(arg) else (type(arg), arg)


def _is_equal(copy: object, arg: object) -> bool:
    if not is_array(arg):
        return True
    return is_array(copy) and np.array_equal(copy, arg, equal_nan=arg.dtype.kind in "fc")


def _shares(output: object, arrays: Iterable[object]) -> bool:
    """Whether what a model gives back is part of what it was given."""
    return any(
        is_array(leaf) and is_array(array) and np.may_share_memory(leaf, array)
        for leaf in leaves(output)
        for array in arrays
    )


def _are_alike(made: object, want: object) -> bool:
    """Whether two trees of arrays are the same but for rounding."""
    if type(made) is not type(want):
        return False
    if is_dict(want) and is_dict(made):
        return made.keys() == want.keys() and all(_are_alike(made[key], want[key]) for key in want)
    if is_sequence(want) and is_sequence(made):
        return len(made) == len(want) and all(map(_are_alike, made, want))
    return _are_near(made, want)


def _are_near(made: object, want: object) -> bool:
    if not is_array(want):
        return made is want or (isinstance(want, (bool, int, float, str)) and bool(made == want))
    if not is_array(made) or made.dtype != want.dtype or made.shape != want.shape:
        return False
    if want.dtype.kind not in "fc":
        return bool(np.array_equal(made, want))
    finite = np.asarray(want)[np.isfinite(want)]
    size = float(np.abs(finite).max()) if finite.size else 0.0
    return bool(np.allclose(made, want, rtol=_NEAR, atol=_NEAR * size, equal_nan=True))
