"""What a report's document says of runs made by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_report_runs import DATA, made_diagnosis, made_evaluation, made_model, made_policy, made_prediction

from orl.errors import DataError
from orl.runs.report.gather import gather
from orl.runs.report.log import leave_log

MODEL_VALUE = {"mean_return": 9.0, "score": 90.0, "gap": 40.0, "per_seed": [90.0], "horizon": 200}


def report_of(*paths: Path) -> dict[str, Any]:
    return gather(paths, read=leave_log)


def only_method(*paths: Path) -> dict[str, Any]:
    (dataset,) = report_of(*paths)["datasets"]
    (method,) = dataset["methods"]
    return method


def test_runs_that_differ_in_seeds_only_are_one_method(tmp_path: Path) -> None:
    for seed, value in ((0, 1.0), (1, 3.0)):
        row = {"step": 10, "seed": seed, "q": value}
        made_policy(tmp_path / f"mopo-s{seed}", seeds=[seed], metrics=[row])
    found = only_method(tmp_path)
    assert (found["label"], found["seeds"], len(found["runs"])) == ("mopo", [0, 1], 2)
    assert found["curves"]["q"]["mean"] == [2.0]
    assert found["cost"]["training"] == 7.0  # 2 s and 1.5 s in each


def test_other_settings_or_the_same_seed_again_are_another_method(tmp_path: Path) -> None:
    made_policy(tmp_path / "a", seeds=[0])
    made_policy(tmp_path / "b", seeds=[0])
    made_policy(tmp_path / "c", seeds=[1], settings={"agent": {"penalty_coef": 7.5}})
    made_policy(tmp_path / "d", "bc")
    (dataset,) = report_of(tmp_path)["datasets"]
    assert [method["label"] for method in dataset["methods"]] == ["a", "b", "c", "bc"]


def test_scores_are_over_all_seeds_in_units_of_the_reference(tmp_path: Path) -> None:
    """Reference 0 to 10, so that a return of 1 scores 10. Seeds: 10 x mean of (1, 3) = 20, and of (5, 7) = 60."""
    for seed, returns in ((0, [1.0, 3.0]), (1, [5.0, 7.0])):
        made_evaluation(made_policy(tmp_path / f"s{seed}", seeds=[seed]), [returns], model_value=MODEL_VALUE)
    found = only_method(tmp_path)
    score = found["score"]
    assert (score["per_seed"], score["mean"], score["ci_over"]) == ([20.0, 60.0], 40.0, "seeds")
    assert (score["kind"], score["episodes"], score["environment"]) == ("evaluation", 2, "Pendulum-v1")
    promise = found["promise"]
    assert (promise["promised"], promise["true"], promise["gap"]) == (90.0, 40.0, 50.0)
    (dataset,) = report_of(tmp_path)["datasets"]
    assert dataset["yardsticks"]["behaviour"] == {"mean": 40.0, "best": 80.0}


def test_the_evaluation_with_most_episodes_that_all_runs_share_counts(tmp_path: Path) -> None:
    first, second = (made_policy(tmp_path / f"s{seed}", seeds=[seed]) for seed in (0, 1))
    for run, value in ((first, 1.0), (second, 2.0)):
        made_evaluation(run, [[value]])
        made_evaluation(run, [[value, value]])
    made_evaluation(first, [[9.0, 9.0, 9.0]])
    score = only_method(tmp_path)["score"]
    assert (score["per_seed"], score["episodes"]) == ([10.0, 20.0], 2)


def test_without_a_shared_evaluation_the_end_of_training_counts(tmp_path: Path) -> None:
    result = {"algorithm": "mopo", "score": {"mean": 7.0, "per_seed": [7.0], "episodes": 5, "normalised": True}}
    first, second = (made_policy(tmp_path / f"s{seed}", seeds=[seed], result=result) for seed in (0, 1))
    made_evaluation(first, [[1.0]])
    made_evaluation(second, [[1.0]], seed=3)
    found = only_method(tmp_path)
    assert (found["score"]["kind"], found["score"]["per_seed"], found["score"]["ci95"]) == (
        "training",
        [7.0, 7.0],
        None,
    )
    assert found["promise"] is None


def test_a_model_that_blew_up_promises_nothing(tmp_path: Path) -> None:
    blown = MODEL_VALUE | {"mean_return": None, "score": None, "gap": None, "per_seed": None}
    made_evaluation(made_policy(tmp_path / "run"), [[1.0]], model_value=blown)
    promise = only_method(tmp_path)["promise"]
    assert (promise["promised"], promise["true"], promise["gap"]) == (None, 10.0, None)


def test_a_model_and_its_copy_in_a_policy_are_one(tmp_path: Path) -> None:
    holdout = {"rows": 40, "rmse": 0.1, "k_step": {"1": {"rmse": 0.1, "rmse_over_persistence": 0.5}}}
    model = made_model(tmp_path / "ensemble", [{"step": 1, "holdout_mse": 0.5}], result={"holdout": holdout})
    policy = made_policy(tmp_path / "mopo")
    shutil.copytree(model, policy / "model")
    made_diagnosis(policy)
    made_prediction(model)
    (dataset,) = report_of(tmp_path)["datasets"]
    (found,) = dataset["models"]
    assert (found["name"], found["run"], found["owner"]) == ("ensemble", str(model), str(model))
    assert found["holdout"]["k_step"] == {"1": {"rmse": 0.1, "rmse_over_persistence": 0.5}}
    assert found["diagnosis"]["horizon"]["error"]["model"] == [0.1, 0.2, None]
    first, second = found["prediction"]["dims"]
    assert first["real"] == [0.0, 0.1, 0.2]
    assert first["predicted"] == {"ensemble": [[0.0, 0.15, 0.3], [0.0, 0.05, None]]}
    assert second["real"] == [1.0, 1.1, 1.2]
    (method,) = dataset["methods"]
    assert method["outside"] == 0.5
    assert method["cost"]["model"] == 30.0


def test_datasets_are_apart(tmp_path: Path) -> None:
    made_policy(tmp_path / "a")
    made_policy(tmp_path / "b", fingerprint="g", data={"name": "other/log-v0", "reference": None})
    found = report_of(tmp_path)
    assert found["title"] == "no/such-v0, other/log-v0"
    assert [dataset["yardsticks"]["behaviour"] for dataset in found["datasets"]] == [
        {"mean": 40.0, "best": 80.0},
        {"mean": 4.0, "best": 8.0},
    ]


def test_every_run_is_there_with_its_settings_and_what_happened_to_it(tmp_path: Path) -> None:
    rollback = {"epoch": 3, "learning_rate_scale": 0.1}
    run = made_policy(tmp_path / "run", status="interrupted", rollback=rollback)
    found = report_of(run)
    assert found["unfinished"] == [str(run)]
    (line,) = found["runs"]
    assert (line["status"], line["rollback"], line["seconds"]) == ("interrupted", rollback, 3.5)
    assert line["settings"]["agent.penalty_coef"] == 1.0
    assert line["config"].startswith('dataset = "no/such-v0"')
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("eval/a.json", "{", r"eval/a\.json is not valid JSON"),
        ("eval/a.json", '{"schema": 1}', r"eval/a\.json is damaged: algorithm: field required"),
        ("eval/a.json", '{"schema": 9}', "newer orl"),
        ("diagnose/diagnosis.json", '{"schema": 1, "model": 3}', r"diagnosis\.json is damaged: model"),
        ("predict/prediction.json", '{"schema": 1, "actions": 3}', r"prediction\.json is damaged: actions"),
    ],
)
def test_a_damaged_document_is_named(file: str, text: str, said: str, tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run")
    shutil.copytree(made_model(tmp_path / "elsewhere"), run / "model")
    (run / file).parent.mkdir()
    (run / file).write_text(text)
    with pytest.raises(DataError, match=said):
        report_of(run)


def test_seeds_of_unlike_numbers_of_episodes_are_refused(tmp_path: Path) -> None:
    run = made_policy(tmp_path / "run", seeds=[0, 1])
    made_evaluation(run, [[1.0, 2.0], [1.0]])
    with pytest.raises(DataError, match="returns: value error, every seed needs the same number of episodes"):
        report_of(run)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_runs_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is not a run folder"):
        report_of(tmp_path / name)


def test_a_reference_of_no_width_is_refused(tmp_path: Path) -> None:
    made_policy(tmp_path / "run", data={"reference": {"min": 1.0, "max": 1.0, "source": "x"}})
    with pytest.raises(DataError, match="the same return for 0 and 100"):
        report_of(tmp_path)
    assert DATA["reference"] == {"min": 0.0, "max": 10.0, "source": "the test"}
