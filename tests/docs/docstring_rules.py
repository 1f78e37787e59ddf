"""What a docstring of `src/orl` has to say, read from the source by `ast`; `test_docstrings` counts who does not.

Public is what has no underscore before its name and stands at a module's top level or in a public class there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "orl"
ARRAY = re.compile(
    r"\b(Array|NDArray|ArrayLike|ndarray|Bools|Doubles|Floats|Indices|Rows)\b"
)  # with the aliases of src/orl
KEYS = re.compile(r"(^|_)keys?$")  # PRNG keys are arrays without a shape worth stating
DIM = r"(\.\.\.|\d+ ?\* ?\w+|[A-Za-z][\w+*/-]*( [+*-] \w+)*|\([^()]*\)[^],]*)"  # not a number: [-1, 1] is an interval
SHAPE = re.compile(rf"\[({DIM}(, ?({DIM}|\d+))*|\d+(, ?{DIM})*)\]|\b(scalars?|any shape|elementwise|leaf by leaf)\b")
SOURCES = re.compile(
    r"arXiv:\d{4}\.\d{4,5}|\b(19|20)\d\d\b|\b(of ours|are ours|is ours)\b|Gymnasium|OfflineRL-Kit|mbrl-lib|\bACME\b"
)
TERM = re.compile(r"(_loss|_target|_nll|_gap|inconsistency|logsumexp|penalise|halt|_decay|_clamp)$")
FORMULA = re.compile(
    r"\w+(\([^)]*\))? = [^=\n]*[-+*/^(][^\n]*|\bmean\(|\bsum_|\|\||\bexp\(|max_\{|\bE_\{|\bstd_i|sqrt\(|\bg\^"
)
HOOKS = {"setup"}  # flax calls it; it has no caller here


class Item(NamedTuple):
    """A public module, class or function; `around` are the docstrings of what it stands in, the nearest first."""

    path: Path
    name: str
    node: ast.AST
    docstring: str
    around: tuple[str, ...]

    @property
    def label(self) -> str:
        """File, line and name."""
        return f"{self.path.relative_to(ROOT)}:{getattr(self.node, 'lineno', 1)} {self.name}"


def public_items() -> list[Item]:
    """Every public module, class, function and method of `src/orl`."""
    return [item for path in sorted(SOURCE.rglob("*.py")) for item in items_of(path)]


def items_of(path: Path) -> Iterator[Item]:
    """The public items of a file; a file without a statement has none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body:
        return
    said = ast.get_docstring(tree) or ""
    yield Item(path, path.stem, tree, said, ())
    yield from _inside(path, tree, (said,), "")


def _inside(path: Path, parent: ast.AST, around: tuple[str, ...], prefix: str) -> Iterator[Item]:
    for node in getattr(parent, "body", []):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_") or node.name in HOOKS:
            continue
        said = ast.get_docstring(node) or ""
        yield Item(path, prefix + node.name, node, said, around)
        if isinstance(node, ast.ClassDef):
            yield from _inside(path, node, (said, *around), f"{node.name}.")


def handles_arrays(node: ast.AST) -> bool:
    """Whether a function takes or returns arrays that are no keys, or a class has fields that are arrays."""
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        hints = [arg.annotation for arg in arguments if arg.annotation and not KEYS.search(arg.arg)] + [node.returns]
    elif isinstance(node, ast.ClassDef):
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        hints = [each.annotation for each in fields if not KEYS.search(ast.unparse(each.target))]
    else:
        return False
    return any(hint is not None and ARRAY.search(_without_calls(ast.unparse(hint))) for hint in hints)


def _without_calls(hint: str) -> str:
    """An annotation without function types, whose shapes are their own docstrings' business."""
    while "Callable[" in hint:
        start = hint.index("Callable[")
        depth, end = 0, start
        for end in range(start, len(hint)):
            depth += {"[": 1, "]": -1}.get(hint[end], 0)
            if depth == 0 and hint[end] == "]":
                break
        hint = hint[:start] + hint[end + 1 :]
    return hint


def states_shapes(item: Item) -> bool:
    """Whether a shape is stated: by the item, its class, or a module that speaks of every function."""
    texts = [item.docstring, *item.around[:-1]]
    if item.around and "Every function" in item.around[-1]:
        texts.append(item.around[-1])
    return any(SHAPE.search(text) for text in texts)


def raised(node: ast.AST, tree: ast.Module) -> set[str]:
    """Names of the errors that a function raises itself, or by the private functions of its module that it calls."""
    private = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("_")}
    seen: set[str] = set()
    waiting, found = [node], set()
    while waiting:
        for each in _outside_of_try(waiting.pop()):
            if isinstance(each, ast.Raise) and isinstance(each.exc, ast.Call):
                found.add(ast.unparse(each.exc.func).rsplit(".", 1)[-1])
            elif isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
                called = each.func.id
                if called in private and called not in seen:
                    seen.add(called)
                    waiting.append(private[called])
    return {name for name in found if name.endswith("Error") or name in ("Interrupted",)}


def _outside_of_try(node: ast.AST) -> Iterator[ast.AST]:
    """A function's nodes, without functions inside it and without what an `except` of its own may catch."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.Try) and child.handlers:
            for part in [*child.handlers, *child.orelse, *child.finalbody]:
                yield from _outside_of_try(part)
            continue
        yield child
        yield from _outside_of_try(child)


def is_equation(item: Item) -> bool:
    """Whether a function computes a formula: its name is that of a term, or its docstring states one on arrays."""
    if not isinstance(item.node, ast.FunctionDef):
        return False
    return bool(TERM.search(item.name)) or (handles_arrays(item.node) and bool(FORMULA.search(item.docstring)))


def names_a_source(item: Item) -> bool:
    """Whether the function, its class or its module names a paper, a book, an implementation, or says it is ours."""
    return any(SOURCES.search(text) for text in (item.docstring, *item.around))


def unnamed_errors(item: Item, tree: ast.Module) -> set[str]:
    """Errors that a function raises and neither it nor a module that speaks of every function names."""
    told = [item.docstring, *(text for text in item.around if "Every function" in text)]
    return {name for name in raised(item.node, tree) if not any(name in text for text in told)}
