"""The command in a report makes the very settings of the run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from made_report_runs import made_model, made_policy

from orl.config import merge, parse_assignment
from orl.runs.config import resolve_fit, resolve_policy
from orl.runs.directory import config_tree, load_run
from orl.runs.report.command import command_of
from orl.runs.report.sources import Source


def parsed(command: str) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """(words before the options, the options, the tree of all --set)."""
    words = shlex.split(command)
    first = next((index for index, word in enumerate(words) if word.startswith("--")), len(words))
    pairs = list(zip(words[first::2], words[first + 1 :: 2], strict=True))
    tree: dict[str, Any] = {}
    for option, value in pairs:
        tree = merge(tree, parse_assignment(value)) if option == "--set" else tree
    return words[:first], {option: value for option, value in pairs if option != "--set"}, tree


CHANGED = {"train": {"steps": 123}, "agent": {"penalty_coef": 2.5, "hidden": [32, 16]}, "seed_axis": "map"}


def test_flags_and_assignments_give_the_settings_back(tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run", seeds=[2, 5], settings=CHANGED)
    begin, options, assigned = parsed(command_of(Source(load_run(run))))
    assert begin == ["orl", "train-policy"]
    assert options == {"--algo": "mopo", "--dataset": "no/such-v0", "--seeds": "2,5"}
    assert assigned == CHANGED
    again, _ = resolve_policy("no/such-v0", "mopo", assigned | {"seeds": [2, 5]})
    assert config_tree(run)["agent"]["hidden"] == list(again.agent.hidden) == [32, 16]


def test_the_usual_run_needs_no_assignment(tmp_path: Path) -> None:
    assert command_of(Source(load_run(made_policy(tmp_path / "a", "bc")))) == (
        "orl train-policy --algo bc --dataset no/such-v0"
    )
    assert command_of(Source(load_run(made_model(tmp_path / "b")))) == "orl fit-model --dataset no/such-v0"
    assert resolve_fit("no/such-v0", {})[0].seed == 0


def test_what_only_the_record_tells_becomes_flags(tmp_path: Path) -> None:
    """What a calibration decided is not assigned: the command calibrates again."""
    penalty = {"share": 0.9, "penalty_coef": 3.0}
    run = made_policy(
        tmp_path / "run",
        settings={"agent": {"penalty_coef": 3.0}},
        penalty=penalty,
        began_as={"run": "runs/bc run", "seeds": [0]},
    )
    assert command_of(Source(load_run(run))) == (
        "orl train-policy --algo mopo --dataset no/such-v0 --init 'runs/bc run' --penalty calibrated --share 0.9"
    )


@pytest.mark.parametrize("text", ['algorithm = "unheard"\ndataset = "d"\nseeds = [0]\n', "dataset = 3\n"])
def test_settings_of_another_version_are_left_to_their_file(text: str, tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run")
    (run / "config.toml").write_text(text)
    assert command_of(Source(load_run(run))) == f"orl train-policy --config {run}/config.toml"


def test_names_are_quoted_for_a_shell(tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run", data={"name": "$(touch x); a.npz"})
    assert command_of(Source(load_run(run))) == "orl train-policy --algo mopo --dataset '$(touch x); a.npz'"
