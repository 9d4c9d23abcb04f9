"""Arrays out of files, as a model's inputs."""

from __future__ import annotations

import argparse
import os
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.npyio import NpzFile

from quantray._cli._errors import Usage

if TYPE_CHECKING:
    from quantray._typing import Array
    from quantray.onnx import Model


def positive(text: str) -> int:
    """A number of samples, out of what was typed."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text}")
    return int(text)


def share(text: str) -> float:
    """How much of a metric may be lost, out of what was typed."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text}")
    return value


def cosine(text: str) -> float:
    """How near outputs have to be, out of what was typed."""
    value = _number(text)
    if not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from -1 to 1, got {text}")
    return value


def _number(text: str) -> float:
    """NaN, which is in no range, where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def batches(path: str, model: Model, rows: int) -> list[tuple[Array, ...]]:
    """What a model is called with, `rows` at a time.

    A file is an .npz with an array for each input, or an .npy for the only one.
    """
    arrays = inputs(path, model)
    counts = {len(array) for array in arrays if array.ndim}
    if len(counts) > 1:
        lengths = ", ".join(f"{v.name} {len(a)}" for v, a in zip(model.inputs, arrays, strict=True) if a.ndim)
        raise Usage(f"{path}: arrays must have one number of samples, got {lengths}")
    count = counts.pop() if counts else 1
    fixed = next((v.shape[0] for v in model.inputs if v.shape and isinstance(v.shape[0], int)), None)
    if count == 0 or (fixed and count % fixed):
        wanted = f"a multiple of {fixed}, which the model takes at a time" if fixed else "1 or more"
        raise Usage(f"{path} must have samples in number {wanted}, got {count}")
    size = fixed or rows
    return [
        tuple(array[i : i + size] if array.ndim else array for array in arrays) for i in range(0, count, size)
    ]


def inputs(path: str, model: Model) -> list[Array]:
    """All samples of a file, in the order of a model's inputs."""
    if not os.path.exists(path):
        raise Usage(f"there is no file {path}")
    if os.path.isdir(path):
        raise Usage(
            f"{path} must be an .npz or .npy file of numbers, got a folder: numpy.stack makes one "
            "array of many"
        )
    found = _read(path)
    lists = [value.name for value in model.inputs if value.kind != "tensor"]
    if lists:
        raise Usage(
            f"{', '.join(lists)} must be sequences, which files of arrays do not hold: use quantray.onnx"
        )
    names = [value.name for value in model.inputs]
    if isinstance(found, np.ndarray):
        if len(names) != 1:
            raise Usage(
                f"{path} is one array, the model has {len(names)} inputs ({', '.join(names)}): give an .npz"
            )
        return [found]
    if len(names) == 1 and len(found) == 1 and names[0] not in found:
        return list(found.values())
    missing = [name for name in names if name not in found]
    if missing:
        raise Usage(f"{path} lacks {', '.join(missing)}; it has {', '.join(found) or 'nothing'}")
    return [found[name] for name in names]


def _read(path: str) -> Array | dict[str, Array]:
    """The array of an .npy, or those of an .npz by their names."""
    try:
        with open(path, "rb") as file:
            # NumPy takes every other file for a pickle, and advises to run what it says.
            if file.read(4) not in (b"\x93NUM", b"PK\x03\x04", b"PK\x05\x06"):
                raise Usage(f"{path} must be an .npz or .npy file of numbers, and is another kind of file")
            file.seek(0)
            found: Array | NpzFile = np.load(file, allow_pickle=False)
            return {name: found[name] for name in found.files} if isinstance(found, NpzFile) else found
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        text = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise Usage(f"{path} must be an .npz or .npy file of numbers: {text}") from None
