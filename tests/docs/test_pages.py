"""The site's pages: their examples run, and what the guides name is there."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WITH_EXAMPLES = [page for page in PAGES if ">>>" in page.read_text()]
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md")
# What a reader is told to make.
MADE = re.compile(r"halve|squareplus|cdist|target/site")


def test_pages_with_examples_were_found():
    names = {page.name for page in WITH_EXAMPLES}
    assert {"index.md", "start.md", "from-torch.md", "from-onnxruntime.md", "rounding.md"} <= names


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_examples_run(page):
    failed, attempted = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert attempted > 0
    assert failed == 0


def everything():
    """Files and folders of the tree, without what builds leave."""
    left_out = {".git", "target", ".venv", "node_modules", "__pycache__"}
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if not left_out & set(parts):
            found.append("/" + "/".join(parts) + ("/" if path.is_dir() else ""))
    return found


EVERYTHING = everything()


def named(text):
    """Paths between backticks, and the files and folders that the map lists."""
    for path in re.findall(r"`([\w./-]+?)`", text):
        if (
            re.search(r"\.(rs|py|pyi|md|sh|toml|cff|yaml)$", path)
            or path.endswith("/")
            or path.count("/") > 1
        ):
            yield path
    for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            for path in re.findall(r"^ *((?:[\w./]+(?:/|\.rs|\.pyi?))(?:, [\w./]+)*)  ", line):
                yield from path.split(", ")


@pytest.mark.parametrize("guide", GUIDES)
def test_what_guides_name_is_there(guide):
    paths = {path for path in named((ROOT / guide).read_text()) if not MADE.search(path)}
    assert len(paths) > 20
    missing = [p for p in paths if not any(f"/{p}" in there for there in EVERYTHING)]
    assert sorted(missing) == []


@pytest.mark.parametrize("guide", GUIDES)
def test_commands_of_guides_name_files_that_are_there(guide):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / guide).read_text(), re.DOTALL)
    paths = [p for block in blocks for p in re.findall(r"(?:tests|scripts|benches)/[\w/]+\.(?:py|sh)", block)]
    assert [p for p in paths if not MADE.search(p) and not (ROOT / p).exists()] == []


def test_the_gallery_says_what_each_picture_is():
    programs = sorted((ROOT / "docs" / "gallery").glob("*.py"))
    assert len(programs) >= 6
    for program in programs:
        title, blank, *text = program.read_text().split('"""')[1].splitlines()
        assert title, program.name
        assert not blank, program.name
        assert text, program.name
