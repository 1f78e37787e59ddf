"""`orl bench` on a table of two benchmarks that do next to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orl_bench import suite
from orl_bench.harness import Benchmark, Setting, Work


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two benchmarks in place of the table, yardsticks that say 1, and the names of those that were made."""
    import jax

    names: list[str] = []

    def benchmark(name: str, group: str, quick: bool = True) -> Benchmark:
        def make(setting: Setting) -> Work:
            assert setting.folder.is_dir()
            names.append(name)
            return Work("one two three", "sums", 3, 1.0, lambda: sum(range(1000)), 2)

        return Benchmark(name, group, make, quick)

    table = [benchmark("sum-one", "sums"), benchmark("sum-two", "sums"), benchmark("slow", "others", quick=False)]
    monkeypatch.setattr(suite, "BENCHMARKS", table)
    monkeypatch.setattr(suite, "YARDSTICKS", {"matmul": lambda: 1.0})
    cached = jax.config.jax_enable_compilation_cache
    yield names
    jax.config.update("jax_enable_compilation_cache", cached)


@pytest.fixture
def old(orl: Callable[..., Any], tmp_path: Path) -> Path:
    """The file of an earlier run."""
    path = tmp_path / "old.json"
    assert orl("bench", "--out", path, "--quick", "--quiet").code == 0
    return path


def rewrite(path: Path, factor: float = 1.0, **changes: Any) -> None:
    """Figures times `factor`, and other facts of the run."""
    document = json.loads(path.read_text())
    for line in document["results"]:
        line["relative"] *= factor
    path.write_text(json.dumps(document | changes))


def test_the_table_is_on_stdout_and_progress_on_stderr(orl: Callable[..., Any]) -> None:
    done = orl("bench")
    assert done.code == 0
    assert done.err.split() == ["sum-one", "sum-two", "slow"]
    assert "float32 matrix product 1 GFLOP/s on cpu" in done.out
    assert "sum-one: one two three" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_document_is_alone_on_stdout_and_the_same_in_the_file(orl: Callable[..., Any], tmp_path: Path) -> None:
    document = orl("bench", "--quick", "--json", "--out", tmp_path / "new.json").document
    assert json.loads((tmp_path / "new.json").read_text()) == document
    assert (document["schema"], document["device"], document["quick"]) == (1, "cpu", True)
    assert document["cores"] >= 1
    assert document["matmul_gflops"] == 1.0
    assert {"orl", "jax"} <= set(document["versions"])
    first = document["results"][0]
    assert (first["name"], first["workload"], first["unit"], first["gflop"]) == (
        "sum-one",
        "one two three",
        "sums",
        1.0,
    )
    assert first["rate"] == pytest.approx(3e3 / first["median_ms"])
    assert first["share"] == first["relative"] > 0


def test_only_takes_groups_and_beginnings_of_names(orl: Callable[..., Any], made: list[str]) -> None:
    def ran(*words: str) -> list[str]:
        made.clear()
        assert orl("bench", "--quiet", *words).code == 0
        return list(made)

    assert ran("--only", "sums") == ["sum-one", "sum-two"]
    assert ran("--only", "sum-t", "--only", "slow") == ["sum-two", "slow"]
    unknown = orl("bench", "--only", "fast")
    assert unknown.code == 2
    assert "--only fast: no such benchmark; groups are sums, others; names are sum-one, sum-two, slow" in unknown.err
    assert orl("bench", "--only", "slow", "--quick").code == 2


def test_what_kept_its_share_passes(orl: Callable[..., Any], old: Path) -> None:
    rewrite(old, 0.01)
    done = orl("bench", "--quick", "--quiet", "--json", "--compare", old)
    assert done.code == 0, done.err
    assert done.document["comparison"]["judged"]
    assert [line["verdict"] for line in done.document["comparison"]["lines"]] == ["kept", "kept"]
    assert "kept" in orl("bench", "--quick", "--quiet", "--compare", old).out


def test_what_fell_is_measured_again_then_fails_with_a_line_each(
    orl: Callable[..., Any], old: Path, made: list[str], tmp_path: Path
) -> None:
    rewrite(old, 1000.0)
    made.clear()
    done = orl("bench", "--quick", "--json", "--compare", old)
    assert done.code == 1
    assert made == ["sum-one", "sum-two"] * 2
    assert [line["verdict"] for line in done.document["comparison"]["lines"]] == ["fell", "fell"]
    failures = [line for line in done.err.splitlines() if "is allowed" in line]
    assert [line.split()[1] for line in failures] == ["sum-one", "sum-two"]
    assert orl("bench", "--quick", "--quiet", "--compare", old, "--margin", 1).code == 0


def test_unlike_chips_are_refused_before_anything_runs(orl: Callable[..., Any], old: Path, made: list[str]) -> None:
    rewrite(old, device="NVIDIA H100")
    made.clear()
    done = orl("bench", "--quick", "--compare", old)
    assert (done.code, made) == (2, [])
    assert done.err.count("\n") == 1
    assert "measured on NVIDIA H100, this is cpu" in done.err


def test_another_number_of_cores_is_shown_and_not_judged(orl: Callable[..., Any], old: Path) -> None:
    rewrite(old, 1000.0, cores=1000)
    done = orl("bench", "--quick", "--quiet", "--json", "--compare", old)
    assert done.code == 0
    assert not done.document["comparison"]["judged"]
    assert "was measured on 1000 cores" in done.err


def test_bad_options_are_one_line(orl: Callable[..., Any], tmp_path: Path, made: list[str]) -> None:
    (tmp_path / "bad.json").write_text("[]")
    assert orl("bench", "--compare", tmp_path / "bad.json").code == 3
    assert orl("bench", "--margin", 0.1).code == 2
    assert orl("bench", "--out", tmp_path / "no" / "folder.json").code == 2
    assert made == []


def test_several_seeds_are_held_against_as_many_single_runs(made_result: Callable[..., Any]) -> None:
    results = [made_result("u", 0.2), made_result("u-8-seeds", 0.4, extra={"seeds": 8}), made_result("v", 0.1)]
    assert [result.extra for result in suite.with_seed_ratios(results)] == [
        {},
        {"seeds": 8, "over_single_runs": 0.5},
        {},
    ]
