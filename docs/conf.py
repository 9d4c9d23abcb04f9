"""The site: `sphinx-build -W docs target/site`, with `pip install '.[docs]'`.

Pages are Markdown; the reference is written from docstrings, the gallery by its own programs, and the
notebooks are shown as they are committed, which the tests compare with a run.
"""

import shutil
import sys
from pathlib import Path

import quantray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "quantray"
author = "the quantray authors"
copyright = f"2026, {author}"
version = release = quantray.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "docstrings",
    "reference",
    "gallery",
    "formulas",
]
html_math_renderer = "mathml"
exclude_patterns = ["gallery/*.py", "_ext"]
# A name between single backticks is a function or a class, where there is one of that name.
default_role = "py:obj"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

# Sphinx reads what lies below its own folder.
notebooks = HERE / "notebooks"
notebooks.mkdir(exist_ok=True)
for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
    shutil.copyfile(notebook, notebooks / notebook.name)
nb_execution_mode = "off"
# No widgets: nothing is fetched from elsewhere.
nb_ipywidgets_js = {}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "quantray"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    # The light and the dark style of code have enough contrast for small print.
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# Pages without others below them have no list of these.
_ALONE = ("index", "start", "from-*", "rounding", "benchmarks", "architecture", "contributing", "changelog")
html_sidebars = {page: [] for page in _ALONE}
html_context = {"default_mode": "auto"}


def _without_last_line(app, name, source):
    """A doctest ends with an empty line before the fence, which is nothing to show."""
    source[0] = source[0].replace("\n\n```\n", "\n```\n")


def setup(app):
    """What is too small for an extension."""
    app.connect("source-read", _without_last_line)
