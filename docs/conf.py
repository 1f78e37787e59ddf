"""The site: `make docs` builds it without a network, and fails on any warning."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src"), str(HERE.parent / "cli")]

from orl_site.reference import write_reference  # noqa: E402

write_reference(HERE.parent / "src" / "orl", HERE / "reference")

project = "orl"
author = "the orl authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "orl_site.extension"]
exclude_patterns = ["_build", "_ext", "examples"]
source_suffix = {".md": "markdown"}
root_doc = "index"

# annotations name types by their last word, and a few modules have a type of the same name
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
add_module_names = False

html_theme = "furo"
html_title = "orl"
html_static_path = ["_static"]
html_css_files = ["orl.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
