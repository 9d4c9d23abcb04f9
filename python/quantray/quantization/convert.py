"""From prepared models to models of integers."""

from __future__ import annotations

from typing import TypeVar, cast

from quantray import nn
from quantray.graph import Node
from quantray.graph.kinds import registered_layers
from quantray.nn._tracing import WHOLE
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.qat import FusedQAT
from quantray.nn.qat._weighted import QAT
from quantray.nn.quantized import QUANTIZED_MODULES
from quantray.quantization._batches import check_model
from quantray.quantization._classes import Classes, Config
from quantray.quantization._conversion import Conversion
from quantray.quantization._prepared import Prepared, called_children, prepared_of

M = TypeVar("M", bound=nn.Module)


def convert(
    module: M,
    mapping: Classes | bool | None = None,
    inplace: bool = False,
    remove_qconfig: bool = True,
    is_reference: bool = False,
    convert_custom_config_dict: Config | None = None,
    use_precomputed_fake_quant: bool = False,
) -> M:
    """The model of integers that a prepared model has come to.

    Parameters
    ----------
    module : Module
        From `prepare`, calibrated, or from `prepare_qat`, trained.
    mapping : mapping, optional
        torch's table of classes. Layers become what `graph.register_layer` says, and otherwise those of
        `nn.quantized`: a table that says something else is refused.
    inplace : bool
        Whether `module` itself is changed, and not a copy.
    remove_qconfig : bool
        Whether `qconfig` attributes go.
    is_reference : bool
        False: there are no reference modules.
    convert_custom_config_dict : mapping, optional
        "observed_to_quantized_custom_module_class": what `nn.quantizable`'s modules are then instances of.
    use_precomputed_fake_quant : bool
        Accepted for torch's sake: trained weights are quantized as they were trained in any case.

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
    model: nn.Module = module
    if isinstance(mapping, bool):
        inplace, mapping = mapping, None
    check_model(model)
    runner = prepared_of(model)
    if runner is None:
        raise ValueError("module must come from prepare or prepare_qat")
    if is_reference:
        raise ValueError("is_reference must be False, got True: quantray has graphs, not reference modules")
    _check_mapping(mapping)
    classes = _custom_classes(convert_custom_config_dict)
    if not inplace:
        model = model.copy()
        runner = prepared_of(model)
        assert runner is not None
    conversions = _plan(model, runner)
    _check_all_seen(model, runner, conversions)
    kept = {} if remove_qconfig else {name: m.__dict__.get("qconfig") for name, m in model.named_modules()}
    for conversion in conversions:
        made = conversion.put()
        if conversion.prefix == "":
            model = made
    for name, each in model.named_modules():
        if kept.get(name) is not None:
            each.__dict__["qconfig"] = kept[name]
        if type(each) in classes:
            each.__class__ = classes[type(each)]
    return cast("M", model.eval())


def _check_mapping(mapping: Classes | None) -> None:
    """Raises for a table of classes that says something else than what layers become."""
    from quantray.quantization.quantization_mappings import (
        DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS,
        get_embedding_static_quant_module_mappings,
    )

    known = {**get_embedding_static_quant_module_mappings(), **registered_layers()}
    for kind, made in (mapping or {}).items():
        if made not in (known.get(kind), DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS.get(kind)):
            name, other = getattr(kind, "__name__", kind), getattr(made, "__name__", made)
            raise ValueError(
                f"mapping must say what layers become, got {name}: {other}; "
                f"quantray.graph.register_layer({name}, {other}) makes it so, before prepare"
            )


def _custom_classes(given: Config | None) -> dict[type[nn.Module], type[nn.Module]]:
    """Classes of modules whose parts were observed, and what they are instances of then."""
    name = "observed_to_quantized_custom_module_class"
    unknown = set(given or {}) - {name, "float_to_observed_custom_module_class", "preserved_attributes"}
    if unknown:
        raise ValueError(f"convert_custom_config_dict must have the key {name}, got {sorted(unknown)}")
    found = dict((given or {}).get(name, {}))
    for observed, made in found.items():
        if not (isinstance(made, type) and issubclass(made, observed)):
            raise ValueError(
                f"convert_custom_config_dict: {getattr(made, '__name__', made)} must be a subclass of "
                f"{getattr(observed, '__name__', observed)}; for others use quantray.graph.register_layer"
            )
    return found


def _plan(model: nn.Module, runner: Prepared) -> list[Conversion]:
    """What becomes of a model, and of what is in modules that run as Python: nothing is changed yet."""
    graph = runner.graph_of(model, training=False)
    if graph is None:
        raise ValueError(
            "model must have seen data: calibrate(model, batches), or call it, before it is converted; "
            "quantize_dynamic(model) needs no data. A quantized model that was saved is load(path), or "
            "load_state_dict(path) of an instance, without prepare and convert"
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
