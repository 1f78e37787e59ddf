"""`orl diagnose`: how far a model can be believed, by episodes held out of its fit, and what that does for a policy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from orl.data.history import with_history
from orl.errors import DataError, UsageError
from orl.evaluation.diagnosis.figures import calibration_figure, policy_figure, uncertainty_figure
from orl.evaluation.figures import error_figure
from orl.files import saving
from orl.runs.diagnosis_data import Evidence, gather
from orl.runs.diagnosis_model import diagnose_ensemble, diagnose_sequence
from orl.runs.diagnosis_policy import DISCOUNT, diagnose_policy, discount_of
from orl.runs.diagnosis_uncertainty import Chosen, calibrated, distances, uncertainty_sections
from orl.runs.directory import SCHEMA, RunDirectory, load_run, versions, write_json
from orl.runs.fit_model import load_model
from orl.runs.fits import finished_fit
from orl.runs.loading import dataset_of
from orl.runs.model_supply import check_model
from orl.runs.policy import KIND as POLICY
from orl.runs.predict import model_word
from orl.runs.reporter import Reporter


def diagnose(
    path: Path,
    *,
    model: Path | None = None,
    steps: int = 100,
    share: float = 0.95,
    discount: float | None = None,
    seed: int | None = None,
    out: Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Judge a fitted model, or a policy and its model, on held-out episodes; write figures and JSON, return the latter.

    Args:
        path: run folder of an ensemble, a transformer, an LSTM or a policy. model: the ensemble to judge a policy by,
            in place of its own copy. steps: how far ahead errors are followed. share: of held-out rows that a
            calibrated uncertainty covers. discount: of values, where the run has none. seed: of a policy's, only this.

    Raises:
        DataError: no such run, one without a model, or of data that changed. UsageError: settings that do not go
            together, or held-out episodes that are too short.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    run = load_run(path)
    fit = _model_of(run, model)
    seeds, discount = _checked(run, model, seed, share, discount)
    dataset = with_history(dataset_of(run, reporter), fit.history)
    if model is not None:
        check_model(dataset, model, "ensemble")
        _check_history(run, fit)
    evidence = gather(dataset, fit)
    reporter.message(f"judging {fit.path} on {len(evidence.judged):,} of {len(evidence.first):,} held-out rows")
    document = _stamp(run, fit, evidence)
    if fit.record["kind"] != "ensemble":
        document |= diagnose_sequence(fit, evidence, steps)
        return _write(document, _common_figures(document), out or run.path / "diagnose", began)
    fitted = load_model(fit.path)
    document |= diagnose_ensemble(fitted, evidence, steps)
    reporter.message("calibrating the uncertainties")
    known = distances(fitted, evidence)
    chosen = calibrated(fitted, evidence, discount, share, reporter)
    document |= uncertainty_sections(chosen, known)
    if seeds:
        reporter.message(f"following the policy of {path} through the model")
        document["policy"] = diagnose_policy(run, fitted, evidence, known, chosen, discount, seeds)
    figures = _common_figures(document) | _ensemble_figures(document, chosen)
    return _write(document, figures, out or run.path / "diagnose", began)


def _checked(
    run: RunDirectory, model: Path | None, seed: int | None, share: float, discount: float | None
) -> tuple[list[int], float]:
    """(the policy's seeds to judge, none for a model, and the discount), or a UsageError before any work is done."""
    if not 0.0 < share < 1.0:
        raise UsageError(f"--share {share}: a share of held-out rows must lie between 0 and 1")
    if discount is not None and not 0.0 < discount < 1.0:
        raise UsageError(f"--discount {discount}: a discount lies between 0 and 1")
    if run.record["kind"] != POLICY:
        if model is not None or seed is not None:
            raise UsageError(f"--model and --seed are for policies; {run.path} holds a {run.record['kind']}")
        return [], discount or DISCOUNT
    seeds = run.record["seeds"]
    if seed is not None and seed not in seeds:
        raise UsageError(f"{run.path} holds the seeds {seeds}, not {seed}")
    return seeds if seed is None else [seed], discount_of(run, discount)


def _model_of(run: RunDirectory, given: Path | None) -> RunDirectory:
    """The fit that a diagnosis is about: the run itself, the one given, or the policy's own copy."""
    if run.record["kind"] != POLICY:
        return finished_fit(run.path)
    copy = given or run.path / "model"
    if given is None and not (copy / "run.json").exists():
        raise DataError(
            f"{run.path} has no model, for {run.record.get('algorithm', 'its algorithm')} learns without one; name the"
            " ensemble to judge it by with --model"
        )
    return finished_fit(copy)


def _check_history(policy: RunDirectory, fit: RunDirectory) -> None:
    """UsageError unless a policy sees as much of the past as the model it is to be judged by."""
    if policy.history != fit.history:
        raise UsageError(
            f"{policy.path} sees a history of {policy.history} and --model {fit.path} one of {fit.history}; fit a model"
            f" with --history {policy.history} to judge it by"
        )


def _stamp(run: RunDirectory, fit: RunDirectory, evidence: Evidence) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": str(run.path),
        "kind": "diagnosis",
        "model": {"kind": model_word(fit), "run": str(fit.path)},
        "dataset": evidence.dataset.name,
        "rows": {
            "linear": len(evidence.train.reward),
            "holdout": len(evidence.first),
            "judged": len(evidence.judged),
        },
    }


def _common_figures(document: dict[str, Any]) -> dict[str, Figure]:
    """What every model has: error by steps ahead, and calibration."""
    errors = document["horizon"]["error"]
    shown = {document["model"]["kind"]: errors["model"], "linear": errors["linear"]}
    return {
        "horizon.png": error_figure(shown, errors["persistence"]),
        "calibration.png": calibration_figure(document["calibration"]),
    }


def _ensemble_figures(document: dict[str, Any], chosen: Chosen | None) -> dict[str, Figure]:
    """The chosen uncertainty against the errors, and each seed of a policy."""
    figures = {
        f"policy-{line['seed']}.png": policy_figure(line) for line in document.get("policy", {}).get("seeds", [])
    }
    if chosen is None:
        return figures
    which, distance = chosen.calibration.chosen, document["distance"]
    name = f"{which.uncertainty} ({which.units})"
    figure = uncertainty_figure(chosen.u, chosen.error, name, distance["factor"], distance["bins"])
    return {"uncertainty.png": figure} | figures


def _write(document: dict[str, Any], figures: dict[str, Figure], folder: Path, began: float) -> dict[str, Any]:
    """Save the figures and the document, which names them."""
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / name)
    document |= {
        "files": [str(folder / name) for name in figures],
        "versions": versions(),
        "seconds": time.perf_counter() - began,
    }
    write_json(folder / "diagnosis.json", document)
    return document
