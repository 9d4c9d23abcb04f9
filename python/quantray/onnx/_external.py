"""Tensors in files beside the model's: found, checked and mapped, never outside of its folder."""

from __future__ import annotations

import os

import numpy as np

from quantray._typing import Array


class Folder:
    """The folder that a model's external data may lie in.

    Parameters
    ----------
    path : str or None
        None where the model did not come from a file: then nothing external can be read.
    model : str
        What errors call the model.
    """

    def __init__(self, path: str | None, model: str) -> None:
        self._path, self._model = path, model
        self._maps: dict[str, Array] = {}

    def part(self, tensor: str, location: str, offset: int, length: int) -> Array:
        """Bytes of one of its files, as a read-only view of the mapped file.

        Raises
        ------
        OSError
            Where the file lies outside of the folder, cannot be opened, or is too short.
        """
        file = self._maps.get(location)
        if file is None:
            file = self._maps[location] = self._mapped(tensor, location)
        if offset + length > file.size:
            raise self._error(
                tensor,
                f"wants bytes {offset} to {offset + length} of {location!r}, which has {file.size}: it "
                "belongs to another model, or is truncated",
            )
        return file[offset : offset + length]

    def _mapped(self, tensor: str, location: str) -> Array:
        if self._path is None:
            raise self._error(
                tensor, f"lies in the file {location!r}: hand in the model's path, or the folder of that file"
            )
        parts = location.replace("\\", "/").split("/")
        if "\0" in location or os.path.isabs(location) or ".." in parts or ":" in parts[0]:
            raise self._error(tensor, f"lies in {location!r}: valid are paths inside of the model's folder")
        root = os.path.realpath(self._path)
        real = os.path.realpath(os.path.join(root, location))
        if os.path.commonpath([root, real]) != root:
            raise self._error(tensor, f"lies in {location!r}, a link that leads out of the model's folder")
        if not os.path.isfile(real):
            what = "no file" if os.path.exists(real) else "missing"
            raise self._error(tensor, f"lies in {location!r}, which is {what} in {self._path or '.'}")
        try:
            if os.path.getsize(real) == 0:
                return np.zeros(0, np.uint8)
            return np.asarray(np.memmap(real, np.uint8, "r"))
        except OSError as e:
            raise self._error(tensor, f"lies in {location!r}: {e.strerror}") from e

    def _error(self, tensor: str, problem: str) -> OSError:
        return OSError(f"cannot read {self._model}: tensor {tensor!r} {problem}")
