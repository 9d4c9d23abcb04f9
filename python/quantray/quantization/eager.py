"""The steps of torch's eager mode, one by one: qconfigs onto modules, observers' state, swapping a module.

`prepare` and `convert` take all of them together.

Source: `torch.ao.quantization.quantize`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from quantray import nn
from quantray._typing import ArrayLike, Tensor
from quantray.nn._tracing import is_attached
from quantray.quantization._classes import Choices, Classes, Config, from_float, from_observed
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase
from quantray.quantization.qconfig import QConfig


def propagate_qconfig_(
    module: nn.Module,
    qconfig_dict: Choices | None = None,
    prepare_custom_config_dict: Config | None = None,
) -> None:
    """Gives each module inside the `qconfig` of the nearest one around it that has one.

    Parameters
    ----------
    module : Module
        It is changed: all modules inside have a `qconfig` then, which may be None.
    qconfig_dict : mapping, optional
        Classes and dotted names to QConfigs; a module's own `qconfig` goes before them.
    prepare_custom_config_dict : mapping, optional
        With "non_traceable_module_name" and "non_traceable_module_class": what gets none.

    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> model.qconfig = tq.default_qconfig
    >>> tq.propagate_qconfig_(model)
    >>> model[1].qconfig is tq.default_qconfig
    True

    Source: `torch.ao.quantization.propagate_qconfig_`.
    """
    custom = prepare_custom_config_dict or {}
    names = custom.get("non_traceable_module_name", [])
    kinds = tuple(custom.get("non_traceable_module_class", []))
    given = qconfig_dict or {}
    for key, qconfig in given.items():
        if qconfig is not None and not isinstance(qconfig, QConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"qconfig_dict[{key!r}] must be a QConfig or None, got {qconfig!r}")

    def give(each: nn.Module, path: str, around: QConfig | None) -> None:
        own = given.get(path, given.get(type(each), around))
        each.qconfig = each.__dict__.get("qconfig", own)
        for name, child in each.named_children():
            if name not in names and type(child) not in kinds and not is_attached(name):
                give(child, f"{path}.{name}" if path else name, each.qconfig)

    give(module, "", None)


def swap_module(
    mod: nn.Module,
    mapping: Classes,
    custom_module_class_mapping: Classes,
    use_precomputed_fake_quant: bool = False,
) -> nn.Module:
    """The module that takes one's place: of the class that a table has for its own, by `from_float`.

    Parameters
    ----------
    mod : Module
        With a `qconfig`; else it is returned as it is. Hooks move to the new one.
    mapping : mapping
        Classes to classes, such as `get_default_static_quant_module_mappings()`.
    custom_module_class_mapping : mapping
        Classes to classes with `from_observed`; it goes first.
    use_precomputed_fake_quant : bool
        Passed on to `from_float`.

    >>> from quantray import nn, quantization as tq
    >>> layer = nn.Linear(2, 3)
    >>> layer.qconfig = tq.default_dynamic_qconfig
    >>> type(tq.swap_module(layer, tq.get_default_dynamic_quant_module_mappings(), {})).__name__
    'Linear'

    Source: `torch.ao.quantization.swap_module`.
    """
    if getattr(mod, "qconfig", None) is None:
        return mod
    custom, found = (custom_module_class_mapping or {}).get(type(mod)), mapping.get(type(mod))
    if custom is not None:
        made = from_observed(custom)(mod)
    elif found is not None:
        made = from_float(found)(mod)
    else:
        return mod
    for hook in mod._pre_hooks.values():
        made.register_forward_pre_hook(hook)
    for hook in mod._hooks.values():
        made.register_forward_hook(hook)
    return made


def get_observer_state_dict(mod: nn.Module) -> OrderedDict[str, Tensor]:
    """What a model's observers saw: their part of its state_dict.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> ready = tq.prepare(nn.Linear(2, 3), example_inputs=np.ones((1, 2), np.float32))
    >>> _ = ready(np.ones((4, 2), np.float32))
    >>> all("process" in key for key in tq.get_observer_state_dict(ready))
    True

    Source: `torch.ao.quantization.get_observer_state_dict`.
    """
    found = mod.state_dict()
    return OrderedDict((key, value) for key, value in found.items() if _is_observers(key))


def _is_observers(key: str) -> bool:
    return any("_pre_process" in part or "_post_process" in part for part in key.split("."))


def load_observer_state_dict(mod: nn.Module, obs_dict: Mapping[str, ArrayLike]) -> None:
    """Gives a prepared model's observers what others saw; weights stay as they are.

    Parameters
    ----------
    mod : Module
        From `prepare` or `prepare_qat`.
    obs_dict : mapping
        From `get_observer_state_dict` of a model of the same kind.

    Raises
    ------
    KeyError
        Names that do not match; nothing is changed.

    Source: `torch.ao.quantization.load_observer_state_dict`.
    """
    for module in mod.modules():
        if module._runner is not None:
            module._runner.expect(module, obs_dict.keys())
    own = [key for key in mod.state_dict() if _is_observers(key)]
    missing, unexpected = _difference(own, obs_dict), _difference(obs_dict, own)
    if missing or unexpected:
        raise KeyError(
            f"obs_dict must have the names of the model's observers: missing {missing or 'none'}, "
            f"unexpected {unexpected or 'none'}"
        )
    mod.load_state_dict(dict(obs_dict), strict=False)


def _difference(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Names that others lack, no more than one reads."""
    known = set(others)
    return [name for name in names if name not in known][:10]


def default_eval_fn(model: nn.Module, calib_data: Iterable[tuple[ArrayLike, object]]) -> None:
    """Calls a model with the first part of each pair: `run_fn` for data with labels.

    >>> from quantray import nn, quantization as tq
    >>> tq.default_eval_fn(nn.ReLU(), [([1.0], 0)])

    Source: `torch.ao.quantization.default_eval_fn`.
    """
    for data, _ in calib_data:
        model(data)


#: What a QConfig's halves make.
ObserverOrFakeQuantize = ObserverBase | FakeQuantizeBase
