"""Reading compiled programs, adding up events by hand-worked numbers, and `orl bench --profile` on a tiny product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from orl_bench import alone, suite
from orl_bench import profile as profiling
from orl_bench.harness import Benchmark, Setting, Work
from orl_bench.hlo import Product, Program, read_program
from orl_bench.operations import Event, kind_of, lines_of, operations_of, place_of

TEXT = """HloModule jit_f, is_scheduled=true

%inner (p: f32[4,8], q: f32[8,5]) -> f32[4,5] {
  %p = f32[4,8]{1,0} parameter(0)
  %q = f32[8,5]{1,0} parameter(1)
  ROOT %dot.1 = f32[4,5]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%body (state: (s32[], (f32[4,5]))) -> (s32[], f32[4,5]) {
  %state = (s32[], (f32[4,5])) parameter(0)
  %fused = f32[4,5]{1,0} fusion(%a, %b), calls=%inner, metadata={op_name="jit(f)/while/body/Net/blocks_0/dot_general"}
  %again = f32[4,5]{1,0} fusion(%a, %b), calls=%inner, metadata={op_name="jit(f)/while/body/Net/blocks_11/dot_general"}
  ROOT %sum = f32[4]{0} add(%fused, %fused), metadata={op_name="jit(f)/while/body/add"}
}

ENTRY %main (x: f32[4,8]) -> f32[4,5] {
  %loop = (s32[], /*index=1*/(f32[4,5]{1,0})) while(%t), condition=%never, body=%body, metadata={op_name="jit(f)/while"}
  ROOT %copy.3 = f32[4,5]{1,0} copy(%loop)
}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    return read_program(TEXT)


ROWS_FIRST = (((), ()), ((1,), (0,)))  # no batch axis; of the left operand the last axis, of the right one the first
SMALL = Product((4, 8), (8, 5), *ROWS_FIRST)


def test_batched_and_transposed_products_are_counted_by_their_own_axes() -> None:
    assert (SMALL.sizes, SMALL.flop, str(SMALL)) == ((1, 4, 8, 5), 320.0, "4x8x5")
    weights = Product((7, 256, 200), (7, 256, 24), ((0,), (0,)), ((1,), (1,)))  # the contracted rows first in both
    assert (weights.sizes, weights.flop, str(weights)) == ((7, 200, 256, 24), 17_203_200.0, "7 x 200x256x24")
    two = Product((2, 3, 4, 5, 6), (3, 2, 6, 4, 7), ((0, 1), (1, 0)), ((2, 4), (3, 2)))
    assert two.sizes == (6, 5, 24, 7)
    vector = Product((4, 8), (8,), *ROWS_FIRST)
    assert (vector.sizes, vector.flop) == ((1, 4, 8, 1), 64.0)


@pytest.mark.parametrize(("transposed", "contracted"), [(False, ((2,), (1,))), (True, ((1,), (2,)))])
def test_the_program_of_a_product_alone_does_it_as_often_as_said(transposed: bool, contracted: Any) -> None:
    shapes = ((2, 6, 4), (2, 5, 6)) if transposed else ((2, 4, 6), (2, 6, 5))
    product = Product(*shapes, ((0,), (0,)), contracted)
    assert product.sizes == (2, 4, 6, 5)
    arguments = tuple(jnp.ones(shape) for shape in shapes)
    program = read_program(alone.repeated(product, 9).lower(*arguments).compile().as_text())
    [loop] = [each for each in program.instructions.values() if each.opcode == "while"]
    assert '"n":"9"' in loop.rest
    assert [each.sizes for each in program.products(loop.name)] == [(2, 4, 6, 5)]


def test_shares_alone_are_of_the_readings_around_each_product(monkeypatch: pytest.MonkeyPatch) -> None:
    half = SMALL._replace(dtype="bf16")
    assert alone.gflops_alone(half) > 0
    monkeypatch.setattr(alone, "gflops_alone", lambda product: 6.0)
    readings = iter([1.0, 3.0, 9.0])
    assert alone.shares_alone([SMALL, half, SMALL], lambda: next(readings)) == {SMALL: 3.0, half: 1.0}


def test_a_text_gives_instructions_their_parts_and_products(program: Program) -> None:
    assert program.name == "jit_f"
    assert program.computations["inner"] == ("p", "q", "dot.1")
    assert program.instructions["state"].sizes == ()
    loop = program.instructions["loop"]
    assert (loop.opcode, loop.called, loop.op_name) == ("while", ("never", "body"), "jit(f)/while")
    assert [part.name for part in program.parts("fused")] == ["p", "q", "dot.1"]
    assert program.products("fused") == (SMALL,)
    assert program.products("copy.3") == ()


def test_what_jax_compiles_is_read() -> None:
    def scanned(x: jax.Array, w: jax.Array) -> jax.Array:
        def body(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return jnp.tanh(jnp.einsum("bkm,bkn->bmn", x, w)), None

        return jnp.sort(jax.lax.scan(body, x, length=3)[0])

    text = jax.jit(scanned).lower(jnp.ones((2, 6, 6)), jnp.ones((2, 6, 6))).compile().as_text()
    program = read_program(text or "")
    [loop] = [each.name for each in program.instructions.values() if each.opcode == "while"]
    assert {each.sizes for each in program.products(loop)} == {(2, 6, 6, 6)}
    assert any(kind_of({each.opcode}, each.op_name) == "sorts" for each in program.instructions.values())
    assert any(part.opcode == "tanh" for part in program.parts(loop))


def test_lines_group_alike_places_and_leave_out_what_holds_others(program: Program) -> None:
    seconds = {"loop": 99.0, "fused": 3.0, "again": 1.0, "sum": 2.0, "copy.3": 2.0}
    operations = operations_of([Event("jit_f", *each) for each in seconds.items()], [program])
    assert operations[0] == ("matrix products", "Net/blocks_*/dot_general", (SMALL,), 2, 4.0)
    lines, kinds = lines_of(operations, {SMALL: 0.4}, 100e-9)  # 2 x 320 operations at 40 a second
    first = lines[0]
    assert (first.kind, first.place, first.products) == ("matrix products", "Net/blocks_*/dot_general", ("4x8x5",))
    assert (first.executions, first.gflop) == (2, 320e-9)
    assert (first.seconds, first.share) == (pytest.approx(16.0), pytest.approx(0.8))
    assert (first.gflops, first.share_of_machine) == (pytest.approx(40e-9), pytest.approx(0.4))
    assert {(line.kind, line.place) for line in lines[1:]} == {("elementwise", "add"), ("copies and slices", "copy")}
    assert [(line.seconds, line.gflops) for line in lines[1:]] == [(2.0, None), (2.0, None)]
    shares = {kind: share for kind, share in kinds.items() if share}
    assert shares == pytest.approx({"matrix products": 0.8, "elementwise": 0.1, "copies and slices": 0.1})


def test_a_loop_that_ran_as_one_is_an_operation_and_a_stranger_keeps_its_name(program: Program) -> None:
    operations = operations_of([Event("jit_f", "loop", 3.0), Event("jit_g", "unknown.1", 1.0)], [program])
    assert operations == [
        ("matrix products", "while", (SMALL, SMALL), 1, 3.0),
        ("elementwise", "unknown.1", (), 1, 1.0),
    ]
    assert [line.seconds for line in lines_of(operations, {SMALL: 1.0}, 320e-9)[0]] == [pytest.approx(2.0), 1.0]


def test_of_programs_with_one_name_the_one_that_ran_is_read(program: Program) -> None:
    other = read_program("HloModule jit_f\n\nENTRY %main () -> f32[4] {\n  %sum = f32[4]{0} sort(%x)\n}\n")
    events = [Event("jit_f", "sum", 1.0), Event("jit_f", "copy.3", 1.0)]
    for programs in ([other, program], [program, other]):
        assert {each.kind for each in operations_of(events, programs)} == {"elementwise", "copies and slices"}


def test_kinds_come_from_what_an_operation_is_made_of() -> None:
    assert kind_of({"fusion", "parameter", "dot", "reduce"}, "") == "matrix products"
    assert kind_of({"sort", "compare"}, "jit(f)/jit(_shuffle)/sort") == "sorts"
    assert kind_of({"xor", "add"}, "jit(f)/jit(_normal)/jit(_uniform)/while/body/add") == "random numbers"
    assert kind_of({"xor"}, "jit(f)/jit(_threefry_split)/xor") == "random numbers"
    assert kind_of({"fusion", "multiply", "reduce"}, "jit(f)/reduce_sum") == "reductions"
    assert kind_of({"fusion", "parameter", "gather", "clamp"}, "jit(f)/gather") == "copies and slices"
    assert kind_of({"fusion", "parameter", "bitcast", "copy"}, "jit(f)/transpose") == "copies and slices"
    assert kind_of({"fusion", "copy", "maximum"}, "jit(f)/max") == "elementwise"


def test_places_are_ends_of_paths_of_modules() -> None:
    forward = "jit(epoch)/while/body/closed_call/jvp(GPT)/blocks_0/attend/dot_general"
    assert place_of(forward) == "blocks_*/attend/dot_general"
    assert place_of(forward.replace("blocks_0", "blocks_3")) == place_of(forward)
    backward = "jit(epoch)/while/body/transpose(jvp(vmap(MLP)))/Dense_1/dot_general"
    assert place_of(backward) == "MLP/Dense_1/dot_general (backward)"
    assert place_of("jit(epoch)/jit(_where)/select_n") == "_where/select_n"
    assert place_of("jit(f)/jvp(jit(_normal))/cond/branch_1_fun/mul") == "_normal/mul"
    assert place_of("") == ""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A benchmark of one small product, and one of what no program of this process does; a machine of 2 GFLOP/s."""
    operand = jnp.ones((3, 16, 16))
    product = jax.jit(lambda x: jnp.einsum("bij,bjk->bik", x, x))

    def make(against: str, setting: Setting) -> Work:
        return Work("three products", "products", 3, 1.0, lambda: product(operand), 2, against=against)

    table = [
        Benchmark("made-product", "made", lambda setting: make("matmul", setting)),
        Benchmark("made-copy", "made", lambda setting: make("copy", setting)),
    ]
    monkeypatch.setattr(suite, "BENCHMARKS", table)
    monkeypatch.setattr(profiling, "YARDSTICKS", {"matmul": lambda: 2.0})
    cached = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", cached)


@pytest.mark.usefixtures("made")
def test_the_command_shows_products_with_the_rate_they_reach(orl: Callable[..., Any], tmp_path: Path) -> None:
    done = orl("bench", "--profile", "--json", "--out", tmp_path / "profile.json")
    assert done.code == 0, done.err
    assert "made-copy runs no compiled operations in this process" in done.err
    [found] = done.document["profiles"]
    assert (found["name"], found["workload"], found["machine_gflops"]) == ("made-product", "three products", 2.0)
    [line] = [each for each in found["lines"] if each["kind"] == "matrix products"]
    assert (line["products"], line["executions"], line["gflop"]) == (["3 x 16x16x16"], 1, 2 * 3 * 16**3 / 1e9)
    assert line["gflops"] == pytest.approx(line["gflop"] / line["seconds"])
    assert line["share_of_machine"] == pytest.approx(line["gflops"] / 2.0)
    assert found["product_gflops"] == pytest.approx(line["gflops"])
    assert found["kinds"]["matrix products"] == pytest.approx(1.0 - found["share_outside_products"])
    assert sum(found["kinds"].values()) == pytest.approx(1.0)
    assert (tmp_path / "profile.json").is_file()
    shown = orl("bench", "--profile", "--quiet", "--only", "made-product").out
    assert "3 x 16x16x16" in shown
    assert "square product on this machine: 2 GFLOP/s" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.usefixtures("made")
def test_what_cannot_be_profiled_is_one_line(orl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert orl("bench", "--profile", "--compare", "old.json").code == 2
    none = orl("bench", "--profile", "--quiet", "--only", "made-copy")
    assert (none.code, none.err.count("\n")) == (2, 1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    elsewhere = orl("bench", "--profile", "--quiet")
    assert (elsewhere.code, elsewhere.err.count("\n")) == (2, 1)
    assert "of a CPU only, this is gpu" in elsewhere.err
