"""A model with dynamically quantized layers: it runs by graphs, each of which is one program.

Sums of floats may be added up in another order there: layers take the range of what they are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray import nn
from quantray._typing import Args, Kwargs, Tensor
from quantray.graph import Graph, Node, Ref
from quantray.graph._fitting import fitting
from quantray.graph._trees import map_tree
from quantray.quantization._converted import why_none_fits
from quantray.quantization._floating import FloatProgram
from quantray.quantization.observer._zeros import warn_of_zero_inputs

if TYPE_CHECKING:
    from quantray.graph._files import Writer


class Dynamic(FloatProgram):
    """Runs a model from `quantize_dynamic`; what it is called with shows which graphs there are."""

    def __init__(self, prefix: str = "", graphs: list[Graph] | None = None) -> None:
        super().__init__(prefix)
        #: Whether the model was read from a file without its class: there are no other graphs then.
        self.is_fixed = graphs is not None
        self.graphs += graphs or []

    def capture(self, module: nn.Module, args: Args, kwargs: Kwargs, *, whole: bool = False) -> Graph:
        if self.is_fixed:
            raise ValueError(
                why_none_fits(
                    self.graphs,
                    args,
                    kwargs,
                    "call the model with such inputs before it is saved, or load it into its class",
                )
            )
        graph = super().capture(module, args, kwargs, whole=whole)
        if not module.training:
            self._look(module, graph, args, kwargs)
        return graph

    def _look(self, module: nn.Module, graph: Graph, args: Args, kwargs: Kwargs) -> None:
        """Warns of layers whose inputs are so small that all become 0: by a few rows, and once."""
        if any(node.kind in ("python", "tap", "hook") for node in graph):
            # Code of the user's, which is not to be called twice.
            return

        def compute(module: nn.Module, node: Node, args: Args, kwargs: Kwargs) -> object:
            if node.kind == "module" and args:
                layer = module.get_submodule(node.value)
                if type(layer).__module__.startswith("quantray.nn.quantized.dynamic."):
                    path = ".".join(part for part in (self.prefix, node.value) if part)
                    warn_of_zero_inputs(args[0], path or "model", stacklevel=12)
            return self.compute(module, node, args, kwargs)

        inputs = _few_rows(graph, args, kwargs, module)
        if inputs is not None:
            self.run_by(compute, module, graph, inputs)

    def for_file(self, module: nn.Module, writer: Writer) -> dict[str, object]:
        """The graphs of evaluation, as JSON."""
        from quantray.quantization._files import described

        graphs = [graph for graph in self.graphs if not graph.training]
        return described("dynamic", [] if self._mark.changed else graphs, self.prefix, writer)

    def forget(self, module: nn.Module) -> None:
        if self.is_fixed:
            self._mark.changed = self._mark.touched = False
            self.renew()
        else:
            super().forget(module)


def _few_rows(graph: Graph, args: Args, kwargs: Kwargs, module: nn.Module) -> dict[str, Tensor] | None:
    """A graph's inputs, with two rows of each; all rows where the graph is for no fewer.

    Rows are what the graph's first free length counts, along whichever axes have it: the first axis of a
    recurrent layer's state counts layers.
    """
    inputs = fitting(graph, args, kwargs, False, module)
    if inputs is None:
        return None
    lengths = {name: graph.nodes[name].facts[0].shape for name in inputs}
    rows = next((n for shape in lengths.values() for n in shape[:1] if isinstance(n, str)), None)
    few = dict(inputs)
    for name, shape in lengths.items():
        for axis, length in enumerate(shape):
            if length == rows:
                few[name] = few[name][(slice(None),) * axis + (slice(2),)]

    def taken(leaf: object) -> object:
        return few[leaf.node] if isinstance(leaf, Ref) else leaf

    args_of_few, kwargs_of_few = map_tree(taken, (graph.args, dict(graph.kwargs)))
    cut_inputs = fitting(graph, args_of_few, kwargs_of_few, False, module)
    return inputs if cut_inputs is None else cut_inputs
