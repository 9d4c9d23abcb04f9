"""Files of tensors and of models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

from quantray import _core
from quantray._advice import LEFT_OUT

if TYPE_CHECKING:
    from quantray._core import QTensor
    from quantray._typing import Tensor

#: The metadata key that holds what a model is built of.
MODEL = "quantray.model"


class Tensors(dict[str, "Tensor"]):
    """The tensors of a file whose model is of a class that is not here: a dict that says so when called."""

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Raises: it is no model."""
        raise TypeError(
            "this is a dict of tensors, not a model: its class is your own, and no file holds code; make an "
            "instance of it and call its load_state_dict(path)"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (dict(self),)


def read(path: str | os.PathLike[str], *, mmap: bool = True) -> QTensor | dict[str, Tensor]:
    """A file's tensors.

    Raises
    ------
    OSError
        It is none of safetensors, and none of torch's that holds tensors alone.
    """
    try:
        return _core.load(path, mmap=mmap)
    except OSError:
        if not _is_pickle(path):
            raise
    from quantray import _pickled

    return _pickled.read(path)


def _is_pickle(path: str | os.PathLike[str]) -> bool:
    """Whether it may be a file of torch's, by its first bytes."""
    try:
        with open(path, "rb") as file:
            first = file.read(4)
    except OSError:
        return False
    return first[:4] == b"PK\x03\x04" or first[:2] in (b"\x80\x02", b"\x80\x04", b"\x80\x05")


def built_of(path: str | os.PathLike[str], *, mmap: bool = True) -> str | None:
    """What a file says of how its model is built; None where it holds tensors alone."""
    try:
        return _core.read_metadata(path, mmap=mmap).get(MODEL)
    except OSError:
        # A safetensors file may begin with the same bytes as a pickle: it is asked first.
        if _is_pickle(path):
            return None
        raise


# What a file holds only the file says, and whoever loads one knows.
def load(
    path: str | os.PathLike[str],
    map_location: str | None = None,
    *,
    mmap: bool = True,
    weights_only: bool = True,
) -> Any:
    """Reads what `save` wrote: a QTensor, a dict of QTensors and NumPy arrays, or a model.

    The file is mapped into memory, so that loading takes no time and no memory until elements are read;
    weights that are packed for this CPU are read at once. Changes stay in memory: the file is never written
    to. Every safetensors file will do: it gives a dict. So will what torch.save wrote (.pt, .pth) of tensors,
    numbers and dicts, such as a state_dict, which needs no torch; its floats are arrays. Nothing in a file is
    ever executed.

    Parameters
    ----------
    path : str or path
    map_location : "cpu", optional
        As code for torch says it; there is no other place.
    mmap : bool
        Whether to map the file. Where another program may cut it shorter while it is in use, say False: it
        is read at once. Of a mapped file the part that is gone ends the process when it is read (SIGBUS),
        which nothing can catch. Files that are replaced as a whole, as `save` does, stay what they were.
    weights_only : bool
        As code for torch says it: True. What would run a file's code is not there.

    Returns
    -------
    QTensor, dict of str to QTensor or ndarray, or Module
        A model if `Module.save` wrote it and it is made of quantray's own modules, or runs by its graphs, as
        quantized models of any class do. Other models with modules of other classes, and prepared ones, give
        a dict, and `load_state_dict(path)` of an instance takes the file.

    Raises
    ------
    OSError
        Where the file cannot be opened, is not a valid safetensors file, is of a later version, or is a
        pickle of more than tensors, such as a whole model of torch's.
    ValueError
        For another place, and for `weights_only=False`.

    >>> import os, tempfile, quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "q.safetensors")
    ...     qt.save(q, path)
    ...     qt.load(path).equal(q)
    True
    """
    if map_location not in (None, "cpu"):
        raise ValueError(f'map_location must be "cpu" or None, got {map_location!r}: {LEFT_OUT["device"]}')
    if not weights_only:
        raise ValueError("weights_only must be True, got False: nothing in a file is ever executed")
    state = read(path, mmap=mmap)
    if not isinstance(state, _core.QTensor):
        text = built_of(path, mmap=mmap)
        if text is not None:
            from quantray.nn._files import rebuilt

            return rebuilt(state, text, path)
    return state
