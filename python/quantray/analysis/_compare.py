"""Two models side by side: where values part, why, and what would change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from quantray import nn
from quantray.analysis._comparison import Comparison
from quantray.analysis._embeddings import Rows
from quantray.analysis._row import rows_of
from quantray.analysis._sensitivity import sensitivity_of
from quantray.analysis._statistics import Errors
from quantray.analysis._walk import Walk
from quantray.graph import Node, Ref
from quantray.graph._graph import leaves
from quantray.graph._trees import is_array
from quantray.graph.kinds import is_weight
from quantray.quantization._batches import Batch, as_batches, is_floats
from quantray.quantization._integers import DEQUANTIZE
from quantray.quantization._progress import progress
from quantray.quantization._sides import Side, Trained, float_side, quantized_side
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase

#: Below this cosine weights of a layer are other weights.
_ALIKE = 0.5


def compare(
    model: nn.Module,
    int8: nn.Module,
    batches: Iterable[Batch],
    *,
    metric: Callable[..., float] | None = None,
    transform: Callable[[Batch], object] | None = None,
    show_progress: bool = False,
) -> Comparison:
    """What is lost between a float model and a quantized one: a row a call, worst first.

    Each batch passes both graphs once, and each node once more alone, with exact inputs; memory does not
    grow with the number of batches.

    Parameters
    ----------
    model : Module
        The float model; or one from `prepare_qat`, to see in steps where training and conversion part.
    int8 : Module
        What became of it: from `convert` or `quantize`, from `quantize_dynamic`, or prepared and calibrated
        (which is looked at as what it would become).
    batches : iterable
        Arrays, or tuples of the model's arguments. One array is one batch.
    metric : callable, optional
        `metric(model, batches)`, or `metric(model)`: a number, larger is better. With it each row says what
        the metric loses with that node alone in integers, which takes a pass a node.
    transform : callable, optional
        What makes the model's arguments of a batch; `metric` is given the batches as they are.
    show_progress : bool
        Whether to show a bar.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        For no batches, for models that do not correspond, a model that is not quantized, a metric that is
        not finite.

    >>> import numpy as np
    >>> from quantray import analysis, nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = np.random.default_rng(0).standard_normal((64, 4), np.float32)
    >>> int8 = tq.quantize(model, x, verbose=False)
    >>> result = analysis.compare(model, int8, x)
    >>> [row.name for row in result.depth]
    ['input.quantize', '0', '2']
    >>> bool(result["2"].accumulated > 25)
    True

    Source: SQNR by layer as in "A White Paper on Neural Network Quantization" (Nagel et al.,
    arXiv:2106.08295), section 3; what each node does alone, and why, is ours.
    """
    other = quantized_side(int8)
    side = float_side(model, other)
    walk, output, rows = Walk(side, other), Errors(), Rows()
    given = as_batches(batches)
    kept: list[Batch] = []
    for i, batch in enumerate(progress(given, "compare", show_progress)):
        if metric is not None and iter(given) is given:
            kept.append(batch)
        try:
            walk.batch(batch if transform is None else transform(batch))
        except ValueError as error:
            raise ValueError(f"batch {i}: {error}") from None
        _outputs(walk, output, rows)
    if walk.batches == 0:
        raise ValueError("batches must hold at least one batch, got none")
    _check_weights(walk)
    losses: dict[str, float] = {}
    if metric is not None:
        found = sensitivity_of(side, other, kept or given, metric, transform, show_progress)
        losses = {row.name: row.loss for row in found}
    is_trained = isinstance(side, Trained)
    return Comparison(
        rows_of(walk, losses, is_trained=is_trained),
        walk=walk,
        unreached=_unreached(walk, other),
        unpaired=list(dict.fromkeys(name for pairs in walk._pairs for name in pairs.unpaired)),
        agreement=rows.result(),
        output=output.sqnr,
        is_trained=is_trained,
    )


def _outputs(walk: Walk, errors: Errors, rows: Rows) -> None:
    exact, found = (list(leaves(tree)) for tree in walk.outputs)
    for y, other in zip(exact, found, strict=False):
        if is_floats(y) and is_array(other):
            errors.add(y, other, None)
    if len(exact) == 1 and len(found) == 1:
        rows.add(exact[0], found[0])


def _check_weights(walk: Walk) -> None:
    """Weights of another training, or of a model that a remedy has changed, are not compared in silence."""
    if isinstance(walk.side, Trained):
        return
    for name, watched in walk.watched.items():
        weighted = watched.weighted
        if weighted is None:
            continue
        a, b = weighted.weight.ravel().astype(np.float64), weighted.other.ravel().astype(np.float64)
        norm = np.linalg.norm(a) * np.linalg.norm(b)
        cosine = float(a @ b / norm) if norm else 1.0
        if cosine < _ALIKE:
            raise ValueError(
                f"model and int8 do not correspond: the weights of {name} are other ones (their cosine is "
                f"{cosine:.2f}). Compare with the model that int8 was made from; where a remedy has changed "
                "it, with what the remedy gave back, or with best.plan.model"
            )


def _unreached(walk: Walk, other: Side) -> list[str]:
    """Steps of all graphs that no batch has come to, and modules in none."""
    found: dict[str, None] = {}
    for graph in other.graphs():
        for node in graph:
            is_step = node.kind not in ("input", "parameter", "constant", "tap", DEQUANTIZE)
            if is_step and ".float" not in node.name and not is_weight(Ref(node.name), graph):
                found[node.name] = None
    known = {name for pairs in walk._pairs for name in (n.name for n in pairs.other)}
    nodes = [node for graph in other.graphs() for node in graph]
    read = {node.value[0] for node in nodes if node.kind == "parameter"}
    whole = {_home(node) for node in nodes}
    for name, module in other.model.named_modules():
        if isinstance(module, (ObserverBase, FakeQuantizeBase)) or not module._own_state():
            continue
        if name not in read and not whole.intersection(_around(name)):
            found[name] = None
    return [name for name in found if name not in known]


def _home(node: Node) -> str | None:
    """The path of the module that a node runs as a whole."""
    match node.kind:
        case "layer" | "module" | "python" | "int.layer":
            return getattr(node.value, "path", getattr(node.value, "home", node.value))
        case _:
            return None


def _around(name: str) -> list[str]:
    """The paths of a module and of those that it is in."""
    parts = name.split(".") if name else []
    return [".".join(parts[:i]) for i in range(len(parts) + 1)]
