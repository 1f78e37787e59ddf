"""Run folders written by hand, as far as a report reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orl.config import to_toml
from orl.runs.config import resolve_fit, resolve_policy

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e\x1b"
MODEL_VALUE = {"mean_return": 9.0, "score": 90.0, "gap": 40.0, "per_seed": [90.0, 90.0], "horizon": 200}
DATA = {
    "name": "no/such-v0",
    "steps": 400,
    "episodes": 4,
    "obs_dim": 3,
    "action_dim": 1,
    "action_low": [-2.0],
    "action_high": [2.0],
    "obs_fields": [],
    "env_id": "Pendulum-v1",
    "reference": {"min": 0.0, "max": 10.0, "source": "the test"},
    "mean_return": 4.0,
    "best_return": 8.0,
}


def made_policy(
    path: Path,
    algorithm: str = "mopo",
    seeds: Sequence[int] = (0,),
    metrics: Sequence[dict[str, Any]] = (),
    settings: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **record: Any,
) -> Path:
    """A finished policy run at `path`; further keywords are entries of run.json."""
    data = DATA | (data or {})
    config, _ = resolve_policy(data["name"], algorithm, {"seeds": list(seeds)} | (settings or {}))
    return _made(path, "policy", to_toml(config), metrics, {"dataset": data, "seeds": list(seeds)} | record)


def made_model(path: Path, metrics: Sequence[dict[str, Any]] = (), **record: Any) -> Path:
    """A finished ensemble's run at `path`."""
    config, _ = resolve_fit(DATA["name"], {})
    return _made(path, "ensemble", to_toml(config), metrics, {"dataset": DATA, "seeds": [0], "seconds": 30.0} | record)


def _made(path: Path, kind: str, config: str, metrics: Sequence[dict[str, Any]], record: dict[str, Any]) -> Path:
    path.mkdir(parents=True)
    whole = {"schema": 1, "kind": kind, "status": "finished", "fingerprint": "f", "device": "cpu"} | record
    (path / "run.json").write_text(json.dumps(whole))
    (path / "config.toml").write_text(config)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    (path / "timings.jsonl").write_text('{"step": 10, "seconds": 2.0}\n{"step": 20, "seconds": 1.5}\n')
    return path


def made_evaluation(run: Path, returns: list[list[float]], seed: int = 0, **more: Any) -> None:
    """A document of `orl evaluate` in `run`."""
    record = json.loads((run / "run.json").read_text())
    document = {
        "schema": 1,
        "algorithm": "mopo",
        "environment": "Pendulum-v1",
        "episodes": len(returns[0]),
        "evaluation_seed": seed,
        "seeds": record["seeds"],
        "returns": returns,
        "lengths": [[200] * len(row) for row in returns],
    }
    (run / "eval").mkdir(exist_ok=True)
    file = run / "eval" / f"Pendulum-v1-{len(returns[0])}x{seed}.json"
    file.write_text(json.dumps(document | more))


def made_diagnosis(run: Path, **more: Any) -> None:
    """A document of `orl diagnose` in `run`."""
    errors = {"model": [0.1, 0.2, None], "linear": [0.2, 0.4, 0.6], "persistence": [0.3, 0.5, 0.7]}
    document = {
        "schema": 1,
        "model": {"kind": "ensemble", "run": "x"},
        "horizon": {"error": errors, "break_even": {"persistence": None, "linear": 3}},
        "calibration": {
            "columns": ["obs 0", "obs 1", "reward"],
            "levels": [0.5, 0.9],
            "coverage": [[0.4, 0.6, 0.5], [0.8, 0.95, 0.9]],
            "expected_calibration_error": 0.06,
            "rows": 100,
        },
        "uncertainties": [
            {
                "uncertainty": "max_std",
                "units": "raw",
                "rank_correlation": 0.5,
                "admissible_share": 0.9,
                "penalty_coef": 2.5,
                "mean_penalty": 0.1,
            }
        ],
        "distance": {"bins": [{"low": 0.0, "high": 0.1, "rows": 50, "error": 0.01, "u": 0.02}]},
        "policy": {"seeds": [{"seed": 0, "outside": 0.25}, {"seed": 1, "outside": 0.75}]},
    }
    (run / "diagnose").mkdir()
    (run / "diagnose" / "diagnosis.json").write_text(json.dumps(document | more))


def made_prediction(run: Path, name: str = "ensemble") -> None:
    """A document of `orl predict` in `run`: two steps of two dimensions, two draws."""
    example = {
        "start": [0.0, 1.0],
        "real": [[0.1, 1.1], [0.2, 1.2]],
        "predicted": {name: [[[0.15, 1.0], [0.3, 1.0]], [[0.05, 1.0], [None, 1.0]]]},
    }
    document = {
        "schema": 1,
        "actions": "logged",
        "error": {name: [0.1, 0.2]},
        "persistence": [0.3, 0.4],
        "example": example,
    }
    (run / "predict").mkdir()
    (run / "predict" / "prediction.json").write_text(json.dumps(document))


def full_runs(folder: Path) -> Path:
    """A mopo run of two seeds with everything that a report shows, and its model's run."""
    rows = [
        {"step": step, "seed": seed, "q": 1.0 * seed, "penalty": 0.5, "oddity": 2.0}
        for step in (10, 20)
        for seed in (0, 1)
    ]
    run = made_policy(folder / "mopo", seeds=[0, 1], metrics=rows)
    made_evaluation(run, [[1.0, 3.0], [5.0, 7.0]], model_value=MODEL_VALUE)
    holdout = {"rows": 40, "rmse": 0.1, "k_step": {"1": {"rmse": 0.1, "rmse_over_persistence": 0.5}}}
    model = made_model(folder / "ensemble", [{"step": 1, "holdout_mse": 0.5}], result={"holdout": holdout})
    shutil.copytree(model, run / "model")
    made_diagnosis(run)
    made_prediction(model)
    return folder


def hostile_runs(folder: Path) -> Path:
    """Runs with the attack in every name and text that a report shows."""
    bad = ATTACK
    data = {"name": bad, "env_id": bad, "reference": {"min": 0.0, "max": 10.0, "source": bad}}
    rows = [{"step": 1, "seed": 0, bad: 1.0, "q": 2.0}]
    run = made_policy(
        folder / ATTACK.replace("/", "|"), metrics=rows, data=data, presets=[bad], device=bad, versions={bad: bad},
        rollback={"epoch": 1, "learning_rate_scale": 0.1, "tensor": bad}, value_warning={bad: bad},
        penalty={"share": 0.5, "uncertainty": bad, "penalty_coef": bad}, began_as={"run": bad, "seeds": [0]},
    )  # fmt: skip
    made_evaluation(run, [[1.0, 2.0]], environment=bad, model_value=MODEL_VALUE | {"per_seed": [1.0]})
    model = made_model(folder / "model", [{"step": 1, "holdout_mse": 0.5, bad: 1.0}], result={"holdout": None})
    shutil.copytree(model, run / "model")
    calibration = {"columns": [bad, bad, "reward"], "levels": [0.5], "coverage": [[0.4, 0.6, 0.5]],
                   "expected_calibration_error": 0.1, "rows": 1}  # fmt: skip
    uncertainty = {"uncertainty": bad, "units": bad, "rank_correlation": None, "admissible_share": None,
                   "penalty_coef": None, "mean_penalty": None}  # fmt: skip
    made_diagnosis(run, calibration=calibration, uncertainties=[uncertainty])
    made_prediction(run, bad)
    with (run / "config.toml").open("a") as file:
        file.write(f"\n[more]\nnote = {json.dumps(bad)}\n{json.dumps(bad)} = 1\n")
    return folder
