"""Models that watch their values, to be calibrated or trained, on their way to integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from quantray import nn
from quantray.nn.intrinsic import Add, FusedWeighted
from quantray.nn.qat import QAT_MODULES, FusedQAT
from quantray.quantization._borders import After, BeforeWeighted, Root, Tape, root_of
from quantray.quantization._graph import as_arguments
from quantray.quantization._roles import Role, role_of
from quantray.quantization.fuse import fold_all
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import (
    QConfigMapping,
    get_default_qat_qconfig_mapping,
    get_default_qconfig_mapping,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

M = TypeVar("M", bound=nn.Module)

#: Modules that multiply inside: what is in them is not called by itself.
_WHOLE = ("MultiheadAttention", "LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell")


def parts(model: nn.Module) -> Iterator[tuple[str, nn.Module, Role]]:
    """The modules that quantization knows, with their roles, without what computes as a part of others."""

    def walk(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module, Role]]:
        role = role_of(module)
        if role is not None:
            yield prefix, module, role
        elif type(module).__name__ not in _WHOLE:
            for name, child in module.named_children():
                yield from walk(f"{prefix}.{name}" if prefix else name, child)

    return walk("", model)


def propagate(model: nn.Module, given: QConfig | QConfigMapping | None, default: QConfigMapping) -> None:
    """Gives each module its `qconfig`."""
    if isinstance(given, QConfig):
        given = QConfigMapping().set_global(given)
    if given is None and not any(hasattr(module, "qconfig") for module in model.modules()):
        given = default
    if given is not None:
        for name, module, _ in parts(model):
            # What is said of a class is said of it where it is fused, too.
            kind: Any = module.layer if isinstance(module, FusedWeighted) else module
            kind = nn.FloatFunctional if isinstance(module, Add) else kind
            module.qconfig = given.resolve(name, kind)
        return
    # As torch's eager mode has it: attributes, which modules inside inherit.
    inherited: dict[str, Any] = {}
    for name, module in model.named_modules():
        parent = name.rpartition(".")[0]
        inherited[name] = module.__dict__.get("qconfig", inherited.get(parent) if name else None)
        if role_of(module) is not None:
            module.qconfig = inherited[name]


def hook(model: nn.Module, example_inputs: Any) -> None:
    """Puts hooks on all parts, which quantize or observe at the borders."""
    if root_of(model) is not None:
        raise ValueError("model must not be prepared already; convert it, or prepare the float model again")
    tape = Tape()
    for name, module, role in parts(model):
        if role is Role.WEIGHTED and module.qconfig is not None:
            module.register_forward_pre_hook(BeforeWeighted(name, tape))
        if role is Role.KEEPS or role is Role.ENDS or module.qconfig is not None:
            module.register_forward_hook(After(name, tape))
    root = Root(tape)
    if example_inputs is not None:
        root.plan(model, as_arguments(example_inputs))
    # Before the hooks of a model that is itself one part.
    own, model._pre_hooks = model._pre_hooks, {}
    model.register_forward_pre_hook(root.before)
    for other in own.values():
        model.register_forward_pre_hook(other)
    model.register_forward_hook(root.after)


def prepare(
    model: M,
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    example_inputs: Any = None,
    inplace: bool = False,
) -> M:
    """A model that observes its values, for post-training static quantization.

    `calibrate` it, or call it with data that is like what it will see; then `convert` it.

    Parameters
    ----------
    model : Module
        Trained; fused modules of training mode are folded, and the model is put into evaluation mode.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How each module is quantized. By default what `qconfig` attributes say, as in torch's eager mode,
        and where there are none, `get_default_qconfig_mapping()`.
    example_inputs : array or tuple of arrays, optional
        What the model can be called with. Without them the first call shows where floats and integers meet.
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    Returns
    -------
    Module
        The prepared model; it computes what `model` does.

    Raises
    ------
    ValueError
        For a batch normalization that could be fused and is not: here with `example_inputs`, else at the
        first call.

    Source: `torch.ao.quantization.prepare`.
    """
    model = model if inplace else model.copy()
    model.eval()
    model = cast("M", fold_all(model))
    propagate(model, qconfig_mapping, get_default_qconfig_mapping())
    hook(model, example_inputs)
    return model


def prepare_qat(
    model: M,
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    example_inputs: Any = None,
    inplace: bool = False,
) -> M:
    """A model that pretends to be quantized, to be trained: quantization aware training.

    Weights and activations are fake-quantized in every call. Train it, then `convert` it.

    Parameters
    ----------
    model : Module
        Fused, if it is to be; it is put into training mode.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How each module is quantized. By default what `qconfig` attributes say, and where there are none,
        `get_default_qat_qconfig_mapping()`.
    example_inputs : array or tuple of arrays, optional
        What the model can be called with. Without them the first call shows where floats and integers meet.
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    Returns
    -------
    Module
        The model to train. Its parameters have the names that they had.

    Source: `torch.ao.quantization.prepare_qat`.
    """
    model = model if inplace else model.copy()
    model.train()
    propagate(model, qconfig_mapping, get_default_qat_qconfig_mapping())
    for name, module, role in list(parts(model)):
        if role is not Role.WEIGHTED or module.qconfig is None:
            continue
        made: nn.Module | None = None
        if isinstance(module, FusedWeighted) and not isinstance(module, FusedQAT):
            made = FusedQAT.from_float(module)
        elif type(module) in QAT_MODULES:
            made = QAT_MODULES[type(module)].from_float(module)
        if made is not None and name:
            model.set_submodule(name, made)
        elif made is not None:
            model = made  # pyright: ignore[reportAssignmentType]
    hook(model, example_inputs)
    return model
