"""The page of differences from torch says what its tables say."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_the_page_is_what_the_tables_say():
    spec = importlib.util.spec_from_file_location("differences", ROOT / "scripts" / "differences.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text() == script.page(), "run python scripts/differences.py"
    assert all(row in script.page() for row in ("`prepare_fx`", "`q += 1`", "Infinities"))
    assert len(script.grids()) >= 8
