"""Everything public in `src/orl` says what it is, its shapes, its errors, and where its equations are from."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from docstring_rules import (
    Item,
    handles_arrays,
    is_equation,
    items_of,
    names_a_source,
    public_items,
    states_shapes,
    unnamed_errors,
)

ITEMS = public_items()


def test_everything_public_has_a_docstring() -> None:
    assert len(ITEMS) > 1300
    assert [item.label for item in ITEMS if not item.docstring] == []


def test_whatever_takes_or_returns_arrays_states_their_shapes() -> None:
    with_arrays = [item for item in ITEMS if handles_arrays(item.node)]
    assert len(with_arrays) > 390
    assert [item.label for item in with_arrays if not states_shapes(item)] == []


def test_whatever_raises_names_its_errors() -> None:
    functions = [item for item in ITEMS if isinstance(item.node, ast.FunctionDef)]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in {item.path for item in functions}}
    unnamed = {item.label: unnamed_errors(item, trees[item.path]) for item in functions}
    assert {label: errors for label, errors in unnamed.items() if errors} == {}


def test_equations_name_their_source() -> None:
    equations = [item for item in ITEMS if is_equation(item)]
    assert len(equations) > 45
    assert [item.label for item in equations if not names_a_source(item)] == []


MODULE = '''"""A module."""

def bare(x: Array) -> Array:
    return x

def shaped(x: Array) -> Array:
    """[B] of x [B, O]."""

def interval(x: Array) -> Array:
    """x inside [-1, 1]."""

def keyed(key: Array) -> int:
    """A number."""

def called(step: Callable[[Array], Array]) -> int:
    """A number."""

def some_loss(x: Array) -> Array:
    """mean(x^2) of x [B]."""

def cited_loss(x: Array) -> Array:
    """mean(x^2) of x [B] (arXiv:2005.13239)."""

def fails(x: int) -> int:
    """A number."""
    _check(x)
    return x

def says(x: int) -> int:
    """A number; UsageError where it is negative."""
    _check(x)
    return x

def handles(x: int) -> int:
    """A number."""
    try:
        _check(x)
    except UsageError:
        return 0
    return x

def _check(x):
    if x < 0:
        raise UsageError("no")

class Pair(NamedTuple):
    """Two [B] each."""
    a: Array
    b: Array
    def first(self) -> Array:
        """The first."""
'''


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Item]:
    """An item of the made-up module by its name."""
    path = tmp_path / "made.py"
    path.write_text(MODULE)
    items = {item.name: item for item in items_of(path)}
    return items.__getitem__


def test_the_rules_see_what_they_are_for(found: Callable[[str], Item]) -> None:
    tree = ast.parse(MODULE)
    assert not found("bare").docstring
    assert [handles_arrays(found(name).node) for name in ("bare", "keyed", "called", "Pair")] == [
        True,
        False,
        False,
        True,
    ]
    assert [states_shapes(found(name)) for name in ("shaped", "interval", "Pair", "Pair.first")] == [
        True,
        False,
        True,
        True,
    ]
    assert [is_equation(found(name)) for name in ("some_loss", "shaped", "fails")] == [True, False, False]
    assert [names_a_source(found(name)) for name in ("some_loss", "cited_loss")] == [False, True]
    wrong = [unnamed_errors(found(name), tree) for name in ("fails", "says", "handles")]
    assert wrong == [{"UsageError"}, set(), set()]
