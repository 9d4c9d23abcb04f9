"""What the benchmarks of operators share: the peers that can be imported, the arguments, the peak."""

import argparse
import warnings
from collections.abc import Callable

import quantray as qt
from measure import cpu_model, load

try:
    import onnx
    import onnxruntime
except ImportError:
    onnx = onnxruntime = None
try:
    import torch

    warnings.filterwarnings("ignore")
except ImportError:
    torch = None


def onnxruntime_session(nodes: list, inputs: list, outputs: list, constants: list, threads: int):
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime_options(threads)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def onnxruntime_options(threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return options


def begin(
    doc: str, more: Callable[[argparse.ArgumentParser], object] = lambda parser: None
) -> tuple[argparse.Namespace, float | None]:
    """Reads the arguments, `more` of them; says what is compared on what; also the peak, if known."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=1, help="of all that are compared (default 1)")
    parser.add_argument("--isa", help="quantray's instruction set, lower than the best")
    more(parser)
    args = parser.parse_args()
    if args.isa:
        qt.set_isa(args.isa)
    info = qt.cpu_info()
    print(f"CPU: {cpu_model()}; instruction set: {info['isa']} (of {', '.join(info['available'])})")
    names = {"onnxruntime": onnxruntime, "torch": torch}
    print(f"quantray {qt.__version__}, {', '.join(f'{n} {m.__version__}' for n, m in names.items() if m)}")
    print(f"{args.threads} thread(s); load before: {load()}")
    peak = qt.ops.peaks().get(info["isa"])
    if peak:
        print(f"peak of one core's registers: {peak:.0f} GOPS")
    return args, peak
