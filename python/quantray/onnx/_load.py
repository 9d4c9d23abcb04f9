"""Loads models out of files."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from quantray.onnx._body import Plan
from quantray.onnx._build import Builder, Unknown, opsets
from quantray.onnx._check import checked
from quantray.onnx._file import ModelFile, ValueInfo, read
from quantray.onnx._model import Model, Value
from quantray.onnx._passes import channels_second, inline_functions, without_blocks, written_out

if TYPE_CHECKING:
    from quantray.onnx._file import Source


class Proto(Protocol):
    """A message that gives its bytes, as onnx.ModelProto does."""

    def SerializeToString(self) -> bytes: ...


def load(path: str | os.PathLike[str] | bytes | BinaryIO | Proto) -> Model:
    """A model out of an ONNX file, in floats or quantized already; it runs at once.

    Scores that a classifier of scikit-learn, LightGBM or CatBoost hands out as a list of dictionaries
    (ZipMap) are the array that these are made of: a row for each example, a column for each class. Texts,
    as its encoders take them, are arrays of str.

    Parameters
    ----------
    path : path, bytes, binary file or onnx.ModelProto
        The file; data that it keeps beside it are found by its path.

    Returns
    -------
    Model
        Called with arrays it gives arrays. It is an `nn.Module`, which `quantray.quantization` takes.

    Raises
    ------
    OSError
        There is no such file.
    ValueError
        It is no ONNX model, is damaged, or holds operators that there are not: all of these are named.

    Source: the ONNX standard, https://onnx.ai/onnx/.
    """
    given = cast("Proto", path).SerializeToString() if hasattr(path, "SerializeToString") else path
    return build(
        checked(read(cast("Source", given))),
        os.path.basename(path) if isinstance(path, (str, os.PathLike)) else "",
    )


def build(file: ModelFile, name: str = "") -> Model:
    """The module of what a file holds; `name` is what errors call it."""
    file = channels_second(without_blocks(inline_functions(file)))
    whole = written_out(file)
    model, builder = _made(whole, name)
    if _as_integers(model, builder) or whole is file:
        _say_what_is_stored(model, builder)
        return model
    # Operators on integers compute one by one, as the file has them.
    return _made(file, name)[0]


#: Operators of onnxruntime that call a decoder inside of them until a text is whole.
_GENERATORS = frozenset({"BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"})


def _made(file: ModelFile, name: str) -> tuple[Model, Builder]:
    """The modules of what a file holds, one for each node."""
    versions = opsets(file)
    builder = Builder(versions)
    inputs = [_value(value) for value in file.graph.inputs if value.name not in file.graph.initializers]
    # What is only looked at between two nodes is often named as an output, and no more.
    outputs = [
        Value(value.name, "unknown", None) if value.kind in ("", "unknown") else _value(value)
        for value in file.graph.outputs
    ]
    producer = " ".join(part for part in (file.producer_name, file.producer_version) if part)
    empty = Plan((), (), (), {})
    model = Model(empty, inputs, outputs, producer, versions.get("", 0), file.metadata, name)
    model.plan = builder.build(file.graph, model)
    model.__dict__["_file_names"] = builder.names.paths
    model.__dict__["_file_ops"] = builder.ops
    if builder.unknown:
        generators = [name for name in builder.unknown if name.rpartition(".")[2].rstrip(")") in _GENERATORS]
        hint = "; a file of a decoder alone, which such a generator calls, can be read" if generators else ""
        raise Unknown(f"there are no such operators: {', '.join(builder.unknown)}{hint}")
    if builder.referred:
        warnings.warn(
            f"onnx's reference evaluator computes {', '.join(builder.referred)}: slowly, as Python in graphs",
            UserWarning,
            stacklevel=4,
        )
    return model.eval(), builder


def _say_what_is_stored(model: Model, builder: Builder) -> None:
    """Layers in floats remember that their file has integers for their weights: reports say so."""
    for at, stored in builder.weights.items():
        path, _, name = at.rpartition(".")
        module = model._submodule(path)
        if module is not None and name == "weight" and name in module._parameters:
            module.__dict__["_stored_as"] = stored.kind


def _as_integers(model: Model, builder: Builder) -> bool:
    """What a file has quantized computes in integers from the beginning; whether anything does."""
    from quantray.onnx._integers import as_integers, has_grids

    return has_grids(model) and as_integers(model, builder.weights)


#: What values of models may be; elements of sequences are arrays of one type.
_KINDS = re.compile(r"(optional\()?(sequence\()?tensor\((\w+)[,)]")
#: What ZipMap gives, of which the array of scores is taken.
_DICTIONARIES = re.compile(r"sequence\(map\(\w+, tensor\((\w+)[,)]")


def _value(value: ValueInfo) -> Value:
    if value.kind == "tensor" and value.dtype is not None:
        shape = None if value.shape is None else tuple(map(_length, value.shape))
        return Value(value.name, str(value.dtype), shape)
    scores = _DICTIONARIES.match(value.kind)
    if scores is not None:
        return Value(value.name, scores[1], None)
    known = _KINDS.match(value.kind)
    if known is None:
        what = value.kind or "of no type that the file says"
        raise ValueError(
            f"{value.name} must be a tensor, a sequence of tensors or an optional one of these, it is {what}"
        )
    optional, sequence, dtype = known.groups()
    kind = " ".join(word for word, is_so in (("optional", optional), ("sequence", sequence)) if is_so)
    return Value(value.name, dtype, None, kind or "tensor")


def _length(length: int | str | None) -> int | str | None:
    """A length as files mean it: some write -1, 0 or "?" for one that is free and has no name."""
    if isinstance(length, int):
        return length if length > 0 else None
    return length if length and (length[0].isalpha() or length[0] == "_") else None
