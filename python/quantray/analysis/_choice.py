"""Which remedy a node is offered: one that can act on this model, and that gains when it is measured."""

from __future__ import annotations

import math
from functools import cached_property

from quantray.analysis._causes import Cause
from quantray.analysis._gains import gain_of
from quantray.analysis._walk import Walk, Watched
from quantray.quantization.remedies._links import links_of
from quantray.quantization.remedies._rewriting import Rewriting

#: What scales the channels of a wire, which layers on both of its ends must bear.
_OF_WIRES = ("equalize", "smooth")
#: What is tried where a cause says no remedy, or one that cannot act or gains less than so many dB.
_OTHERS, _WORTH = ("smooth", "MSEObserver"), 0.5
#: Below so many dB a node that nothing else helps is worth being left in floats.
_BAD = 30.0


class Choice:
    """The remedies of one comparison.

    Parameters
    ----------
    walk : Walk
        It has gone over all batches.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._is_static = not walk.is_in_calls

    def of(
        self, name: str, watched: Watched, source: Watched | None, cause: Cause
    ) -> tuple[str, float | None]:
        """A remedy and how many dB of the node's own SQNR it gave; none for what has no cause."""
        if not cause.words:
            return "", None
        said = self._possible(cause, cause.remedy, name, watched)
        gain = self._gain(said, name, watched, source)
        # What is to be changed elsewhere, or is no measured thing, is said as it is.
        if said and (gain is None or gain >= _WORTH):
            return said, gain
        tried = {said: gain} if said and gain is not None else {}
        for other in _OTHERS if watched.weighted is not None else ():
            remedy = self._possible(cause, other, name, watched)
            found = self._gain(remedy, name, watched, source)
            if found is not None:
                tried[remedy] = found
        best = max(tried, key=lambda each: tried[each], default="")
        if best and tried[best] >= _WORTH:
            return best, tried[best]
        if self._is_static and watched.weighted is not None and watched.own.sqnr < _BAD:
            return "keep_in_float", math.inf
        return "", None

    def _gain(self, remedy: str, name: str, watched: Watched, source: Watched | None) -> float | None:
        ends = self._ends(name) if remedy in _OF_WIRES else (True, False)
        return gain_of(watched, source, remedy, ends)

    def _possible(self, cause: Cause, remedy: str, name: str, watched: Watched) -> str:
        """The remedy, or the one that does the same here; empty where it has nothing to act on."""
        weighted = watched.weighted
        if weighted is not None and weighted.group_size and remedy == "gptq":
            return "weight_only"
        if remedy == "MSEObserver" and not self._is_static:
            return ""
        if remedy not in _OF_WIRES or weighted is None or self._ends(name)[cause.is_of_output]:
            return remedy
        return "refine" if weighted.kind == "linear" and not self._is_static else ""

    def _ends(self, name: str) -> tuple[bool, bool]:
        """Whether what a layer takes can be scaled, and whether what it gives can."""
        base = name.partition("#")[0]
        takers, makers = self._scalable
        return base in takers, base in makers

    @cached_property
    def _scalable(self) -> tuple[frozenset[str], frozenset[str]]:
        """The layers that take a wire whose channels can be scaled, and what makes one."""
        links = links_of(Rewriting(self._walk.side.model, [self._walk.first]))
        takers = frozenset(taker.name for link in links for taker in link.takers)
        return takers, frozenset(link.maker for link in links)
