"""From prepared models to models of integers."""

from __future__ import annotations

from typing import TypeVar

from quantray import nn
from quantray.graph import Node
from quantray.nn._tracing import WHOLE
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.qat import FusedQAT
from quantray.nn.qat._weighted import QAT
from quantray.nn.quantized import QUANTIZED_MODULES
from quantray.quantization._batches import check_model
from quantray.quantization._conversion import Conversion
from quantray.quantization._prepared import Prepared, called_children, prepared_of

M = TypeVar("M", bound=nn.Module)


def convert(model: M, inplace: bool = False) -> M:
    """The model of integers that a prepared model has come to.

    Parameters
    ----------
    model : Module
        From `prepare`, calibrated, or from `prepare_qat`, trained.
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    Returns
    -------
    Module
        It computes by its graphs, not by `forward`. Weights and scales are those that the prepared model
        observed or was trained with; what quantization does not know, and what has no qconfig, stays float.

    Raises
    ------
    ValueError
        For a module that has seen no data; it is named. The model is left as it was.

    Source: `torch.ao.quantization.convert`.
    """
    check_model(model)
    runner = prepared_of(model)
    if runner is None:
        raise ValueError("model must come from prepare or prepare_qat")
    if not inplace:
        model = model.copy()
        runner = prepared_of(model)
        assert runner is not None
    conversions = _plan(model, runner)
    _check_all_seen(model, runner, conversions)
    for conversion in conversions:
        made = conversion.put()
        if conversion.prefix == "":
            model = made  # type: ignore[assignment]
    return model.eval()


def _plan(model: nn.Module, runner: Prepared) -> list[Conversion]:
    """What becomes of a model, and of what is in modules that run as Python: nothing is changed yet."""
    graph = runner.graph_of(model, training=False)
    if graph is None:
        raise ValueError(
            "model must have seen data: calibrate(model, batches), or call it, before it is converted"
        )
    graphs = [each for each in runner.graphs if not each.training]
    conversion = Conversion(model, runner, graphs)
    found: list[Conversion] = []
    for each in graphs:
        for node in each:
            if node.kind != "python":
                continue
            for name, child in called_children(model.get_submodule(node.value)):
                inner = prepared_of(child)
                if inner is not None and inner.example is not None:
                    planned = _plan(child, inner)
                    found += [c for c in planned if all(c.model is not f.model for f in found)]
                    path = f"{node.value}.{name}" if node.value else name
                    own = next(c for c in found if c.model is child)
                    conversion.inner.append((path, own))
    return [*found, conversion]


def _check_all_seen(model: nn.Module, runner: Prepared, conversions: list[Conversion]) -> None:
    """Layers that are to be quantized, and that no graph has."""
    seen = {id(module) for conversion in conversions for module in conversion.reached()}
    for conversion in conversions:
        unused: set[str] = set()
        for path in unused.union(*(graph.unused for graph in conversion._graphs)):
            seen.add(id(conversion.model.get_submodule(path)))
    for name, module in model.named_modules():
        kind = type(module)
        is_layer = kind in QUANTIZED_MODULES or isinstance(module, (QAT, FusedQAT))
        if not is_layer or id(module) in seen:
            continue
        parent = model.get_submodule(name.rpartition(".")[0])
        if isinstance(parent, (FusedWeighted, FusedQAT)) and id(parent) in seen:
            continue
        path = name.rpartition(".")[0]
        inside = [model.get_submodule(path)]
        if any(
            type(each) in WHOLE or getattr(type(each).forward, "is_whole", None)
            for each in inside
            if each is not model
        ):
            continue
        if any(model.get_submodule(above)._is_branching for above in _above(name)):
            # A branch that calibration did not take: it stays in float, and the report says so.
            continue
        qconfig = runner.settings.of(Node(name, "module", value=name), model)
        if qconfig is not None:
            raise ValueError(
                f"{name or 'model'} ({module._get_name()}) has seen no data: calibrate with data that "
                "reaches it, or give it no qconfig"
            )


def _above(path: str) -> list[str]:
    """The paths of the modules that one is inside of."""
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(len(parts))]
