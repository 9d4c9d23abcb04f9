"""Why a node's error is what it is: each failure has a signal, and is named.

The largest part of the error, of weights, input or output, says where to look; what is kept of ranges and
codes says why.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantray.analysis._statistics import Codes, Range
from quantray.analysis._walk import Watched

#: Ratios of ranges of channels above which they do not fit one grid.
IMBALANCE, OUTLIERS = 100.0, 10.0
#: From here on nothing needs to be done.
ENOUGH = 40.0


class Cause(NamedTuple):
    """What is wrong, in words, and the remedy: a name in `quantization.remedies`, or what to change."""

    words: str = ""
    remedy: str = ""
    #: Whether it is what the node gives that is to be changed, not what it takes.
    is_of_output: bool = False


def ratio_of(ranges: object) -> float:
    """The largest range beside the smallest one that is not 0."""
    found = np.asarray(ranges, np.float64)
    found = found[found > 0]
    return float(found.max() / found.min()) if found.size else 1.0


def behind(seen: Range, codes: Codes | None) -> float:
    """How far what is on a wire reaches, in widths of its grid: 1.5 is half as far again as the grid."""
    if codes is None or seen.high < seen.low:
        return 0.0
    grid = codes.grid
    low = grid.scale * (grid.quant_min - grid.zero_point)
    high = grid.scale * (grid.quant_max - grid.zero_point)
    found = [seen.high / high if high > 0 else 0.0, seen.low / low if low < 0 else 0.0]
    return max(found)


def cause_of(watched: Watched, source: Watched | None) -> Cause:
    """What is wrong with a node, if something is.

    Parameters
    ----------
    watched : Watched
    source : Watched, optional
        The step that has made its input.
    """
    if not watched.has_own or watched.own.noise == 0:
        return Cause()
    sqnr = watched.own.sqnr
    parts = {
        "weight": watched.of_weight,
        "input": watched.of_input,
        "output": watched.of_output,
    }
    largest = max(parts, key=parts.__getitem__)
    weighted = watched.weighted
    if weighted is not None:
        ratio = ratio_of(weighted.ranges)
        if not weighted.is_per_channel and ratio > IMBALANCE:
            words = f"imbalance: ranges of weights differ {ratio:,.0f} times across outputs"
            return Cause(words, "equalize", True)
    if sqnr >= ENOUGH:
        return Cause()
    if largest == "weight" and weighted is not None:
        return _of_weight(watched)
    if largest == "input":
        return _of_wire(source, watched, "input") if weighted is not None else _of_source(source, watched)
    return _of_wire(watched, watched, "output")


def _of_weight(watched: Watched) -> Cause:
    weighted = watched.weighted
    assert weighted is not None
    low, high = weighted.code_range
    bits = (high - low).bit_length()
    inputs = np.abs(weighted.weight)
    if weighted.weight.ndim > 1 and weighted.kind == "linear":
        spread = ratio_of(inputs.max(axis=0))
        if spread > IMBALANCE:
            return Cause(f"imbalance: ranges of weights differ {spread:,.0f} times across inputs", "equalize")
    if bits <= 6:
        return Cause(f"bits too few: {bits} for weights", "gptq")
    if not weighted.is_per_channel:
        return Cause("weights of all outputs on one grid", "per-channel weights")
    return Cause("rounding of weights", "gptq")


def _of_source(source: Watched | None, watched: Watched) -> Cause:
    if source is None or source.codes is None:
        return Cause("rounding of what goes in")
    return Cause(f"what {source.node.name} gives is rounded already: see there")


def _of_wire(wire: Watched | None, watched: Watched, which: str) -> Cause:
    """What is wrong with the grid of a wire, which `wire` has made; a wire without one has calls' ranges."""
    seen = watched.input if which == "input" else watched.output
    codes = None if wire is None else wire.codes
    what = "the input" if which == "input" else "the output"
    if codes is not None:
        reach = behind(seen, codes)
        share = codes.clipping_share
        if share > 0.5:
            percent = f"{100 * codes.clipped / max(codes.total, 1):.2g} % of {what}"
            if reach > 1.05 and wire is not None and wire.output.is_set_by_one:
                words = f"clipping: {percent}, most of it in sample {wire.output.sample}"
                return Cause(words, "a range that holds it, or none like it")
            return Cause(
                f"clipping: {percent} lies beyond the grid and makes {100 * share:.0f} % of its error, "
                f"reaching {reach:.2g} times as far",
                "MinMaxObserver, or data like these in calibration",
            )
    if seen.is_set_by_one:
        return Cause(
            f"one sample sets the range of {what}: number {seen.sample} reaches "
            f"{seen.first / max(seen.usual, 1e-30):.0f} times as far as most",
            "MSEObserver",
        )
    outliers = _of_channels(seen, what)
    if outliers.words:
        return outliers._replace(is_of_output=which == "output")
    if codes is not None and codes.total >= 4 * codes.has and codes.bulk * 10 <= codes.has:
        return Cause(
            f"a grid that does not fit: 99 % of {what} lies on {codes.bulk} of {codes.has} codes",
            "calibrate with data like these",
        )
    if codes is not None and codes.has <= 64:
        return Cause(f"bits too few: {codes.has.bit_length() - 1} for {what}", "more bits, or train")
    return Cause(f"rounding of {what}", "", which == "output")


def _of_channels(seen: Range, what: str) -> Cause:
    """Channels of a wire that one grid does not fit."""
    if seen.channels is None:
        return Cause()
    used = np.sort(seen.channels[seen.channels > 0])
    if used.size < 4:
        return Cause()
    ratio, far = seen.outliers(OUTLIERS)
    spread = float(np.quantile(used, 0.9) / np.quantile(used, 0.1))
    if far and len(far) <= max(1, 0.1 * used.size) and spread < IMBALANCE:
        shown = ", ".join(map(str, far[:3])) + (", ..." if len(far) > 3 else "")
        channels = "channels" if len(far) > 1 else "channel"
        return Cause(f"outlier {channels} {shown} of {what}: {ratio:.0f} times the median one", "smooth")
    if float(used[-1] / used[0]) > IMBALANCE:
        words = f"imbalance: channels of {what} differ {used[-1] / used[0]:,.0f} times in range"
        return Cause(words, "equalize")
    if far:
        return Cause(f"{len(far)} channels of {what} reach over 10 times the median one", "smooth")
    return Cause()


def several_ranges(calls: list[Watched]) -> Cause:
    """Calls of one layer whose inputs lie in different ranges."""
    sizes = [max(abs(each.input.low), abs(each.input.high)) for each in calls if each.input.high > -np.inf]
    sizes = [size for size in sizes if size > 0]
    if len(sizes) < 2 or max(sizes) < 4 * min(sizes):
        return Cause()
    return Cause(
        f"a layer with several ranges: its {len(sizes)} calls take inputs up to {min(sizes):.3g} and up to "
        f"{max(sizes):.3g}",
        "a layer for each call",
    )
