"""GPTQ: weights rounded one after the other, the later ones making up for the earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from quantray import nn
from quantray.quantization._batches import Batch
from quantray.quantization.qconfig import QConfig
from quantray.quantization.qconfig_mapping import QConfigMapping
from quantray.quantization.remedies._reconstruction import reconstruct
from quantray.quantization.remedies._rewriting import Rewriting
from quantray.quantization.remedies._rounding import gptq_codes

M = TypeVar("M", bound=nn.Module)


def gptq(
    model: M,
    batches: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    *,
    with_activations: bool = True,
    transform: Callable[[Batch], object] | None = None,
    show_progress: bool = False,
) -> M:
    """A float model whose weights lie on the grids that they will be quantized on, rounded for their inputs.

    Layer by layer, first to last: the weights that make the layer's output exact for what really goes in,
    which is rounded too; codes of these by GPTQ, then moved one at a time while that helps; scales fitted
    to them; and what is lost in the mean goes into the bias.

    Parameters
    ----------
    model : Module
        Of floats; it is not changed.
    batches : iterable
        Arrays, or tuples of the model's arguments: some hundred samples; gone through twice for each layer.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How it is to be quantized: its bits, per tensor or per channel.
    with_activations : bool
        Whether activations are rounded, too, in what the layers are fitted to.
    transform : callable, optional
        What makes the model's arguments of a batch.
    show_progress : bool
        Whether to show a bar.

    Returns
    -------
    Module
        A copy with other weights; `model.qconfig_mapping`, which `prepare` and `quantize` take by default,
        has their scales. Layers of shared weights and transposed convolutions stay as they are.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model, x = nn.Sequential(nn.Linear(64, 8)), np.random.default_rng(0).random((256, 64), np.float32)
    >>> bits = tq.qconfig_for_bits(3, 8, qat=False)
    >>> plain = tq.quantize(model, x, bits, verbose=False)
    >>> better = tq.quantize(tq.remedies.gptq(model, x, bits), x, verbose=False)
    >>> bool(np.square(better(x) - model(x)).mean() < 0.5 * np.square(plain(x) - model(x)).mean())
    True

    Source: "GPTQ" (Frantar et al., arXiv:2210.17323); fitting to rounded inputs as in "GPTAQ" (Li et al.,
    arXiv:2504.02692) and, in closed form, "Up or Down?" (Nagel et al., arXiv:2004.10568), section 3.3.
    """
    changed = Rewriting(model, batches, qconfig_mapping, transform)
    reconstruct(changed, gptq_codes, with_activations=with_activations, show_progress=show_progress)
    return changed.result()
