"""The operations of one call by kind and place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orl_bench.hlo import Product, Program

PRODUCTS, SORTS, RANDOM, REDUCTIONS, COPIES, ELEMENTWISE = KINDS = (
    "matrix products",
    "sorts",
    "random numbers",
    "reductions",
    "copies and slices",
    "elementwise",
)
PLACE = 3  # parts of a place's path that are kept
_RANDOM = re.compile(r"threefry|random_bits|\b_(?:uniform|normal|normal_real|randint|gumbel|bernoulli)\b")
_LOOKUPS = {"gather", "scatter"}
_SLICES = {"slice", "dynamic-slice", "dynamic-update-slice", "concatenate", "pad"}
_MOVES = _SLICES | {"copy", "transpose", "reverse", "broadcast"}
_FREE = {"fusion", "call", "parameter", "constant", "bitcast", "reshape", "tuple", "get-tuple-element", "iota"}
_FLOW = re.compile(r"while|body|cond|branch_\d+_fun|closed_call|checkpoint|")  # parts of a path that are no module
_WRAPPED = re.compile(r"\b(?:jit|jvp|transpose|vmap|rematted_computation)\(([^()]*)\)")


class Event(NamedTuple):
    """One execution of an instruction of a program, both by name."""

    program: str
    instruction: str
    seconds: float


class Operation(NamedTuple):
    """What ran at one place, of one kind and with the same products; seconds: of all its events."""

    kind: str
    place: str
    products: tuple[Product, ...]
    executions: int
    seconds: float


@dataclass(frozen=True)
class Line:
    """One place in a profile.

    Attributes:
        place: end of the path of module names. products: their sizes, none for other kinds.
        seconds: of all executions: of products what they take alone, of others the sum of their events.
        share: of the time of all operations. gflop: of one execution, 0 without products.
        gflops: the rate that the products reach alone; share_of_machine: over the machine's. None without products.
    """

    kind: str
    place: str
    products: tuple[str, ...]
    executions: int
    seconds: float
    share: float
    gflop: float
    gflops: float | None
    share_of_machine: float | None


def operations_of(events: Iterable[Event], programs: Sequence[Program]) -> list[Operation]:
    """The events added up by kind, place and products.

    An operation whose parts have events of their own, such as a loop, is left out: its time is theirs.
    """
    by_program: dict[str, list[Event]] = {}
    for event in events:
        by_program.setdefault(event.program, []).append(event)
    groups: dict[tuple[str, str, tuple[Product, ...]], list[float]] = {}
    for name, own in by_program.items():
        ran = {event.instruction for event in own}
        program = _named(name, ran, programs)
        keys = {each: _key(program, each) for each in ran if not _holds(program, each, ran)}
        for event in own:
            if event.instruction in keys:
                groups.setdefault(keys[event.instruction], []).append(event.seconds)
    return [Operation(*key, len(spent), sum(spent)) for key, spent in groups.items()]


def lines_of(
    operations: Sequence[Operation], alone: Mapping[Product, float], machine_gflops: float
) -> tuple[list[Line], dict[str, float]]:
    """The lines, the longest first, and each kind's share of the operations' time.

    Args:
        alone: the part of the machine's rate that each product reaches by itself.
        machine_gflops: the machine's rate during the call: products' times are those at that rate.
    """
    seconds = [
        each.executions * sum(product.flop / 1e9 / (alone[product] * machine_gflops) for product in each.products)
        if each.products
        else each.seconds
        for each in operations
    ]
    total = sum(seconds)
    lines = [_line(each, spent, total, machine_gflops) for each, spent in zip(operations, seconds, strict=True)]
    shares = {kind: sum(line.share for line in lines if line.kind == kind) for kind in KINDS}
    return sorted(lines, key=lambda line: -line.seconds), shares


def kind_of(opcodes: Collection[str], op_name: str) -> str:
    """The kind of an operation made of these opcodes; the first that fits, in the order of KINDS."""
    if "dot" in opcodes:
        return PRODUCTS
    if "sort" in opcodes:
        return SORTS
    if _RANDOM.search(op_name):
        return RANDOM
    if "reduce" in opcodes or "reduce-window" in opcodes:
        return REDUCTIONS
    if _LOOKUPS & set(opcodes) or set(opcodes) <= _MOVES | _FREE:
        return COPIES
    return ELEMENTWISE


def place_of(op_name: str) -> str:
    """The end of an operation's path, repeated blocks as one, and whether it belongs to the backward pass."""
    backward = "transpose(" in op_name
    path = re.sub(r"^jit\([^/]*\)(?:/|$)", "", op_name)  # the program
    while _WRAPPED.search(path):
        path = _WRAPPED.sub(r"\1", path)
    parts = [re.sub(r"^blocks_\d+$", "blocks_*", part) for part in path.split("/") if not _FLOW.fullmatch(part)]
    return "/".join(parts[-PLACE:]) + (" (backward)" if backward else "")


def _named(name: str, ran: Collection[str], programs: Sequence[Program]) -> Program:
    """The program of that name; of several, the one that has most of the instructions that ran."""
    alike = [program for program in programs if program.name == name]
    if not alike:
        return Program(name, {}, {})
    return max(alike, key=lambda program: sum(each in program.instructions for each in ran))


def _holds(program: Program, name: str, ran: Collection[str]) -> bool:
    return name in program.instructions and any(part.name in ran for part in program.parts(name))


def _key(program: Program, name: str) -> tuple[str, str, tuple[Product, ...]]:
    """Kind, place and products; an instruction that no program has is elementwise, at its own name."""
    if name not in program.instructions:
        return ELEMENTWISE, name, ()
    own = program.instructions[name]
    every = [own, *program.parts(name)]
    op_name = next((each.op_name for each in every if each.op_name), "")
    kind = kind_of({each.opcode for each in every}, op_name)
    return kind, place_of(op_name) or own.opcode, program.products(name)


def _line(operation: Operation, seconds: float, total: float, machine_gflops: float) -> Line:
    gflop = sum(product.flop for product in operation.products) / 1e9
    rate = gflop * operation.executions / seconds if operation.products else None
    return Line(
        kind=operation.kind,
        place=operation.place,
        products=tuple(map(str, operation.products)),
        executions=operation.executions,
        seconds=seconds,
        share=seconds / total,
        gflop=gflop,
        gflops=rate,
        share_of_machine=None if rate is None else rate / machine_gflops,
    )
