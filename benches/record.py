"""Keeps what a benchmark prints, with its date and its machine, in `benches/records`.

    python benches/record.py tensor.py --quick

The file's name is the date, the program and the CPU. Its head has the command, the CPU, versions, the commit
and the machine's load; below are the program's rows as it printed them. Nothing is edited afterwards.
"""

import argparse
import datetime
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import quantray as qt
from measure import cpu_model, load

HERE = Path(__file__).resolve().parent
PEERS = ("numpy", "torch", "onnxruntime", "openvino")


def versions() -> str:
    """Of Python, quantray, NumPy and the peers that are installed."""
    found = [f"Python {sys.version.split()[0]}", f"quantray {qt.__version__}"]
    for name in PEERS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def commit() -> str:
    """What was checked out, and whether files differed from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=HERE)
        return done.stdout.strip()

    name = git("rev-parse", "--short=12", "HEAD")
    if not name:
        return "unknown: no git checkout"
    return f"{name}, with changes" if git("status", "--porcelain", "--untracked-files=no") else name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="a file of benches")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the program is told")
    options = parser.parse_args()
    program = HERE / options.program
    if not program.is_file():
        parser.error(f"program must be a file of benches, got {options.program}")
    today = datetime.date.today().isoformat()
    before = load()
    done = subprocess.run(
        [sys.executable, str(program), *options.arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode:
        sys.exit(f"{options.program} ended with {done.returncode}:\n{done.stderr}")
    info = qt.cpu_info()
    command = " ".join(["OPENBLAS_NUM_THREADS=1 python", f"benches/{options.program}", *options.arguments])
    head = [
        f"# {options.program}, {today}",
        "",
        f"- command: `{command}`",
        f"- CPU: {cpu_model()}, {os.cpu_count()} cores, {info['isa']} of {', '.join(info['available'])}",
        f"- versions: {versions()}",
        f"- commit: {commit()}",
        f"- load of the machine before and after: {before}, {load()}",
        "",
        "",
    ]
    cpu = re.sub(r"\W+", "-", f"{cpu_model()} {info['isa']}").strip("-").lower()
    path = HERE / "records" / f"{today}-{program.stem}-{cpu}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(head) + done.stdout)
    print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
