"""The codes on every wire of a prepared and of a converted model, by the names of their nodes."""

import numpy as np
from quantray import QTensor
from quantray.graph import Ref
from quantray.graph._arguments import as_arrays
from quantray.graph._run import run
from quantray.quantization._integers import compute
from quantray.quantization._prepared import prepared_of


def prepared_codes(model, *args):
    """What flows on the quantized wires of a trained model in evaluation mode."""
    model(*args)
    runner = prepared_of(model)
    graph, inputs = runner.find(model, as_arrays(args), {})
    made = next(made for of, made in runner._integers if of is graph)
    return _codes(made.graph, inputs, model, lambda n, a, k: made.compute(model, n, a, k))


def converted_codes(model, *args):
    """What flows in a converted model, node by node."""
    runner = model._runner
    graph, inputs = runner.find(model, as_arrays(args), {})
    grids = runner.made(model, graph).grids
    return _codes(graph, inputs, model, lambda n, a, k: compute(model, n, a, k, grids))


def _codes(graph, inputs, model, compute):
    found = {}

    def each(node, environment):
        value = environment.values.get(Ref(node.name))
        if isinstance(value, QTensor):
            found[node.name] = np.asarray(value.int_repr()).copy()

    run(graph, inputs, model, compute=compute, each=each)
    return found


def steps_apart(prepared, converted, *args):
    """For each wire how many codes differ, of how many, and by how much at most."""
    trained, integers = prepared_codes(prepared, *args), converted_codes(converted, *args)
    assert trained.keys() == integers.keys()
    found = {}
    for name in trained:
        a, b = trained[name].astype(np.int64).ravel(), integers[name].astype(np.int64).ravel()
        found[name] = int((a != b).sum()), a.size, int(np.abs(a - b).max(initial=0))
    return found
