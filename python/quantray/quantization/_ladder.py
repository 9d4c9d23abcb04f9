"""The ladder: remedies one after the other, cheapest first, until a budget of the metric is kept.

Each step builds on those that made the output more exact; what is returned is what the metric likes best on
held-out data. What comes last always helps: nodes that cost most by themselves stay in floats.
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from quantray import nn
from quantray._typing import Array
from quantray.quantization._batches import as_arguments, is_floats
from quantray.quantization._metric import Metric, measured
from quantray.quantization._plan import Plan, Step
from quantray.quantization._prepared import prepared_of
from quantray.quantization._progress import Bar
from quantray.quantization._settings import Settings
from quantray.quantization._sides import Float
from quantray.quantization._sparing import spared_mapping
from quantray.quantization._static import calibrated, quantized
from quantray.quantization.report import report

#: Layers in floats, in turns, as shares of all; of more bits all may be.
_FLOATS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
#: A remedy is built on if the output is more exact by so many dB.
_GAIN = 0.2


#: What a float model becomes, for some batches.
Remedy: TypeAlias = Callable[[nn.Module, list[object]], nn.Module]


class Rung(NamedTuple):
    """A step that may be taken: what it makes of a float model, and its cost in passes of the data.

    A last one changes what the float model computes: it builds on the steps before, and none builds on it,
    but for layers in floats, which it is done again for.
    """

    name: str
    make: Callable[[nn.Module], nn.Module]
    passes: float
    is_last: bool = False


class Found(NamedTuple):
    """A candidate: the float model, what it has become, and how good that is."""

    model: nn.Module
    int8: nn.Module
    metric: float
    output: float


class Ladder:
    """A search for a quantized model within a budget.

    Parameters
    ----------
    model : Module
        Of floats, with its `qconfig_mapping`.
    batches : list
        The model's arguments, batch by batch.
    metric, held_out
        What is measured, and on what.
    max_drop : float, optional
        How much less than the float model's the metric may be.
    spares : bool
        Whether what 8 bits are too little for may be spared, as by default.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: list[object],
        metric: Metric,
        held_out: object,
        max_drop: float | None,
        show_progress: bool,
        *,
        spares: bool = False,
    ) -> None:
        self.spares = spares
        self.model, self.batches, self.metric, self.held_out = model, batches, metric, held_out
        self.max_drop = max_drop
        self._show = show_progress
        self.steps: list[Step] = []
        side = Float(model)
        self._exact = [model(*as_arguments(batch)) for batch in batches]
        #: The last one of the steps that no others build on that the metric likes best, and the metric.
        self._last: tuple[float, Rung] | None = None
        self._nodes = [node for node in side.find(batches[0])[0] if node.kind == "layer"]

    def climb(self) -> nn.Module:
        """The best model that was found; it brings along `plan`."""
        # What is imported for the first time is no part of what a step takes.
        importlib.import_module("quantray.analysis")
        importlib.import_module("quantray.quantization.remedies")
        begin = time.perf_counter()
        exact = measured(self.metric, self.model, self.held_out, "the float model")
        base = best = self._try("as it is", self.model, begin, 0.0, spares=self.spares)
        first = time.perf_counter() - begin
        foretold = first
        if getattr(best.int8._runner, "spared", None) and not self._is_within(exact, best):
            # Remedies may save what was spared, which is slower: they begin with all of it in integers.
            base = self._try("nothing spared", self.model, time.perf_counter(), first)
            best = max(best, base, key=lambda found: (found.metric, found.output))
            foretold += first
        # Of what one step took, calibration and measuring: all others do both, too.
        rungs = list(self._rungs(first))
        foretold += sum(self._cost(rung, first) for rung in rungs)
        stopped = "all steps were tried"
        with Bar(len(rungs), "quantize", self._show) as bar:
            try:
                for i, rung in enumerate(rungs):
                    if self._is_within(exact, best):
                        stopped = "within the budget" if self.max_drop is not None else "nothing is lost"
                        break
                    left = sum(self._cost(each, first) for each in rungs[i:])
                    bar.say(f"{rung.name}, at most {left:.0f} s left")
                    base, best = self._climb_one(rung, base, best, self._cost(rung, first))
                    bar.step()
                else:
                    if self._is_within(exact, best):
                        stopped = "within the budget" if self.max_drop is not None else "nothing is lost"
            except KeyboardInterrupt:
                stopped = "interrupted: the best so far"
        return self._result(best, exact, foretold, time.perf_counter() - begin, stopped)

    def _climb_one(self, rung: Rung, base: Found, best: Found, foretold: float) -> tuple[Found, Found]:
        begin = time.perf_counter()
        made = rung.make(base.model)
        if made is base.model:
            return base, best
        found = self._try(rung.name, made, begin, foretold)
        if rung.is_last:
            is_other = " in " not in rung.name
            if is_other and (self._last is None or found.metric > self._last[0]):
                self._last = found.metric, rung
        elif found.output > base.output + _GAIN:
            base = found
            self.steps[-1] = replace(self.steps[-1], is_kept=True)
        if (found.metric, found.output) > (best.metric, best.output):
            best = found
        return base, best

    def _try(
        self, name: str, model: nn.Module, begin: float, foretold: float, *, spares: bool = False
    ) -> Found:
        int8 = quantized(model, self.batches, spares=spares)
        signal = noise = 0.0
        for batch, exact in zip(self.batches, self._exact, strict=True):
            for y, z in _floats(exact, int8(*as_arguments(batch))):
                signal += float(np.square(y, dtype=np.float64).sum())
                noise += float(np.square(z - y, dtype=np.float64).sum())
        output = np.inf if noise == 0 else 10 * float(np.log10(max(signal, 1e-300) / noise))
        found = measured(self.metric, int8, self.held_out, f"the quantized model ({name})")
        ms = _time(int8, self.batches[0])
        seconds = time.perf_counter() - begin
        size = report(int8).total
        self.steps.append(
            Step(name, found, float(output), size, ms, foretold or seconds, seconds, not self.steps)
        )
        return Found(model, int8, found, float(output))

    def _is_within(self, exact: float, found: Found) -> bool:
        return exact - found.metric <= (self.max_drop or 0.0)

    def _cost(self, rung: Rung, first: float) -> float:
        return first * (1 + rung.passes)

    def _rung(self, name: str, remedy: Remedy, passes: float, is_last: bool = False) -> Rung:
        def make(model: nn.Module) -> nn.Module:
            return remedy(model, self.batches)

        return Rung(name, make, passes, is_last)

    def _rungs(self, first: float) -> Iterator[Rung]:
        from quantray.quantization import remedies

        layers = len(self._nodes)
        yield self._rung("equalize", remedies.equalize, 1)
        yield self._rung("activation ranges", remedies.activation_ranges, 3)
        yield self._rung("smooth", remedies.smooth, 1)
        yield self._rung("weight ranges", remedies.weight_ranges, 1)
        if self.spares:
            yield Rung("spare", self._spared, 3)
        yield self._rung("correct bias", remedies.correct_bias, 2, True)
        yield self._rung("gptq", remedies.gptq, 2 * layers, True)
        yield self._rung("adaround", remedies.adaround, 5 * layers, True)
        order: list[str] = []
        # Which layers cost most is found once.
        is_ordered = False
        for bits in (8, None) if self._are_few_bits() else (None,):
            what = "float" if bits is None else f"{bits} bits"
            shares = _FLOATS if bits is None else (*_FLOATS, 1.0)
            for count in sorted({max(1, round(share * layers)) for share in shares}):
                text = f"{count} layer{'s' if count > 1 else ''} in {what}"

                def make(model: nn.Module, n: int = count, bits: int | None = bits) -> nn.Module:
                    return self._mixed(model, n, order, bits)

                yield Rung(text, make, 2 + (1 if is_ordered else 3) * layers, True)
                is_ordered = True

    def _spared(self, model: nn.Module) -> nn.Module:
        """What 8 bits of a fixed range are too little for in floats, or with ranges of rows."""
        ready, rows = calibrated(model, self.batches)
        runner = prepared_of(ready)
        found = None if runner is None else spared_mapping(ready, runner, rows)
        if found is None:
            return model
        made = model.copy()
        made.__dict__["qconfig_mapping"] = found
        return made

    def _are_few_bits(self) -> bool:
        """Whether layers are to be quantized to fewer bits than there are."""
        mapping = self.model.__dict__["qconfig_mapping"]
        settings = Settings(self.model, mapping, mapping)
        for node in self._nodes:
            qconfig = settings.of(node, self.model)
            for made in () if qconfig is None else (qconfig.weight(), qconfig.activation()):
                low, high = getattr(made, "quant_min", None), getattr(made, "quant_max", None)
                if low is not None and high is not None and high - low < 127:
                    return True
        return False

    def _mixed(self, model: nn.Module, count: int, order: list[str], bits: int | None) -> nn.Module:
        """The layers that cost most by themselves in floats, or in more bits, as they are found once."""
        from quantray.analysis import sensitivity
        from quantray.quantization import remedies

        if not order:
            names = {node.name for node in self._nodes}
            mapping = model.__dict__.get("qconfig_mapping")
            found = sensitivity(model, self.batches, qconfig_mapping=mapping)
            order += [row.name for row in found if row.name in names]
        if len(order) < count:
            return model
        made = remedies.keep_in_float(model, self.batches, nodes=order[:count], bits=bits)
        return made if self._last is None else self._last[1].make(made)

    def _result(self, best: Found, exact: float, foretold: float, seconds: float, stopped: str) -> nn.Module:
        is_within = self._is_within(exact, best)
        at = max(
            (i for i, step in enumerate(self.steps) if step.metric == best.metric),
            key=lambda i: self.steps[i].output == best.output,
        )
        self.steps[at] = replace(self.steps[at], is_chosen=True)
        plan = Plan(
            self.steps,
            float_metric=exact,
            max_drop=self.max_drop,
            is_within=is_within,
            model=best.model,
            foretold=foretold,
            seconds=seconds,
            stopped=stopped,
        )
        if self.max_drop is not None and not is_within:
            warnings.warn(
                f"max_drop={self.max_drop} cannot be kept: the best model loses "
                f"{exact - best.metric:.4g} on data_held_out ({plan.stopped}); see plan",
                stacklevel=4,
            )
        best.int8.__dict__["plan"] = plan
        return best.int8


def _floats(a: object, b: object) -> list[tuple[Array, Array]]:
    """Arrays of floats that two models return, in pairs."""
    from quantray.graph._graph import leaves

    pairs = zip(leaves(a), leaves(b), strict=False)
    return [(y, np.asarray(z)) for y, z in pairs if is_floats(y)]


def _time(model: nn.Module, batch: object) -> float:
    """Milliseconds of a call: the least of a few, for a fifth of a second at most."""
    args = as_arguments(batch)
    found: list[float] = []
    while len(found) < 7 and sum(found) < 0.2:
        begin = time.perf_counter()
        model(*args)
        found.append(time.perf_counter() - begin)
    return 1000 * min(found)
