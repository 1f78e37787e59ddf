"""An independent count: the matrix products of a traced program, with what nobody reads removed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval


def products_of(function: Callable[..., Any], *arguments: Any) -> float:
    """Operations of all matrix products that the results of function(*arguments) need, two a multiply-add."""
    closed = jax.make_jaxpr(function)(*arguments)
    live, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(live)


ALL = 0.999999  # of what is needed, up to rounding: the least that a program must be seen to do


def _count(jaxpr: Any) -> float:
    return sum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation: Any) -> float:
    name, inner = equation.primitive.name, [_count(jaxpr) for jaxpr in _inner(equation.params)]
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        sizes = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(sizes[axis] for axis in contracted)
    if name == "scan":
        return equation.params["length"] * sum(inner)
    if name == "cond":
        return max(inner)
    assert name != "while" or not sum(inner), "products in a loop of unknown length"
    return sum(inner)


def _inner(parameters: dict[str, Any]) -> Iterator[Any]:
    for value in parameters.values():
        for each in value if isinstance(value, tuple | list) else [value]:
            if isinstance(each, core.ClosedJaxpr):
                yield each.jaxpr
            elif isinstance(each, core.Jaxpr):
                yield each
