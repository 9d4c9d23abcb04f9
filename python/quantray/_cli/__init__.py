"""The command line: `quantray quantize`, `inspect`, `compare`, `run`; also `python -m quantray`.

It ends with 0 where all went well, with 1 where a file cannot be read or computed, and with 2 where the
command was not understood.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from quantray._cli import _compare, _inspect, _quantize, _run
from quantray._cli._errors import Usage
from quantray._cli._result import as_json

_COMMANDS = {"quantize": _quantize, "inspect": _inspect, "compare": _compare, "run": _run}


def main(argv: Sequence[str] | None = None) -> int:
    """Does what was typed; the exit code."""
    from quantray import __version__

    parser = argparse.ArgumentParser("quantray", description="Quantized models: ONNX files in and out.")
    parser.add_argument("--version", action="version", version=f"quantray {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        own = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.arguments(own)
        own.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
        own.add_argument("--quiet", action="store_true", help="print nothing but errors")
    given = parser.parse_args(argv)
    try:
        result = _COMMANDS[given.command].run(given)
        if given.json:
            print(json.dumps(as_json(result.shown), allow_nan=False))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough (`| head`). What Python still has to write at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Usage as error:
        print(f"quantray {given.command}: {error}", file=sys.stderr)
        return 2
    except (OSError, ValueError, TypeError, MemoryError, RuntimeError) as error:
        print(f"quantray {given.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return result.code
