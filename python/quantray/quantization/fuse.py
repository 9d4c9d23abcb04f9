"""Layers in a row become one: batch normalization goes into weights, ReLU into what is before it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from quantray import nn
from quantray._typing import Args
from quantray.graph import Graph, Node, Ref, capture, normalize
from quantray.nn.intrinsic._fused import (
    BATCH_NORMS,
    PATTERNS,
    FusedWeighted,
    along_outputs,
    factor_of,
    folded_bias,
)
from quantray.nn.intrinsic._sums import Add, AddReLU
from quantray.nn.quantized import QUANTIZED_MODULES
from quantray.quantization._batches import as_arguments, check_model
from quantray.quantization._classes import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

M = TypeVar("M", bound=nn.Module)

#: What a sum, or a sum and what follows it, becomes.
SUMS: dict[tuple[type[nn.Module], ...], type[Add]] = {
    (nn.FloatFunctional,): Add,
    (nn.FloatFunctional, nn.ReLU): AddReLU,
}


def fuse_modules(
    model: M,
    modules_to_fuse: Sequence[str] | Sequence[Sequence[str]] | None = None,
    inplace: bool = False,
    fuser_func: Callable[..., Sequence[nn.Module]] | None = None,
    fuse_custom_config_dict: Config | None = None,
    *,
    example_inputs: object = None,
) -> M:
    """Fuses layers that follow each other, so that integers compute them as one.

    What can be fused: conv + bn, conv + bn + relu, conv + relu (or relu6), linear + relu, linear + bn (+
    relu), bn + relu, transposed conv + bn; a layer, or any of these that begins with one, + add (+ relu);
    add + relu. The first module's place is taken by the fused one, the others' by `Identity`; a sum, which
    has two inputs, keeps its place. `quantize`, `prepare` and `prepare_qat` do all of this by themselves, for
    functions and operators too; here modules are replaced by fused ones, as torch's models have them.
    In evaluation mode a batch normalization is folded into the weights at once. In training mode it
    stays a part of the fused module, which can go on to be trained; `prepare` and `convert` fold it.

    Parameters
    ----------
    model : Module
    modules_to_fuse : sequence of str, or of such sequences
        Dotted names of modules that are called one after the other.
    inplace : bool
        Whether `model` itself is changed, and not a copy.
    fuser_func : callable, optional
        `fuser_func(modules, is_qat, additional_fuser_method_mapping)` gives as many modules, which take the
        places of those of each group; `fuse_known_modules` is one.
    fuse_custom_config_dict : mapping, optional
        "additional_fuser_method_mapping": tuples of classes to functions of `is_qat` and modules.
    example_inputs : array or tuple of arrays
        Instead of `modules_to_fuse`: what the model can be called with. All that can be fused is found from
        a call.

    Returns
    -------
    Module
        The model with fused modules.

    Raises
    ------
    AttributeError
        For a name that does not exist; with the nearest one.
    ValueError
        For modules that cannot be fused. The model is left as it was.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> tq.fuse_modules(model, [["0", "1", "2"]])
    Sequential(
      (0): ConvReLU2d(
        (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))
        (1): ReLU()
      )
      (1): Identity()
      (2): Identity()
    )

    Source: `torch.ao.quantization.fuse_modules`, `fuse_modules_qat`.
    """
    check_model(model)
    if not inplace:
        model = model.copy()
    if modules_to_fuse is None:
        if example_inputs is None:
            raise ValueError(
                "modules_to_fuse must be lists of names, or example_inputs be given to find them"
            )
        groups = fusible(_captured(model, as_arguments(example_inputs, model)), model)
    elif modules_to_fuse and isinstance(modules_to_fuse[0], str):
        groups = [[str(name) for name in modules_to_fuse]]
    else:
        groups = [list(names) for names in modules_to_fuse]
    if fuser_func is not None or fuse_custom_config_dict:
        return _fused_by(model, groups, fuser_func, fuse_custom_config_dict or {})
    plans = [plan for names in groups for plan in _plans(model, names)]
    seen: set[str] = set()
    for names in groups:
        for name in names:
            if name in seen:
                raise ValueError(f"modules_to_fuse must name each module once, got {name!r} twice")
            seen.add(name)
    for names, modules, kind in plans:
        fused = _fuse(modules, kind)
        fused.training = modules[0].training
        if hasattr(modules[0], "qconfig"):
            fused.qconfig = modules[0].qconfig
        model.set_submodule(names[0], fused)
        for name in names[1:]:
            model.set_submodule(name, nn.Identity())
    return model


def fuse_modules_qat(
    model: M,
    modules_to_fuse: Sequence[str] | Sequence[Sequence[str]] | None = None,
    inplace: bool = False,
    fuser_func: Callable[..., Sequence[nn.Module]] | None = None,
    fuse_custom_config_dict: Config | None = None,
    *,
    example_inputs: object = None,
) -> M:
    """Fuses layers of a model in training mode, so that they are trained as one; see `fuse_modules`.

    Raises
    ------
    ValueError
        The model is in evaluation mode.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> type(tq.fuse_modules_qat(model, ["0", "1", "2"])[0]).__name__
    'ConvBnReLU2d'

    Source: `torch.ao.quantization.fuse_modules_qat`.
    """
    check_model(model)
    if not model.training:
        raise ValueError("model must be in training mode: call train() first, or fuse_modules")
    more = (fuser_func, fuse_custom_config_dict)
    return fuse_modules(model, modules_to_fuse, inplace, *more, example_inputs=example_inputs)


def _fused_by(
    model: M, groups: list[list[str]], fuser_func: Callable[..., Sequence[nn.Module]] | None, config: Config
) -> M:
    """A model whose groups of modules a function of the user's has fused."""
    from quantray.quantization.fuser_method_mappings import fuse_known_modules

    for names in groups:
        modules = [model.get_submodule(name) for name in names]
        more = config.get("additional_fuser_method_mapping")
        made = list((fuser_func or fuse_known_modules)(modules, model.training, more))
        kinds: set[type] = {type(each) for each in made}
        if len(made) != len(names) or not all(issubclass(kind, nn.Module) for kind in kinds):
            raise ValueError(f"fuser_func must give {len(names)} Modules for {names}, got {len(made)}")
        for name, module in zip(names, made, strict=True):
            model.set_submodule(name, module)
    return model


class _Plan(NamedTuple):
    """Modules that become one."""

    names: Sequence[str]
    modules: list[nn.Module]
    kind: type[nn.Module]


def _plans(model: nn.Module, names: Sequence[str]) -> list[_Plan]:
    """What becomes of modules in a row: one, or a layer and a sum."""
    known = [name for name, _ in model.named_modules() if name]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.3)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise AttributeError(f"modules_to_fuse: the model has no module {name!r}{hint}")
    modules = [model.get_submodule(name) for name in names]
    types = tuple(type(module) for module in modules)
    if not _can_fuse(modules):
        got = " + ".join(kind.__name__ for kind in types)
        patterns = sorted({" + ".join(t.__name__ for t in types) for types in (*PATTERNS, *SUMS)})
        raise ValueError(f"{list(names)} ({got}) cannot be fused; what can be: {', '.join(patterns)}")
    at = types.index(nn.FloatFunctional) if nn.FloatFunctional in types else len(types)
    plans: list[_Plan] = []
    if at > 1:
        plans.append(_Plan(names[:at], modules[:at], PATTERNS[types[:at]]))
    if at < len(types):
        plans.append(_Plan(names[at:], modules[at:], SUMS[types[at:]]))
    return plans


def _can_fuse(modules: Sequence[nn.Module]) -> bool:
    """Whether modules in a row make one that integers compute, or a layer and a sum of its output."""
    types = tuple(type(module) for module in modules)
    if nn.FloatFunctional not in types:
        return types in PATTERNS
    at = types.index(nn.FloatFunctional)
    if types[at:] not in SUMS:
        return False
    if at == 0:
        return len(types) > 1
    return types[0] in QUANTIZED_MODULES and (at == 1 or types[:at] in PATTERNS)


def _fuse(modules: list[nn.Module], kind: type[nn.Module]) -> nn.Module:
    if issubclass(kind, Add):
        return kind()
    layer, norm = modules[0], modules[1]
    if layer.training or not isinstance(norm, BATCH_NORMS) or not issubclass(kind, FusedWeighted):
        return kind(*modules)
    fold(layer, norm)
    rest = modules[2:]
    if not rest:
        return layer
    return PATTERNS[type(layer), type(rest[0])](layer, *rest)


def fold(layer: nn.Module, norm: nn.Module) -> None:
    """Puts a batch normalization, as it is in evaluation mode, into a layer's weight and bias."""
    if norm.running_mean is None:
        raise ValueError(
            "a batch normalization without running statistics (track_running_stats=False) cannot be folded"
        )
    bias = folded_bias(layer.bias, norm)
    layer.weight = layer.weight * along_outputs(layer, factor_of(norm))
    layer.register_parameter("bias", bias)


def _captured(model: nn.Module, args: Args) -> Graph:
    """What a model computes in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return normalize(capture(model, args))
    finally:
        for module, mode in modes:
            module.training = mode


def fusible(graph: Graph, model: nn.Module) -> list[list[str]]:
    """The longest runs of modules that can be fused: each one's output goes to the next one alone."""
    users, outputs = graph.users(), set(graph.outputs)
    again = {_path(node) for node in graph if "#" in node.name}
    groups: list[list[str]] = []
    taken: set[str] = set()
    for first in graph:
        path = _path(first)
        if path in taken or not _is_part(path, model, first):
            continue
        run, last = [path], first
        found: list[str] = []
        while len(run) < 5:
            ref = Ref(last.name)
            takers = users.get(ref, [])
            if len(takers) != 1 or ref in outputs:
                break
            last = graph.nodes[takers[0]]
            if _path(last) == run[-1]:
                continue
            if not _is_part(_path(last), model, last) or not _takes(last, ref):
                break
            run.append(_path(last))
            if any(name in again or name in taken for name in run):
                break
            if _can_fuse([model.get_submodule(name) for name in run]):
                found = list(run)
        if found:
            groups.append(found)
            taken.update(found)
    return groups


def _path(node: Node) -> str:
    """The module that a node belongs to."""
    return node.value if node.kind == "module" else node.scope


def _is_part(path: str, model: nn.Module, node: Node) -> bool:
    """Whether a node is what a module of a class that can be fused computes."""
    if not path or node.kind in ("parameter", "constant", "input"):
        return False
    kind = type(model.get_submodule(path))
    if kind is nn.FloatFunctional:
        return node.kind in ("add", "relu")
    return any(kind in types for types in PATTERNS)


def _takes(node: Node, ref: Ref) -> bool:
    """Whether a node computes something of another one's output alone, or adds something else to it."""
    if node.kind == "add":
        return len(node.args) == 2 and node.args.count(ref) == 1
    return bool(node.args) and node.args[0] == ref and ref not in node.args[1:]
