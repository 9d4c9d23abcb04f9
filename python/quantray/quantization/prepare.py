"""Models that watch their values, to be calibrated or trained, on their way to integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

from quantray import nn
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.qat import QAT_MODULES, FusedQAT
from quantray.nn.qat._embedding import QAT_TABLES, is_for_tables
from quantray.quantization._batches import as_arguments, check_model
from quantray.quantization._classes import Classes, Config, from_float
from quantray.quantization._in_floats import in_floats
from quantray.quantization._prepared import Prepared, prepared_of
from quantray.quantization._settings import Settings
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import (
    QConfigMapping,
    get_default_qat_qconfig_mapping,
    get_default_qconfig_mapping,
)

M = TypeVar("M", bound=nn.Module)


def _start(model: nn.Module, settings: Settings, is_trained: bool, example_inputs: object) -> None:
    """Puts what watches values in the place of `forward`."""
    runner = Prepared(settings, is_trained)
    model.__dict__["_runner"] = runner
    if example_inputs is not None:
        runner.plan(model, as_arguments(example_inputs, model))


def check_is_float(model: nn.Module) -> None:
    """Raises where a model computes in integers, converted or loaded."""
    from quantray.quantization._converted import Converted

    if isinstance(model._runner, Converted):
        raise ValueError(
            "model must be a float model, got one that computes in integers already: call it as it is, or "
            "quantize the float model that it was made of"
        )


def _check(model: nn.Module) -> None:
    check_model(model)
    if prepared_of(model) is not None:
        raise ValueError("model must not be prepared already; convert it, or prepare the float model again")
    if model._runner is not None:
        check_is_float(model)
        raise ValueError("model must be a float model, got one from quantize_dynamic")


def prepare(
    model: M,
    qconfig_mapping: QConfig | QConfigMapping | bool | None = None,
    example_inputs: object = None,
    inplace: bool | set[type[nn.Module]] = False,
    prepare_custom_config_dict: Config | None = None,
    *,
    allow_list: Iterable[type[nn.Module]] | None = None,
    observer_non_leaf_module_list: Iterable[type[nn.Module]] | None = None,
) -> M:
    """A model that observes its values, for post-training static quantization.

    `calibrate` it, or call it with data that is like what it will see; then `convert` it.

    Parameters
    ----------
    model : Module
        Trained; it is put into evaluation mode. Layers, normalizations and activations that follow each other
        are quantized as one.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How each module is quantized. By default what the model brings along that a remedy has made
        (`quantray.quantization.remedies`), or what `qconfig` attributes say, as in torch's eager mode, and
        where there are none, `get_default_qconfig_mapping()`.
    example_inputs : array or tuple of arrays, optional
        What the model can be called with. Without them the first call shows where floats and integers meet.
    inplace : bool
        Whether `model` itself is changed, and not a copy.
    prepare_custom_config_dict : mapping, optional
        "float_to_observed_custom_module_class": classes of layers with a QConfig to classes with
        `from_float` that are observed in their place. "non_traceable_module_name" and
        "non_traceable_module_class": what stays in float.
    allow_list : iterable of types, optional
        Layers of other classes stay in float.
    observer_non_leaf_module_list : iterable of types, optional
        Accepted for torch's sake: outputs are observed wherever integers need them.

    torch's order of arguments is understood, too: `prepare(model, inplace, allow_list,
    observer_non_leaf_module_list, prepare_custom_config_dict)`, known by a bool in the second place.

    Returns
    -------
    Module
        The prepared model; it computes what `model` does.

    Raises
    ------
    TypeError, ValueError
        For what is no float Module of quantray's.

    Source: `torch.ao.quantization.prepare`.
    """
    _check(model)
    if isinstance(qconfig_mapping, bool):
        allow_list = (
            allow_list if example_inputs is None else cast("Iterable[type[nn.Module]]", example_inputs)
        )
        inplace, qconfig_mapping, example_inputs = qconfig_mapping, None, None
    custom = _checked_config(prepare_custom_config_dict)
    model = in_floats(model if inplace else model.copy(), inplace=True)
    model.eval()
    mapping = model.__dict__.get("qconfig_mapping") if qconfig_mapping is None else qconfig_mapping
    settings = Settings(model, mapping, get_default_qconfig_mapping())
    settings.allowed = None if allow_list is None else frozenset(allow_list)
    settings.left = (*custom["non_traceable_module_name"], *custom["non_traceable_module_class"])
    model = _with_observed_classes(model, settings, custom["float_to_observed_custom_module_class"])
    _start(model, settings, False, example_inputs)
    return model


_CONFIG: dict[str, type] = {
    "float_to_observed_custom_module_class": dict,
    "non_traceable_module_name": list,
    "non_traceable_module_class": list,
}


def _checked_config(given: Config | None) -> Config:
    """torch's custom settings, all of them there."""
    unknown = set(given or {}) - {
        *_CONFIG,
        "observed_to_quantized_custom_module_class",
        "preserved_attributes",
    }
    if unknown:
        raise ValueError(
            f"prepare_custom_config_dict must have keys of {', '.join(_CONFIG)}, got {sorted(unknown)}"
        )
    return {name: (given or {}).get(name, kind()) for name, kind in _CONFIG.items()}


def _with_observed_classes(model: M, settings: Settings, classes: Classes) -> M:
    """A model with some layers that have a QConfig replaced by others of which all parts can be observed."""
    for path, module in list(model.named_modules()) if classes else ():
        kind = classes.get(type(module))
        qconfig = None if kind is None else settings.of_module(path, type(module), model)
        if kind is None or qconfig is None:
            continue
        before = module.__dict__.get("qconfig")
        module.qconfig = qconfig
        made = from_float(kind)(module)
        if before is None and settings.mapping is not None:
            for each in made.modules():
                each.__dict__.pop("qconfig", None)
        if not path:
            return cast("M", made)
        model.set_submodule(path, made.eval())
    return model


def prepare_qat(
    model: M,
    qconfig_mapping: QConfig | QConfigMapping | Classes | None = None,
    example_inputs: object = None,
    inplace: bool = False,
    *,
    mapping: Classes | None = None,
) -> M:
    """A model that pretends to be quantized, to be trained: quantization aware training.

    Weights and activations are fake-quantized in every call. Train it, then `convert` it.

    Parameters
    ----------
    model : Module
        It is put into training mode. Batch normalizations that follow layers are folded into their weights.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How each module is quantized. By default what `qconfig` attributes say, and where there are none,
        `get_default_qat_qconfig_mapping()`.
    example_inputs : array or tuple of arrays, optional
        What the model can be called with. Without them the first call shows where floats and integers meet.
    inplace : bool
        Whether `model` itself is changed, and not a copy.
    mapping : mapping, optional
        Classes of layers to classes that are trained in their place, with `from_float`, beside and before
        those of `nn.qat`.

    torch's order of arguments is understood, too: `prepare_qat(model, mapping, inplace)`.

    Returns
    -------
    Module
        The model to train. Its parameters have the names that they had.

    Source: `torch.ao.quantization.prepare_qat`.
    """
    _check(model)
    if isinstance(qconfig_mapping, Mapping):
        mapping, qconfig_mapping = qconfig_mapping, None
    if isinstance(example_inputs, bool):
        inplace, example_inputs = example_inputs, None
    model = in_floats(model if inplace else model.copy(), inplace=True)
    model.train()
    settings = Settings(model, qconfig_mapping, get_default_qat_qconfig_mapping())
    model = _with_trained_layers(model, settings, mapping or {})
    _start(model, settings, True, example_inputs)
    return model


def _with_trained_layers(model: M, settings: Settings, mapping: Classes) -> M:
    """Layers of known classes as those of `nn.qat`; one module under several names stays one."""
    made: dict[int, nn.Module] = {}

    def trained(path: str, module: nn.Module) -> nn.Module | None:
        own = mapping.get(type(module))
        if isinstance(module, FusedWeighted) and not isinstance(module, FusedQAT):
            kind = type(module.layer)
        elif type(module) in QAT_MODULES or type(module) in QAT_TABLES or own is not None:
            kind = type(module)
        else:
            return None
        qconfig = settings.of_module(path, kind, model)
        if qconfig is None:
            return None
        if type(module) in QAT_TABLES and not is_for_tables(qconfig):
            # Rows are integers where the QConfig says so; any other one leaves them floats.
            return None
        before = module.__dict__.get("qconfig")
        module.qconfig = qconfig
        try:
            made_of = own or (
                FusedQAT if isinstance(module, FusedWeighted) else {**QAT_MODULES, **QAT_TABLES}[kind]
            )
            new = from_float(made_of)(module)
        finally:
            if before is None:
                del module.qconfig
            else:
                module.qconfig = before
        return new

    def walk(path: str, module: nn.Module) -> nn.Module:
        if id(module) in made:
            return made[id(module)]
        new = trained(path, module)
        made[id(module)] = new or module
        if new is None:
            for name, child in list(module._modules.items()):
                if child is None:
                    continue
                new_child = walk(f"{path}.{name}" if path else name, child)
                if new_child is not child:
                    module.add_module(name, new_child)
        return made[id(module)]

    # Alive until all are made: the id of one that is gone may be another one's.
    alive = list(model.modules())
    found = walk("", model)
    del alive
    return cast("M", found)
