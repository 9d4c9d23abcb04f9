"""Files of tensors and of models."""

from __future__ import annotations

import os
from typing import Any

from quantray import _core

#: The metadata key that holds what a model is built of.
MODEL = "quantray.model"


def load(path: str | os.PathLike[str], *, mmap: bool = True) -> Any:
    """Reads what `save` wrote: a QTensor, a dict of QTensors and NumPy arrays, or a model.

    The file is mapped into memory, so that loading takes no time and no memory until elements are read;
    weights that are packed for this CPU are read at once. Changes stay in memory: the file is never written
    to. Any safetensors file will do: it gives a dict. Nothing in a file is ever executed.

    Parameters
    ----------
    path : str or path
    mmap : bool
        Whether to map the file. Where another program may cut it shorter while it is in use, say False: it
        is read at once. Of a mapped file the part that is gone ends the process when it is read (SIGBUS),
        which nothing can catch. Files that are replaced as a whole, as `save` does, stay what they were.

    Returns
    -------
    QTensor, dict of str to QTensor or ndarray, or Module
        A model if `Module.save` wrote it and it is made of quantray's own modules, or runs by its graphs, as
        quantized models of any class do. Other models with modules of other classes, and prepared ones, give
        a dict, and `load_state_dict(path)` of an instance takes the file.

    Raises
    ------
    OSError
        Where the file cannot be opened, is not a valid safetensors file, or is of a later version.

    >>> import os, tempfile, quantray as qt
    >>> q = qt.quantize_per_tensor([1.0, 2.0], 0.5, 0, qt.qint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "q.safetensors")
    ...     qt.save(q, path)
    ...     qt.load(path).equal(q)
    True
    """
    state = _core.load(path, mmap=mmap)
    if not isinstance(state, _core.QTensor):
        text = _core.read_metadata(path, mmap=mmap).get(MODEL)
        if text is not None:
            from quantray.nn._files import rebuilt

            return rebuilt(state, text, path)
    return state
