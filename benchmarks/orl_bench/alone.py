"""Matrix products by themselves, for within a program several may run at once and a profile cannot tell them apart."""

from __future__ import annotations

import functools
import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from orl_bench.harness import seconds_of
from orl_bench.hlo import Product
from orl_bench.yardsticks import Yardstick

REPEATS = 3
OPERATIONS = 2e9  # of one timed program, which repeats the product: dispatching and copying in must not count
LEAST, MOST = 8, 200  # repetitions in it
_FAMILIES = {"f": "float", "bf": "bfloat", "s": "int", "u": "uint"}


def shares_alone(products: Iterable[Product], yardstick: Yardstick) -> dict[Product, float]:
    """The part of the yardstick's rate that each product reaches by itself, against readings before and after it."""
    shares, before = {}, yardstick()
    for product in dict.fromkeys(products):
        rate = gflops_alone(product)
        after = yardstick()
        shares[product], before = rate / ((before + after) / 2), after
    return shares


def gflops_alone(product: Product) -> float:
    """GFLOP/s of a product repeated in a program of its own: the median of several runs."""
    times = int(min(max(OPERATIONS / product.flop, LEAST), MOST))
    program = repeated(product, times)
    keys, dtype = jax.random.split(jax.random.key(0)), _dtype(product.dtype)
    left, right = (
        jax.random.normal(*each).astype(dtype) for each in zip(keys, (product.left, product.right), strict=True)
    )
    seconds_of(lambda: program(left, right))  # compiles
    seconds = statistics.median(seconds_of(lambda: program(left, right)) for _ in range(REPEATS))
    return times * product.flop / 1e9 / seconds


def repeated(product: Product, times: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A program that multiplies `times` times, each time with one element that waits for the product before.

    So no product is left out, moved out of the loop or run beside another.
    """
    multiply = functools.partial(jax.lax.dot_general, dimension_numbers=(product.contracted, product.batch))

    def once(_: Any, left: jax.Array, right: jax.Array) -> jax.Array:
        result = multiply(left, right)
        waits = 0 * result[(0,) * result.ndim]
        return left.at[(0,) * left.ndim].add(waits.astype(left.dtype))

    return jax.jit(lambda left, right: jax.lax.fori_loop(0, times, functools.partial(once, right=right), left))


def _dtype(name: str) -> Any:
    """jax's name of an HLO type: bf16 is bfloat16."""
    family, bits = re.fullmatch(r"([a-z]+)(\d+)", name).groups()  # type: ignore[union-attr]
    return jnp.dtype(_FAMILIES[family] + bits)
