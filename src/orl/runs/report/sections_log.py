"""The sections about the data and the models of one dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orl.runs.report.figures_data import data_figures
from orl.runs.report.figures_models import (
    calibration_figure,
    distance_figure,
    fit_figure,
    horizon_figure,
    k_step_figure,
    trajectory_figures,
)
from orl.runs.report.html import Html, duration, element, joined, shown, table
from orl.runs.report.parts import Figures, absent, paragraph

Dataset = Mapping[str, Any]


def data(dataset: Dataset, figures: Figures) -> Html:
    """What the log holds, and what of actions and observations it covers."""
    sizes, log = dataset["data"], dataset["log"]
    facts = (
        f"{shown(sizes['steps'])} steps in {shown(sizes['episodes'])} episodes, {shown(sizes['obs_dim'])} observed and "
        f"{shown(sizes['action_dim'])} acted on, mean return {shown(sizes['mean_return'])}, best "
        f"{shown(sizes['best_return'])}; environment {sizes['env_id'] or 'not named'}."
    )
    if log["summary"] is None:
        return joined(paragraph(facts), absent(f"No look into the data: {log['missing']}"))
    overview = log["summary"]["overview"]
    rows = [[name, *map(shown, overview[key].values())] for name, key in (("return", "returns"), ("length", "lengths"))]
    ends = f"{shown(overview['terminated'])} true ends, {shown(overview['truncated'])} time-outs or cuts."
    return joined(
        paragraph(facts, " ", ends),
        figures.grid(data_figures(log["summary"])),
        table(["of an episode", "least", "10%", "median", "90%", "greatest"], rows, name="Returns and lengths"),
        _coverage(overview["actions"]),
        paragraph("Faults of the log itself: ", element("code", f"orl data check {sizes['name']}")),
    )


def _coverage(actions: list[Mapping[str, Any]]) -> Html:
    keys = ("low", "high", "width", "r2_from_obs", "spread", "at_low", "at_high")
    titles = [
        "action",
        "low",
        "high",
        "middle 98% (of the range)",
        "R² from the observation",
        "spread around that (of the range)",
        "share at low",
        "share at high",
    ]
    rows = [[str(index), *(shown(column[key]) for key in keys)] for index, column in enumerate(actions)]
    return table(titles, rows, name="Coverage of the actions")


def models(dataset: Dataset, figures: Figures) -> Html:
    """Error by horizon and calibration of every model."""
    found = dataset["models"]
    if not found:
        return absent("No model is in these runs", "orl fit-model")
    return joined(*(_model(model, figures) for model in found))


def _model(model: Mapping[str, Any], figures: Figures) -> Html:
    holdout, diagnosis, name = model["holdout"], model["diagnosis"], model["name"]
    heading = element("h4", f"{name}: {model['run']}")
    facts = f"{model['status']}, {shown(model['epochs'])} epochs, {duration(model['seconds'])}."
    shown_figures = [fit_figure(name, model["curves"])]
    if diagnosis:
        shown_figures += [horizon_figure(name, diagnosis), calibration_figure(diagnosis["calibration"])]
        if diagnosis["distance"]:
            shown_figures.append(distance_figure(diagnosis["distance"]["bins"]))
    elif holdout and holdout["k_step"]:
        shown_figures.append(k_step_figure(name, holdout["k_step"]))
    parts = [heading, paragraph(facts, " ", _holdout_words(holdout)), figures.grid(shown_figures)]
    if not diagnosis:
        parts.append(absent("No calibration of this model", f"orl diagnose {model['owner']}"))
    elif diagnosis["uncertainties"]:
        parts.append(_uncertainties(diagnosis["uncertainties"]))
    return joined(*parts)


def _holdout_words(holdout: Mapping[str, Any] | None) -> str:
    if holdout is None:
        return "Not finished, so not judged on held-out episodes yet."
    rows = f"On {shown(holdout['rows'])} held-out rows: "
    if holdout["cross_entropy"]:
        kinds = (f"{kind} {shown(value)}" for kind, value in holdout["cross_entropy"].items())
        return f"{rows}cross-entropy (nats a token) of {', '.join(kinds)}."
    ratio = holdout["rmse_over_persistence"]
    return (
        f"{rows}one-step error {shown(holdout['rmse'])} of the training spread ({shown(ratio)} times that of no "
        f"change), reward error {shown(holdout['reward_rmse'])}, {shown(holdout['nll'])} nats a dimension."
    )


def _uncertainties(lines: list[Mapping[str, Any]]) -> Html:
    columns = [
        "uncertainty",
        "units",
        "rank correlation with the error",
        "share of rows it covers",
        "λ that covers the error",
        "mean penalty",
    ]
    keys = ("units", "rank_correlation", "admissible_share", "penalty_coef", "mean_penalty")
    rows = [[line["uncertainty"], *(shown(line[key]) for key in keys)] for line in lines]
    return table(columns, rows, name="Uncertainties against the model's errors")


def trajectories(dataset: Dataset, figures: Figures) -> Html:
    """What followed a held-out state, and what models drew instead."""
    predicted = [model for model in dataset["models"] if model["prediction"]]
    parts = []
    for model in predicted:
        dims = model["prediction"]["dims"]
        if dims:
            parts.append(figures.grid(trajectory_figures(model["prediction"])))
        else:
            parts.append(absent("This prediction kept no trajectory", f"orl predict {model['owner']}"))
    if not predicted and dataset["models"]:
        parts.append(absent("No predicted trajectories", f"orl predict {dataset['models'][0]['run']}"))
    return joined(*parts) if parts else absent("No model is in these runs", "orl fit-model")
