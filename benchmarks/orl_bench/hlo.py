"""The text of a compiled program (HLO after all optimisations): its instructions, and the products among them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

_NAME = r"%?([\w.\-]+)"
_COMPUTATION = re.compile(rf"^(?:ENTRY )?{_NAME} .*\{{$")
_TYPE = r"\((?:[^()]|\([^()]*\))*\)|\S+"  # a tuple, one level of brackets inside; or an array
_INSTRUCTION = re.compile(rf"^\s+(?:ROOT )?{_NAME} = ({_TYPE}) ([\w\-]+)\((.*)$")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation|branch_computations)="
    r"(?:\{([^}]*)\}|%?([\w.\-]+))"
)


class Product(NamedTuple):
    """Batched matrix products: sizes of both operands, pairs of their batch and contracted axes, HLO's dtype."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    batch: tuple[tuple[int, ...], tuple[int, ...]]
    contracted: tuple[tuple[int, ...], tuple[int, ...]]
    dtype: str = "f32"

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """B, M, K, N: of B products of (M, K) with (K, N)."""
        many = math.prod(self.left[axis] for axis in self.batch[0])
        k = math.prod(self.left[axis] for axis in self.contracted[0])
        return many, math.prod(self.left) // (many * k), k, math.prod(self.right) // (many * k)

    @property
    def flop(self) -> float:
        """Operations, two a multiply-add."""
        return 2.0 * math.prod(self.sizes)

    def __str__(self) -> str:
        many, m, k, n = self.sizes
        return f"{m}x{k}x{n}" if many == 1 else f"{many} x {m}x{k}x{n}"


class Instruction(NamedTuple):
    """One line.

    dtype, sizes: of its result, empty for tuples. rest: operands and attributes as written. called: computations.
    """

    name: str
    opcode: str
    dtype: str
    sizes: tuple[int, ...]
    rest: str
    op_name: str
    called: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A module. instructions: by name, which is unique in it; computations: the names of each one's instructions."""

    name: str
    instructions: Mapping[str, Instruction]
    computations: Mapping[str, tuple[str, ...]]

    def parts(self, name: str) -> list[Instruction]:
        """The instructions of the computations that an instruction calls, and of those that these call."""
        return [part for called in self.instructions[name].called for part in self._within(called)]

    def products(self, name: str) -> tuple[Product, ...]:
        """The products that an instruction is or holds."""
        every = [self.instructions[name], *self.parts(name)]
        return tuple(self._product(each) for each in every if each.opcode == "dot")

    def _within(self, computation: str) -> Iterable[Instruction]:
        for name in self.computations.get(computation, ()):
            yield self.instructions[name]
            yield from self.parts(name)

    def _product(self, dot: Instruction) -> Product:
        left, right = (self.instructions[name] for name in re.findall(r"%([\w.\-]+)", dot.rest.split(")")[0])[:2])
        batch = _axes(dot.rest, "lhs_batch_dims"), _axes(dot.rest, "rhs_batch_dims")
        contracted = _axes(dot.rest, "lhs_contracting_dims"), _axes(dot.rest, "rhs_contracting_dims")
        return Product(left.sizes, right.sizes, batch, contracted, left.dtype)


def read_program(text: str) -> Program:
    """The program written in `text`, as `compiled.as_text()` gives it."""
    heading = re.search(r"^HloModule ([\w.\-]+)", text)
    instructions: dict[str, Instruction] = {}
    computations: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        found = _INSTRUCTION.match(line)
        if found:
            instruction = _instruction(*found.groups())
            instructions[instruction.name] = instruction
            current.append(instruction.name)
        elif opened := _COMPUTATION.match(line):
            current = computations.setdefault(opened[1], [])
    frozen = {name: tuple(members) for name, members in computations.items()}
    return Program(heading[1] if heading else "", instructions, frozen)


def _instruction(name: str, kind: str, opcode: str, rest: str) -> Instruction:
    op_name, array = _OP_NAME.search(rest), _ARRAY.match(kind)
    dtype, sizes = array.groups() if array else ("", "")
    called = [several or one for several, one in _CALLED.findall(rest)]
    names = tuple(each for group in called for each in re.findall(r"[\w.\-]+", group))
    return Instruction(name, opcode, dtype, _integers(sizes), rest, op_name[1] if op_name else "", names)


def _axes(attributes: str, key: str) -> tuple[int, ...]:
    """The axes that an attribute such as lhs_batch_dims={0,1} names; none without it."""
    found = re.search(rf"\b{key}=\{{([\d,]*)\}}", attributes)
    return _integers(found[1]) if found else ()


def _integers(listed: str) -> tuple[int, ...]:
    return tuple(int(each) for each in listed.split(",") if each)
