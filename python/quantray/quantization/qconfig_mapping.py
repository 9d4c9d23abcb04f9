"""Which layer of a model is quantized how."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

from quantray import nn
from quantray.quantization._classes import Config
from quantray.quantization.fake_quantize import FixedQParamsFakeQuantize, default_weight_fake_quant
from quantray.quantization.observer import (
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
    default_placeholder_observer,
    default_weight_observer,
)
from quantray.quantization.qconfig import (
    QConfig,
    default_quint8_weight_qconfig,
    default_reuse_input_qconfig,
    get_default_qat_qconfig,
    get_default_qconfig,
    per_channel_dynamic_qconfig,
)

#: A class of modules, a function, or the name of either.
ObjectType: TypeAlias = type | Callable[..., object] | str

#: Settings as torch's dict: "" has the global QConfig, the others lists of pairs.
QConfigDict: TypeAlias = dict[str, Any]

#: Layers whose output has a range that is known.
_FIXED = {
    default_fixed_qparams_range_0to1_observer: (
        "Sigmoid",
        "Hardsigmoid",
        "Softmax",
        "sigmoid",
        "hardsigmoid",
    ),
    default_fixed_qparams_range_neg1to1_observer: ("Tanh", "tanh"),
}


class QConfigMapping:
    """Which layer of a model is quantized how.

    By falling priority: a layer's name, or that of a module around it; the first pattern that its name
    matches; its type; else the global one. A QConfig of None leaves a layer in float.

    >>> from quantray import nn, quantization as tq
    >>> mapping = (
    ...     tq.QConfigMapping()
    ...     .set_global(tq.get_default_qconfig())
    ...     .set_object_type("Embedding", tq.float_qparams_weight_only_qconfig)
    ...     .set_module_name_regex(r"encoder\\..*\\.norm", tq.default_qconfig)
    ...     .set_module_name("head", None)
    ... )
    >>> mapping.resolve("head.linear", "Linear") is None
    True
    >>> mapping.resolve("encoder.0.norm", "LayerNorm") == tq.default_qconfig
    True

    Source: `torch.ao.quantization.QConfigMapping`.
    """

    #: Whether `quantize` may leave more in float than is said here, where 8 bits are too little.
    _spares = False

    def __init__(self) -> None:
        self.global_qconfig: QConfig | None = None
        self.object_type_qconfigs: dict[ObjectType, QConfig | None] = {}
        self.module_name_regex_qconfigs: dict[str, QConfig | None] = {}
        self.module_name_qconfigs: dict[str, QConfig | None] = {}

    def set_global(self, global_qconfig: QConfig | None) -> Self:
        """Sets what layers get that nothing else is said of."""
        self.global_qconfig = _checked(global_qconfig)
        return self

    def set_object_type(self, object_type: ObjectType, qconfig: QConfig | None) -> Self:
        """Sets what layers of one type get: a class (not those derived from it), a function, or a name."""
        self.object_type_qconfigs[object_type] = _checked(qconfig)
        return self

    def set_module_name_regex(self, module_name_regex: str, qconfig: QConfig | None) -> Self:
        """Sets what layers get whose names a pattern matches from the start; the first that does decides."""
        try:
            re.compile(module_name_regex)
        except re.error as error:
            raise ValueError(
                f"module_name_regex must be a regular expression, got {module_name_regex!r}: {error}"
            ) from None
        self.module_name_regex_qconfigs[module_name_regex] = _checked(qconfig)
        return self

    def set_module_name(self, module_name: str, qconfig: QConfig | None) -> Self:
        """Sets what one layer gets, or all layers inside a module."""
        self.module_name_qconfigs[module_name] = _checked(qconfig)
        return self

    def called_as(self, paths: Mapping[str, str]) -> Self:
        """The same with other names for some modules: those of modules for what a file calls its nodes."""
        if not paths.keys() & self.module_name_qconfigs.keys():
            return self
        made = copy.copy(self)
        made.module_name_qconfigs = {paths.get(key, key): q for key, q in self.module_name_qconfigs.items()}
        return made

    def resolve(self, name: str, module: nn.Module | ObjectType) -> QConfig | None:
        """What a layer gets.

        Parameters
        ----------
        name : str
            Its dotted name.
        module : Module, type, function or str
            The layer, or its type, or the name of that.
        """
        said = self._own(name, module)
        return self.global_qconfig if said is None else said[0]

    def leaves(self, name: str, module: nn.Module | ObjectType) -> bool:
        """Whether a layer stays in float since its name or its type is said to: not as all others do."""
        return self._own(name, module) == (None,)

    def _own(self, name: str, module: nn.Module | ObjectType) -> tuple[QConfig | None] | None:
        """What is said of a layer's name, or of its type; None where nothing is."""
        path = name
        while path:
            if path in self.module_name_qconfigs:
                return (self.module_name_qconfigs[path],)
            path = path.rpartition(".")[0]
        for pattern, qconfig in self.module_name_regex_qconfigs.items():
            if re.match(pattern, name):
                return (qconfig,)
        kind = module if isinstance(module, (str, type)) or hasattr(module, "__name__") else type(module)
        for key in (kind, getattr(kind, "__name__", kind)):
            if key in self.object_type_qconfigs:
                return (self.object_type_qconfigs[key],)
        return None

    def to_dict(self) -> QConfigDict:
        """The settings as torch's dict: "" is the global one, the others are lists of pairs."""
        return {
            "": self.global_qconfig,
            "object_type": list(self.object_type_qconfigs.items()),
            "module_name_regex": list(self.module_name_regex_qconfigs.items()),
            "module_name": list(self.module_name_qconfigs.items()),
        }

    @classmethod
    def from_dict(cls, qconfig_dict: Config) -> Self:
        """A mapping from torch's dict."""
        made = cls().set_global(qconfig_dict.get(""))
        for kind in ("object_type", "module_name_regex", "module_name"):
            for key, qconfig in qconfig_dict.get(kind, []):
                getattr(made, f"set_{kind}")(key, qconfig)
        unknown = set(qconfig_dict) - set(made.to_dict())
        if unknown:
            valid = ", ".join(map(repr, made.to_dict()))
            raise ValueError(f"qconfig_dict must have keys of {valid}, got {sorted(unknown)}")
        return made

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}(", f"  global: {self.global_qconfig}"]
        for kind, pairs in list(self.to_dict().items())[1:]:
            lines += [f"  {kind} {getattr(key, '__name__', key)}: {qconfig}" for key, qconfig in pairs]
        return "\n".join([*lines, ")"])


def _checked(qconfig: object) -> QConfig | None:
    if qconfig is not None and not isinstance(qconfig, QConfig):
        raise TypeError(f"qconfig must be a QConfig or None, got {qconfig!r}")
    return qconfig


def _default(qconfig: QConfig, is_qat: bool) -> QConfigMapping:
    """The global QConfig, and what some layers need."""
    mapping = QConfigMapping().set_global(qconfig)
    weight = default_weight_fake_quant if is_qat else default_weight_observer
    # Their weight's output channels are on the second axis: one scale for all.
    for name in ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"):
        for kind in (name, f"conv_transpose{name[-2:]}"):
            mapping.set_object_type(kind, QConfig(qconfig.activation, weight))
    for name in ("LayerNorm", "layer_norm"):
        mapping.set_object_type(name, QConfig(qconfig.activation, default_placeholder_observer))
    # torch only observes what PReLU gives, in training, too, and rounds it when that is over.
    mapping.set_object_type("PReLU", QConfig(qconfig.activation, default_quint8_weight_qconfig.weight))
    mapping.set_object_type("reshape", default_reuse_input_qconfig)
    for observer, names in _FIXED.items():
        activation = FixedQParamsFakeQuantize.with_args(observer=observer) if is_qat else observer
        for name in names:
            mapping.set_object_type(name, QConfig(activation, weight))
    return mapping


def get_default_qconfig_mapping(backend: str = "x86", version: int = 0) -> QConfigMapping:
    """How to quantize a model after training: `get_default_qconfig`, and fixed ranges where they are known.

    >>> from quantray import quantization as tq
    >>> tq.get_default_qconfig_mapping().resolve("gate", "Sigmoid").activation().calculate_qparams()
    (array([0.00390625], dtype=float32), array([0]))

    Source: `torch.ao.quantization.get_default_qconfig_mapping`.
    """
    return _default(get_default_qconfig(backend, version), is_qat=False)


def default_quantize_mapping() -> QConfigMapping:
    """What `quantize` does by default: `get_default_qconfig_mapping`, and recurrent layers dynamically.

    Frames of a sequence are loud and silent: a range that calibration finds fits few of them.
    """
    mapping = get_default_qconfig_mapping()
    for kind in ("LSTM", "GRU"):
        mapping.set_object_type(kind, per_channel_dynamic_qconfig)
    mapping._spares = True
    return mapping


def get_default_qconfig_dict(backend: str = "x86", version: int = 0) -> QConfigDict:
    """`get_default_qconfig_mapping` as torch's dict.

    >>> from quantray import quantization as tq
    >>> tq.get_default_qconfig_dict()[""] == tq.get_default_qconfig()
    True

    Source: `torch.ao.quantization.get_default_qconfig_dict`.
    """
    return get_default_qconfig_mapping(backend, version).to_dict()


def get_default_qat_qconfig_dict(backend: str = "x86", version: int = 1) -> QConfigDict:
    """`get_default_qat_qconfig_mapping` as torch's dict.

    Source: `torch.ao.quantization.get_default_qat_qconfig_dict`.
    """
    return get_default_qat_qconfig_mapping(backend, version).to_dict()


def get_default_qat_qconfig_mapping(backend: str = "x86", version: int = 1) -> QConfigMapping:
    """How to train for quantization: `get_default_qat_qconfig`, and fixed ranges where they are known.

    >>> from quantray import quantization as tq
    >>> type(tq.get_default_qat_qconfig_mapping().resolve("gate", "Tanh").activation()).__name__
    'FixedQParamsFakeQuantize'

    Source: `torch.ao.quantization.get_default_qat_qconfig_mapping`.
    """
    return _default(get_default_qat_qconfig(backend, version), is_qat=True)
