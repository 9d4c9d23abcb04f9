"""One version, wherever it is written."""

import re
import tomllib
from pathlib import Path

import pytest
import quantray as qt

ROOT = Path(__file__).resolve().parents[2]


def version():
    with (ROOT / "Cargo.toml").open("rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


def test_the_package_has_the_version_of_its_sources():
    assert qt.__version__ == version()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("conda/recipe.yaml", r'^  version: "([^"$]+)"$'),
        # The newest one that is described, which may not be released yet.
        ("CHANGELOG.md", r"^## \[(\d[^\]]*)\]"),
    ],
)
def test_other_files_say_the_same(name, pattern):
    found = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
    assert found is not None
    assert found[1] == version()


@pytest.mark.parametrize("name", ["Cargo.lock", "fuzz/Cargo.lock"])
def test_locked_crates_have_it(name):
    with (ROOT / name).open("rb") as file:
        packages = tomllib.load(file)["package"]
    ours = {p["name"]: p["version"] for p in packages if p["name"] in ("quantray", "quantray-core")}
    assert "quantray-core" in ours
    assert set(ours.values()) == {version()}
