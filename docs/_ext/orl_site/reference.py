"""Writes one page a package of the API reference; what stands on them are the docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

LAYERS = (
    "",
    "networks",
    "data",
    "dynamics",
    "sequence",
    "mdp",
    "agents",
    "algorithms",
    "planning",
    "evaluation",
    "runs",
)


def write_reference(source: Path, target: Path) -> None:
    """Write a page for every package below `source` (the folder of `orl`), and their index."""
    target.mkdir(exist_ok=True)
    packages = sorted({path.parent for path in source.rglob("*.py")}, key=lambda path: _rank(path.relative_to(source)))
    names = []
    for package in packages:
        modules = [path for path in sorted(package.glob("*.py")) if path.stem == "__init__" or has_docstring(path)]
        name = ".".join(("orl", *package.relative_to(source).parts))
        names.append(name)
        _write(target / f"{name}.md", page(name, [path.stem for path in modules if path.stem != "__init__"]))
    toctree = ["```{toctree}", ":maxdepth: 1", "", *names, "```"]
    intro = "Every public function, class and method, by package, from the lowest layer up."
    shortcuts = ["```{eval-rst}", ".. automodule:: orl", "```"]
    _write(target / "index.md", ["# API reference", "", intro, "", *shortcuts, "", *toctree])


def page(package: str, modules: list[str]) -> list[str]:
    """The lines of a package's page."""
    lines = [f"# {package}", ""]
    for module in modules:
        name = f"{package}.{module}"
        lines += [f"## {module}", "", "```{eval-rst}", f".. automodule:: {name}", "   :members:", "```", ""]
    return lines


def has_docstring(path: Path) -> bool:
    """Whether a module says what it is for."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is not None


def _rank(package: Path) -> tuple[int, str]:
    first = package.parts[0] if package.parts else ""
    return LAYERS.index(first) if first in LAYERS else len(LAYERS), str(package)


def _write(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:  # an unchanged page is not built again
        path.write_text(text, encoding="utf-8")
