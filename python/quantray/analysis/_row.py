"""One row of a comparison: a call of a node, its error, and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from quantray.analysis._causes import Cause, behind, cause_of, ratio_of, several_ranges
from quantray.analysis._choice import Choice
from quantray.analysis._walk import Walk, Watched
from quantray.quantization.report import Line, report


@dataclass(frozen=True)
class Row:
    """A call of a node.

    Attributes
    ----------
    name : str
        The float model's own: the path of its module, "#2" for its second call.
    kind : str
        What it is, with what is fused with it.
    own, accumulated : float
        SQNR in dB: of this node alone, given exact values, and in the model; infinite where it is exact.
    cosine, most : float
        Of accumulated errors: the cosine to the exact values, and the largest error.
    loss : float, optional
        What the metric loses with this node alone in integers.
    weight_share, input_share, output_share : float
        Of its own error's energy.
    clipped, clipping : float
        The share of its output's exact values beyond the grid, and that of the rounding error's energy that
        these have. The rest of the energy is rounding.
    codes, codes_of : int, optional
        How many codes of its output's grid were used, of how many.
    bulk : int, optional
        How many codes 99 % of the values lie on.
    channel_ratio, channels
        The largest channel of its input beside the median one, and the numbers of channels over 10 times
        the median.
    weight_ratio : float, optional
        The largest range of an output's weights beside the smallest.
    reach : float
        How far its input goes in widths of the grid that it is on: above 1 it is clipped.
    worst_sample : int, optional
        The sample with the least own SQNR.
    steps : float
        The largest error of the node alone, in steps of its output's grid.
    computes, why, bits, bytes, ms
        What it computes in, and why it is in floats if it is; bits of weights and activations; bytes of its
        weights; milliseconds of its own operator for all batches.
    cause, remedy : str
        In words; the remedy is a name in `quantization.remedies`, or what to change.
    gain : float, optional
        dB of own SQNR that the remedy gave, measured; infinite where it leaves nothing to lose.
    """

    name: str
    kind: str
    own: float
    accumulated: float
    cosine: float
    most: float
    loss: float | None
    weight_share: float
    input_share: float
    output_share: float
    clipped: float
    clipping: float
    codes: int | None
    codes_of: int | None
    bulk: int | None
    channel_ratio: float
    channels: tuple[int, ...]
    weight_ratio: float | None
    reach: float
    worst_sample: int | None
    steps: float
    computes: str
    why: str
    bits: str
    bytes: int
    ms: float
    cause: str
    remedy: str
    gain: float | None


def rows_of(walk: Walk, losses: Mapping[str, float], *, is_trained: bool) -> list[Row]:
    """The rows of a walk, in the order of the graph."""
    lines = {line.name: line for line in report(walk.other.model).lines}
    calls: dict[str, list[Watched]] = {}
    for name, watched in walk.watched.items():
        calls.setdefault(name.partition("#")[0], []).append(watched)
    choice, made = Choice(walk), list[Row]()
    for name, watched in walk.watched.items():
        source = walk.watched.get(watched.source or "")
        base = name.partition("#")[0]
        if is_trained:
            cause = _apart(watched)
        else:
            cause = cause_of(watched, source)
            again = several_ranges(calls[base])
            if again.words and cause.words:
                cause = again
        remedy, gain = (cause.remedy, None) if is_trained else choice.of(name, watched, source, cause)
        cause = cause._replace(remedy=remedy)
        made.append(_row(name, watched, source, lines.get(name) or lines.get(base), losses, cause, gain))
    return made


def _apart(watched: Watched) -> Cause:
    # A code may be the neighbour where a value lies in the middle between two.
    if watched.steps <= 1.01:
        return Cause()
    return Cause(
        f"trained and converted apart: {watched.steps:.0f} steps",
        "convert(model) again: weights or observers have changed since",
    )


def _row(
    name: str,
    watched: Watched,
    source: Watched | None,
    line: Line | None,
    losses: Mapping[str, float],
    cause: Cause,
    gain: float | None,
) -> Row:
    total = watched.of_weight + watched.of_input + watched.of_output
    shares = [
        part / total if total else 0.0 for part in (watched.of_weight, watched.of_input, watched.of_output)
    ]
    # Of a trained model distances alone were looked at.
    codes = None if watched.codes is None or not watched.codes.total else watched.codes
    ratio, far = watched.input.outliers()
    is_first = "#" not in name
    return Row(
        name=name,
        kind=line.kind if line is not None else watched.node.kind,
        own=watched.own.sqnr if watched.has_own else math.nan,
        accumulated=watched.accumulated.sqnr,
        cosine=watched.accumulated.cosine,
        most=watched.accumulated.most,
        loss=losses.get(name),
        weight_share=shares[0],
        input_share=shares[1],
        output_share=shares[2],
        clipped=0.0 if codes is None else codes.clipped / codes.total,
        clipping=0.0 if codes is None else codes.clipping_share,
        codes=None if codes is None else codes.used,
        codes_of=None if codes is None else codes.has,
        bulk=None if codes is None else codes.bulk,
        channel_ratio=ratio,
        channels=far,
        weight_ratio=None if watched.weighted is None else ratio_of(watched.weighted.ranges),
        reach=behind(watched.input, None if source is None else source.codes),
        worst_sample=watched.own.worst[1],
        steps=watched.steps,
        computes="" if line is None else line.computes,
        why="" if line is None else line.reason,
        bits="" if line is None else line.bits,
        bytes=line.bytes if line is not None and is_first else 0,
        ms=1000 * watched.seconds,
        cause=cause.words,
        remedy=cause.remedy,
        gain=gain,
    )
