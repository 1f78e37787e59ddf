"""`orl export`: what it says on a terminal, as JSON, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orl.errors import ParityError
from orl.runs.directory import versions
from orl.runs.export import run as exporting


def test_the_document(orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path) -> None:
    done = orl("export", mopo["run"], "-f", "numpy", "-o", tmp_path / "out", "--quantile", 0.95, "--json", "-q")
    assert (done.code, done.err) == (0, "")
    document = done.document
    assert (document["schema"], document["kind"], document["run"]) == (1, "export", mopo["run"])
    assert document["versions"] == versions()
    assert document["seconds"] > 0
    assert set(document["check"]) == {"action", "memory", "uncertainty", "flags", "rows", "limit", "uncertainty_limit"}
    assert (document["check"]["limit"], document["check"]["rows"]) == (1e-5, 200)
    assert document["check"]["action"] <= 1e-5
    assert set(document["latency_ms"]) == {"p50", "p99", "calls"}
    assert 0 < document["latency_ms"]["p50"] <= document["latency_ms"]["p99"]
    assert document["flag"] | {"factor": 0, "threshold": 0} == {
        "missing": None,
        "model": f"{mopo['run']}/model",
        "disagreement": "max_pairwise",
        "members": 3,
        "factor": 0,
        "covered": 0.95,
        "quantile": 0.95,
        "rows": 200,
        "threshold": 0,
    }
    assert [each["name"] for each in document["files"]] == ["policy.npz", "policy.py"]


def test_the_table(orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path) -> None:
    done = orl("export", mopo["run"], "-f", "stablehlo", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    for text in (
        "mopo as stablehlo, against the policy in JAX",
        "of the action's range (1e-05 allowed)",
        "ms (median)",
    ):
        assert text in done.out
    assert done.out.endswith(f"{tmp_path}/out/model-card.md says how to use it\n")
    assert done.err == "writing the stablehlo file and asking it about 200 held-out observations\n"


def test_a_dry_run_writes_nothing(orl: Callable[..., Any], mopo: dict[str, Any], cloned: dict[str, Any]) -> None:
    done = orl("export", mopo["run"], "-f", "numpy", "--dry-run")
    assert done.code == 0
    assert f"would write policy.npz, policy.py, model-card.md, export.json into {mopo['run']}/export/numpy" in done.out
    assert f"out-of-distribution flag: by the members of {mopo['run']}/model" in done.out
    plan = orl("export", cloned["run"], "-f", "numpy", "--dry-run", "--json").document
    assert (plan["algorithm"], plan["model"], plan["schema"]) == ("bc", None, 1)
    assert not (Path(mopo["run"]) / "export").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", 9], "holds the seeds [0], not 9"),
        (["--quantile", 1.5], "must lie between 0 and 1"),
        (["--quantile", 0.999], "200 held-out rows tell no quantile of 0.999; give --quantile 0.995 or less"),
        (["--model", "nowhere"], "nowhere is not a run folder"),
    ],
)
def test_refusals_are_one_line(
    words: list[Any], message: str, orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path
) -> None:
    done = orl("export", mopo["run"], "-f", "numpy", "-o", tmp_path / "a" / "out", "-q", *words)
    assert (done.code, done.out) == (3 if "nowhere" in message else 2, "")
    assert (len(done.err.splitlines()), message in done.err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_the_policy_ends_with_1(
    orl: Callable[..., Any], mopo: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> dict[str, Any]:
        raise ParityError("the numpy file does not answer as the policy does")

    monkeypatch.setattr(exporting, "proven", refuse)
    done = orl("export", mopo["run"], "-f", "numpy", "-o", tmp_path / "out", "-q")
    assert (done.code, done.out) == (1, "")
    assert done.err == "orl: the numpy file does not answer as the policy does\n"
    assert list(tmp_path.iterdir()) == []
