"""The Sphinx extension: a directive for settings, docstrings, equations as MathML, pictures inside the page."""

from __future__ import annotations

import contextlib
import inspect
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from pygments.lexers import BashLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from orl_site.docstrings import to_rst
from orl_site.settings import markdown_table


class Settings(SphinxDirective):
    """The table of a kind's settings: of an algorithm, a planner, a model or the training."""

    required_arguments = 2  # kind, name
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """The table's nodes."""
        kind, name = self.arguments
        cls, prefix = settings_class(kind, name)
        self.env.note_dependency(inspect.getfile(cls))
        parent = nodes.container(classes=["settings"])
        self.state.nested_parse(StringList(markdown_table(cls, prefix), source="settings"), 0, parent)
        return [parent]


def settings_class(kind: str, name: str) -> tuple[type[Any], str]:
    """The dataclass behind a table, and what stands before its settings' names."""
    from orl.algorithms import ALGORITHMS
    from orl.dynamics.config import EnsembleConfig
    from orl.planning import PLANNERS
    from orl.runs.config import TrainConfig
    from orl.sequence.config import TransformerConfig

    if kind == "algorithm":
        return ALGORITHMS[name].config, "agent."
    if kind == "planner":
        return PLANNERS[name].config, "plan."
    models: dict[str, type[Any]] = {"ensemble": EnsembleConfig, "transformer": TransformerConfig}
    return (models[name], "model.") if kind == "model" else (TrainConfig, "train.")


def house_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite what autodoc found in place."""
    text = "\n".join(lines)
    names = set(getattr(obj, "__dataclass_fields__", ())) | set(getattr(obj, "_fields", ()))
    if callable(obj) and not isinstance(obj, type):
        with contextlib.suppress(ValueError, TypeError):  # a type alias can be called, and has no signature
            names = set(inspect.signature(obj).parameters)
    known = {name for name in names if name != "self"} or None
    lines[:] = to_rst(text, known and known | {word.strip(":") for word in text.split() if word.endswith("Error:")})


def skip_tuple_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields of named tuples stand in their class's docstring; Python's own text on them says nothing."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def visit_math(translator: Any, node: nodes.math) -> None:
    """An equation inside a line."""
    from latex2mathml.converter import convert

    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_math_block(translator: Any, node: nodes.math_block) -> None:
    """An equation of its own; it scrolls sideways where the screen is narrow."""
    from latex2mathml.converter import convert

    translator.body.append(f'<div class="equation" tabindex="0">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def inline_pictures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """SVG files become part of the page, where their colours follow its theme."""
    for image in list(doctree.findall(nodes.image)):
        if image["uri"].endswith(".svg"):
            text = (Path(app.srcdir) / image["uri"]).read_text(encoding="utf-8")
            figure = f'<div class="picture" tabindex="0">{text[text.index("<svg") :]}</div>'
            image.replace_self(nodes.raw("", figure, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("settings", Settings)
    app.add_lexer("console", BashLexer)  # commands without a prompt, which Pygments' own would take for output
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("autodoc-process-docstring", house_docstring)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("doctree-resolved", inline_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
