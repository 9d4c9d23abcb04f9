"""maturin as the build backend, after a look at the Rust that is to build the core.

Without this, a machine whose Rust is missing or too old says so in a page of text, or fetches a compiler
unasked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import maturin
from maturin import (
    build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

# maturin warns of a backend by another name, for those who forgot to set one.
os.environ.setdefault("MATURIN_NO_MISSING_BUILD_BACKEND_WARNING", "1")
# What is missing is said, and not fetched.
os.environ.setdefault("MATURIN_NO_INSTALL_RUST", "1")

ROOT = Path(__file__).resolve().parent.parent


def wanted() -> str:
    """The oldest Rust that builds quantray."""
    with (ROOT / "Cargo.toml").open("rb") as file:
        return tomllib.load(file)["workspace"]["package"]["rust-version"]


def found() -> str | None:
    """The version of the Rust that would be used, or None where there is none."""
    # Cargo chooses its compiler so.
    compiler = os.environ.get("RUSTC", "rustc")
    if shutil.which(os.environ.get("CARGO", "cargo")) is None or shutil.which(compiler) is None:
        return None
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, cwd=ROOT, check=False)
    version = re.match(r"rustc (\d+\.\d+)", done.stdout)
    return version[1] if version else None


def check_rust() -> None:
    """Ends the build with one line where the Rust of this machine cannot do it.

    Raises
    ------
    SystemExit
        No Rust, or one that is too old; the line says what to install.
    """
    least, version = wanted(), found()
    if version is not None and tuple(map(int, version.split("."))) >= tuple(map(int, least.split("."))):
        return
    if version is None:
        text = f"building quantray needs Rust {least} or later, and found none: get it by rustup (rustup.rs)"
    else:
        text = f"building quantray needs Rust {least} or later, got {version}: run `rustup update stable`"
    sys.exit(text)


def say(text: str) -> None:
    """A line for whoever waits: on the terminal, since pip keeps what a build prints for itself."""
    try:
        # Below pip's own line, which has no end yet.
        with open("CONOUT$" if os.name == "nt" else "/dev/tty", "w") as terminal:
            terminal.write(f"\n{text}\n")
    except OSError:
        print(text, file=sys.stderr, flush=True)


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """maturin's, after a line that says what takes so long."""
    say("quantray: compiling its Rust part for this machine, which takes some minutes ...")
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """maturin's, after a line that says what takes so long."""
    say("quantray: compiling its Rust part for this machine, which takes some minutes ...")
    return maturin.build_editable(wheel_directory, config_settings, metadata_directory)


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What maturin asks for, once the Rust that it will call is known to do."""
    check_rust()
    return maturin.get_requires_for_build_wheel(config_settings)


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What maturin asks for, once the Rust that it will call is known to do."""
    check_rust()
    return maturin.get_requires_for_build_editable(config_settings)


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What maturin asks for, once the Rust that it will call is known to do."""
    check_rust()
    return maturin.get_requires_for_build_sdist(config_settings)
