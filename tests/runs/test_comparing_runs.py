"""`orl compare`: settings and results side by side, and the probability of improvement, on run folders made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl.config import toml
from orl.errors import DataError, UsageError
from orl.runs.compare import common_evaluation, compare, improvements, side_by_side
from orl.runs.directory import load_run
from orl_cli.compare import conclusion


def made_run(
    folder: Path, settings: dict[str, Any], *evaluations: tuple[str, list[list[float]]], **record: Any
) -> Path:
    """A run folder with these settings and entries of run.json, and an evaluation for each (environment, returns)."""
    (folder / "eval").mkdir(parents=True)
    (folder / "config.toml").write_text(toml(settings))
    entries = {"schema": 1, "kind": "policy", "status": "finished", "fingerprint": "f", "seconds": 2.5} | record
    (folder / "run.json").write_text(json.dumps(entries))
    for env, returns in evaluations:
        episodes = len(returns[0])
        document = {"kind": "evaluation", "environment": env, "episodes": episodes, "evaluation_seed": 0}
        document |= {"returns": returns, "score": {"mean": returns[0][0], "ci95": [0.0, 1.0]}, "model_value": None}
        (folder / "eval" / f"{env}-{episodes}x0.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """Two runs of one seed: 3 of 4 pairs of episodes are won by the second, and one is a draw."""
    one = {"algorithm": "mopo", "seeds": [0], "agent": {"discount": 0.97, "penalty_coef": 1.0}}
    other = {"algorithm": "combo", "seeds": [0], "agent": {"discount": 0.97, "conservative_coef": 5.0}}
    first = made_run(tmp_path / "a", one, ("P-v1", [[1.0, 2.0]]), result={"steps": 10, "score": None})
    second = made_run(tmp_path / "b", other, ("P-v1", [[2.0, 3.0]]), device="cpu", result={"steps": 20, "score": None})
    return [first, second]


def test_settings_that_differ_side_by_side(pair: list[Path]) -> None:
    assert compare(pair)["settings"] == {
        "algorithm": ["mopo", "combo"],
        "agent.penalty_coef": [1.0, None],
        "agent.conservative_coef": [None, 5.0],
        "run.device": [None, "cpu"],
    }
    every = compare(pair, every_setting=True)["settings"]
    assert every["agent.discount"] == [0.97, 0.97]
    assert every["run.fingerprint"] == ["f", "f"]
    assert set(compare(pair)["settings"]) < set(every)


def test_results_are_single_numbers_side_by_side(pair: list[Path]) -> None:
    assert compare(pair)["results"] == {
        "steps": [10, 20],
        "seconds": [2.5, 2.5],
        "evaluation.score.mean": [1.0, 2.0],
    }
    assert side_by_side([{"x": 1}, {"y": 2, "x": 3}]) == {"x": [1, 3], "y": [None, 2]}


def test_probability_of_improvement_over_episodes_and_over_seeds(pair: list[Path]) -> None:
    document = compare(pair)
    assert document["evaluation"] == {"environment": "P-v1", "episodes": 2, "evaluation_seed": 0}
    (found,) = document["improvement"]
    assert (found["run"], found["over_run"]) == (str(pair[1]), str(pair[0]))
    assert (found["probability"], found["over"], found["samples"]) == (0.875, "episodes", [2, 2])  # 3.5 of 4
    assert found["ci95"][0] == 0.5  # all 2 against all 2
    assert found["ci95"][1] == 1.0
    paths = [Path(name) for name in "abc"]
    returns = [[[0.0, 2.0], [4.0, 4.0]], [[9.0, -9.0], [3.0, 3.0]], [[5.0, 5.0]]]
    three = improvements(paths, [{"returns": each} for each in returns])
    assert [(each["run"], each["over_run"]) for each in three] == [("b", "a"), ("c", "a"), ("c", "b")]
    # seeds have means 1, 4 and 0, 3: one pair of four is won; where one run has a single seed, episodes are compared
    assert [(each["probability"], each["over"]) for each in three] == [
        (0.25, "seeds"),
        (1.0, "episodes"),
        (0.75, "episodes"),
    ]


def test_the_evaluation_in_common_with_the_most_episodes_is_taken(tmp_path: Path) -> None:
    made_run(tmp_path / "a", {}, ("P-v1", [[1.0] * 5]), ("P-v1", [[1.0] * 2]), ("P-v1", [[1.0] * 3]))
    made_run(tmp_path / "b", {}, ("P-v1", [[2.0] * 3]), ("P-v1", [[2.0] * 2]), ("Q-v1", [[2.0] * 5]))
    runs = [load_run(tmp_path / name) for name in "ab"]
    found = common_evaluation(runs)
    assert found is not None
    assert [each["returns"] for each in found] == [[[1.0] * 3], [[2.0] * 3]]
    made_run(tmp_path / "c", {}, ("Q-v1", [[0.0] * 3]))
    assert common_evaluation([runs[0], load_run(tmp_path / "c")]) is None


def test_what_cannot_be_compared(pair: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two runs or more"):
        compare(pair[:1])
    with pytest.raises(DataError, match="is not a run folder"):
        compare([pair[0], tmp_path])
    (pair[1] / "eval" / "P-v1-2x0.json").write_text('{"kind": "evaluation", "environment": "P-v1", "returns": [1]}')
    with pytest.raises(DataError, match=r"P-v1-2x0\.json is a damaged evaluation"):
        compare(pair)


def test_verdicts_against_a_draw() -> None:
    assert [conclusion(*each) for each in ((0.51, 0.9), (0.1, 0.49), (0.5, 0.9), (0.2, 0.8))] == [
        "better",
        "worse",
        "no difference shown",
        "no difference shown",
    ]


def test_the_program_prints_tables_and_a_sentence_a_pair(orl: Callable[..., Any], pair: list[Path]) -> None:
    done = orl("compare", *pair)
    assert done.code == 0, done.err
    assert "settings that differ" in done.out
    assert "agent.discount" not in done.out
    assert "agent.discount" in orl("compare", *pair, "--all").out
    assert "b over a: 88% (95% interval 50 to 100), no difference shown; over episodes\n" in done.out
    document = orl("compare", *pair, "--json").document
    assert (document["run"], document["schema"]) == ([str(path) for path in pair], 1)
    assert document["improvement"][0]["probability"] == 0.875
    assert orl("compare", pair[0]).code == 2


def test_without_episodes_in_common_the_command_that_plays_them_is_named(
    orl: Callable[..., Any], pair: list[Path]
) -> None:
    (pair[1] / "eval" / "P-v1-2x0.json").unlink()
    done = orl("compare", *pair)
    assert done.code == 0, done.err
    assert f"`orl evaluate {pair[0]} {pair[1]}`" in done.out
    assert orl("compare", *pair, "--json").document["improvement"] == []
