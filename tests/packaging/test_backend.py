"""The build backend: a Rust that is missing or too old is one line, before anything is built."""

import importlib.util
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "scripts" / "build_backend.py"
HOOK = "import build_backend; print(build_backend.get_requires_for_build_wheel())"


def compiler(folder, version):
    """A folder with a Rust of a version, as far as its own word goes."""
    for name in ("cargo", "rustc"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} {version} (0123abcd 2024-01-01)'\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def ask(path):
    """Calls the hook as pip does: in a process of its own, from the folder of the sources."""
    environment = {k: v for k, v in os.environ.items() if k not in ("RUSTC", "CARGO")}
    environment |= {"PATH": str(path), "PYTHONPATH": str(BACKEND.parent)}
    return subprocess.run(
        [sys.executable, "-c", HOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


pytestmark = pytest.mark.skipif(os.name == "nt", reason="stands in for the compiler by shell scripts")


def test_a_new_rust_passes(tmp_path):
    done = ask(compiler(tmp_path, "1.999.0"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_no_rust_says_what_to_install(tmp_path):
    done = ask(tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("building quantray needs Rust 1.")
    assert "found none: get it by rustup" in line


@pytest.mark.parametrize("version", ["1.80.1", "1.9.0"])
def test_an_old_rust_says_what_to_do(tmp_path, version):
    done = ask(compiler(tmp_path, version))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"got {version.rpartition('.')[0]}" in line
    assert "rustup update" in line


def test_the_hooks_of_a_build_are_all_there():
    spec = importlib.util.spec_from_file_location("build_backend", BACKEND)
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    assert all(callable(getattr(backend, name)) for name in backend.__all__)
    assert {"build_wheel", "build_editable", "build_sdist"} <= set(backend.__all__)


def test_who_waits_is_told_what_for(tmp_path):
    maturin = tmp_path / "maturin.py"
    names = ("editable", "sdist", "wheel")
    maturin.write_text(
        "prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel = None\n"
        + "\n".join(f"def build_{name}(*args): return 'built'" for name in names)
    )
    hook = "import build_backend; print(build_backend.build_wheel('.'))"
    path = os.pathsep.join([str(tmp_path), str(BACKEND.parent)])
    done = subprocess.run(
        [sys.executable, "-c", hook],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        # Without a terminal of its own, it goes to what pip shows of a build that fails.
        start_new_session=True,
    )
    assert done.stdout == "built\n"
    assert "compiling its Rust part" in done.stderr
