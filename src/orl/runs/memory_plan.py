"""How much memory a run will hold, line by line, against what there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import jax

from orl.errors import UsageError, is_out_of_memory
from orl.host_memory import size
from orl.runs import machine

Place = Literal["host", "device"]


@dataclass(frozen=True)
class Line:
    """Memory under one name.

    Attributes:
        bytes: of one seed where `per_seed`, else in all. place: where it lies; on CPU both are the same memory.
        lower: settings that make it smaller.
    """

    name: str
    bytes: int
    per_seed: bool = False
    place: Place = "device"
    lower: str = ""


@dataclass(frozen=True)
class Account:
    """One memory, what lies in it, and how large it is (None where nobody tells)."""

    name: str
    lines: tuple[Line, ...]
    needed: int
    available: int | None

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as is known."""
        return self.available is None or self.needed <= self.available


@dataclass(frozen=True)
class MemoryPlan:
    """The lines of a run of `seeds` seeds; `work` says what runs."""

    work: str
    lines: tuple[Line, ...]
    seeds: int = 1

    def total(self, line: Line) -> int:
        """Bytes of a line over all seeds."""
        return line.bytes * (self.seeds if line.per_seed else 1)

    def accounts(self) -> list[Account]:
        """The memory of the device and of the host, which on CPU is one and the same."""
        host = machine.host_memory()
        if jax.devices()[0].platform == "cpu":
            return [self._account("this machine", self.lines, host)]
        places: list[tuple[str, Place, int | None]] = [
            (jax.devices()[0].device_kind, "device", machine.device_memory()),
            ("this machine", "host", host),
        ]
        return [
            self._account(name, tuple(line for line in self.lines if line.place == place), there)
            for name, place, there in places
        ]

    def _account(self, name: str, lines: tuple[Line, ...], available: int | None) -> Account:
        return Account(name, lines, sum(map(self.total, lines)), available)

    def refuse_if_too_large(self) -> None:
        """UsageError where a memory cannot hold its lines: how much, what for, what there is, what to lower."""
        for account in self.accounts():
            if not account.fits and account.available is not None:
                raise UsageError(self._refusal(account, account.available))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Inside the block, running out of memory becomes a UsageError that says what was planned and what to lower."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:  # jax raises the latter
            if not is_out_of_memory(error):
                raise
            # of several memories, the fullest by the plan
            account = max(self.accounts(), key=lambda each: each.needed / each.available if each.available else 0.0)
            raise UsageError(f"out of memory: {self._refusal(account, account.available)}") from None

    def _refusal(self, account: Account, available: int | None) -> str:
        by_size = sorted(account.lines, key=self.total, reverse=True)
        largest = by_size[0]
        hints = list(dict.fromkeys(name for line in by_size for name in line.lower.split(", ") if name))
        if self.seeds > 1:
            hints.append("the number of seeds")
        return (
            f"{self.work} needs about {size(account.needed)}, {size(self.total(largest))} of it for {largest.name}; "
            f"{account.name} has {'an unknown amount' if available is None else size(available)}"
            + (f"; lower {', '.join(hints)}" if hints else "")
        )

    def document(self) -> dict[str, Any]:
        """The plan as plain values, for JSON."""
        return {
            "seeds": self.seeds,
            "lines": [
                {
                    "name": line.name,
                    "bytes": line.bytes,
                    "per_seed": line.per_seed,
                    "total": self.total(line),
                    "place": line.place,
                }
                for line in self.lines
            ],
            "memory": [
                {"name": each.name, "needed": each.needed, "available": each.available, "fits": each.fits}
                for each in self.accounts()
            ],
        }


def tree_bytes(tree: Any) -> int:
    """Bytes of the arrays in a tree, or of arrays of such shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def working_bytes(function: Callable[..., Any], *arguments: Any) -> int:
    """Bytes of temporary arrays that a program needs at least, from its trace; nothing runs, shapes are enough.

    What a loop collects stays while it runs, and a product of matrices has its factors and its result at once, which no
    fusion can avoid; the largest such sum is taken. Of 50,000 branches that seven networks see at once it is 588 MB,
    where the compiled program's own count (`memory_analysis`) is 607 MB and takes seconds to get.
    """
    return _largest(jax.make_jaxpr(function)(*arguments).jaxpr)


def _largest(jaxpr: Any) -> int:
    given = {id(var) for var in (*jaxpr.invars, *jaxpr.constvars)}
    found = 0
    for equation in jaxpr.eqns:
        inner = [_largest(each) for value in equation.params.values() for each in _jaxprs(value)]
        out = sum(_bytes(var) for var in equation.outvars)
        if inner:
            looped = equation.primitive.name in ("scan", "while")
            found = max(found, max(inner) + (_stacked(equation) if looped else 0))
        elif equation.primitive.name == "dot_general":
            found = max(found, out + sum(_bytes(var) for var in equation.invars if id(var) not in given))
        else:
            found = max(found, out)
    return found


def _stacked(equation: Any) -> int:
    """Bytes a scan collects over its steps; what it carries is already counted with the program's state."""
    body = equation.params.get("jaxpr")
    if body is None:  # `while` collects nothing
        return 0
    steps = zip(equation.outvars, getattr(body, "jaxpr", body).outvars, strict=True)
    return sum(_bytes(whole) for whole, one in steps if len(whole.aval.shape) > len(one.aval.shape))


def _jaxprs(value: Any) -> list[Any]:
    values = value if isinstance(value, tuple | list) else (value,)
    inner = [getattr(each, "jaxpr", each) for each in values]
    return [each for each in inner if hasattr(each, "eqns")]


def _bytes(var: Any) -> int:
    shape, dtype = getattr(var.aval, "shape", ()), getattr(var.aval, "dtype", None)
    return math.prod(shape) * (getattr(dtype, "itemsize", 0) or 0)
