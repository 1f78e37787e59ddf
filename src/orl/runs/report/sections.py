"""The sections about methods on one dataset: scores, promises, learning curves, penalties, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orl.runs.report.figures_methods import Palette, cost_figure, learning_figure, promise_figure, score_figure
from orl.runs.report.html import Html, duration, element, joined, shown, table
from orl.runs.report.parts import Figures, absent, paragraph

Dataset = Mapping[str, Any]
TRAINING = (
    ("eval_return", "Return in the environment during training", "return"),
    ("q", "Value that the critics give", "discounted return"),
    ("critic_loss", "Loss of the critics", "loss"),
    ("actor_loss", "Loss of the actor", "loss"),
)
PESSIMISM = (
    ("penalty", "Penalty taken from the reward of a model step", "reward"),
    ("uncertainty", "Uncertainty of a model step", "uncertainty"),
    ("discrepancy", "Disagreement of the ensemble (MOReL)", "uncertainty"),
    ("halted_share", "Share of model steps that are halted", "share of steps"),
    ("rollout_terminated", "Share of model rollouts that end", "share of rollouts"),
    ("rollout_rows", "Rows that a round of model rollouts gives", "rows"),
    ("rollout_reward", "Mean reward of a model step, penalty included", "reward"),
    ("conservative_gap", "Conservative gap: value off the data less on it", "value"),
)
KNOWN = {name for name, *_ in (*TRAINING, *PESSIMISM)}
MOST_FURTHER = 12


def in_short(dataset: Dataset) -> Html | None:
    """The best policy beside behaviour and bc, and the greatest gap, in two sentences."""
    played = [method for method in dataset["methods"] if method["score"]]
    if not played:
        return None
    best = max(played, key=lambda method: method["score"]["mean"])
    others = [f"behaviour {one(dataset['yardsticks']['behaviour']['mean'])}"]
    others += [f"{each['label']} {one(each['score']['mean'])}" for each in played if each["name"] == "bc"]
    said = f"Best in the environment: {best['label']}, {one(best['score']['mean'])} ({', '.join(others)})."
    promised = [method for method in played if method["promise"] and method["promise"]["gap"] is not None]
    if promised:
        widest = max(promised, key=lambda method: method["promise"]["gap"])
        gap = widest["promise"]["gap"]
        most = f" Greatest excess of the model's promise over the truth: {widest['label']}, {gap:+.1f}."
        said += most if gap > 0 else " No model promises more than the environment paid."
    return element("p", said, class_="short")


def scores(dataset: Dataset, palette: Palette, figures: Figures) -> Html:
    """What the policies are worth against the behaviour, bc and what was published."""
    yardsticks, methods = dataset["yardsticks"], dataset["methods"]
    if not methods:
        return absent("No policy of this dataset is in the report", "orl train-policy")
    played = [method for method in methods if method["score"]]
    parts: list[Html | None] = []
    if played:
        parts += [figures.put(score_figure(methods, yardsticks, palette)), _score_table(played, yardsticks)]
    for method in (each for each in methods if not each["score"]):
        parts.append(absent(f"No score of {method['label']}", f"orl evaluate {method['runs'][0]}"))
    if all(method["name"] != "bc" for method in methods):
        parts.append(absent("No bc to compare with", f"orl train-policy --algo bc --dataset {dataset['data']['name']}"))
    return joined(*parts, _published(yardsticks["published"]))


def _score_table(played: Sequence[Mapping[str, Any]], yardsticks: Mapping[str, Any]) -> Html:
    unit = "score" if yardsticks["normalised"] else "return"
    columns = ["policy", unit, "iqm", "95% interval", "seeds", "episodes a seed", "played"]
    best, mean = (yardsticks["behaviour"][key] for key in ("best", "mean"))
    rows: list[list[Any]] = [
        ["behaviour (mean)", one(mean), *[""] * 5],
        ["behaviour (best episode)", one(best), *[""] * 5],
    ]
    for method in sorted(played, key=lambda each: each["name"] != "bc"):
        score = method["score"]
        played_at = "by orl evaluate" if score["kind"] == "evaluation" else "at the end of training"
        if method["kind"] == "plan":
            played_at = "by orl plan"
        interval = " to ".join(map(one, score["ci95"])) if score["ci95"] else "–"
        interval += " (episodes)" if score["ci_over"] == "episodes" else ""
        rows.append(
            [
                method["label"],
                one(score["mean"]),
                one(score["iqm"]),
                interval,
                len(score["per_seed"]),
                score["episodes"],
                played_at,
            ]
        )
    reference = yardsticks["reference"]
    note = "Intervals are bootstrapped over seeds; with one seed over its episodes, which says nothing of other seeds."
    if reference:
        note += (
            f" Score 0 is a return of {shown(reference['min'])}, 100 one of {shown(reference['max'])} "
            f"({reference['source']})."
        )
    return joined(table(columns, rows, name=f"{unit} of every policy"), paragraph(note))


def _published(published: Sequence[Mapping[str, Any]]) -> Html:
    if not published:
        return absent("No published score is known for a dataset of this name; other datasets' do not compare")
    rows = [
        [
            each["algorithm"],
            one(each["score"]),
            one(each["spread"]),
            each["source"]["spread"] or "–",
            each["source"]["title"],
            each["source"]["where"],
        ]
        for each in published
    ]
    columns = ["method", "score", "spread", "of", "source", "where"]
    return joined(paragraph("Published (diamonds in the figure):"), table(columns, rows, name="Published scores"))


def promises(dataset: Dataset, palette: Palette, figures: Figures) -> Html:
    """The bare model's opinion beside the truth."""
    methods = [method for method in dataset["methods"] if method["promise"]]
    if not methods:
        return absent("No model's opinion of these policies", f"orl evaluate {_first_run(dataset)}")
    unit = "score" if dataset["yardsticks"]["normalised"] else "return"
    blown = [method["label"] for method in methods if method["promise"]["promised"] is None]
    rows = [
        [
            m["label"],
            one(m["promise"]["true"]),
            one(m["promise"]["promised"]),
            one(m["promise"]["gap"]),
            "–" if m["outside"] is None else f"{m['outside']:.0%}",
        ]
        for m in methods
    ]
    note = (
        "Both from the same start states, over as many steps, the model without penalty and without halting. A gap "
        "above 0 is exploitation: the policy found errors of the model that look like reward."
    )
    if blown:
        note += f" The model's rollouts blew up for {', '.join(blown)}."
    columns = ["policy", f"true {unit}", "in the model", "gap", "rollouts outside the data"]
    parts = [figures.put(promise_figure(methods, unit, palette)), table(columns, rows, name="Promise and truth")]
    if all(method["outside"] is None for method in methods):
        parts.append(
            absent(
                "How much of the rollouts lies outside the data is not known", f"orl diagnose {methods[0]['runs'][0]}"
            )
        )
    return joined(*parts, paragraph(note))


def _first_run(dataset: Dataset) -> str:
    """The run of the first method that has a model, to be named in a command."""
    using = [method for method in dataset["methods"] if method["cost"]["model"] is not None]
    return str((using or dataset["methods"])[0]["runs"][0]) if dataset["methods"] else "RUN"


def learning(dataset: Dataset, palette: Palette, figures: Figures) -> Html:
    """Curves of training, and whatever else the metrics hold."""
    methods = [method for method in dataset["methods"] if method["curves"]]
    if not methods:
        return absent("No metrics of training", "orl train-policy")
    names = sorted({name for method in methods for name in method["curves"]} - KNOWN)
    further = [(name, name.replace("_", " ").capitalize(), name.replace("_", " ")) for name in names[:MOST_FURTHER]]
    found = [learning_figure(*metric, methods, palette) for metric in (*TRAINING, *further)]
    note = "Means over seeds; bands are 95% bootstrap intervals of the mean, too narrow with few seeds."
    parts = [figures.grid(found), paragraph(note)]
    if not any("eval_return" in method["curves"] for method in methods):
        parts.append(absent("No episodes were played during training, for no environment is known"))
    return joined(*parts)


def pessimism(dataset: Dataset, palette: Palette, figures: Figures) -> Html:
    """Penalty and halting statistics, and how penalties were calibrated."""
    methods = dataset["methods"]
    found = [figure for metric in PESSIMISM if (figure := learning_figure(*metric, methods, palette))]
    parts = [
        figures.grid(found) if found else absent("No method here rolls out a model", "orl train-policy --algo mopo")
    ]
    calibrated = [(method["label"], method["calibrated"]) for method in methods if method["calibrated"]]
    if calibrated:
        keys = ("uncertainty", "penalty_coef", "share", "covered", "mean_penalty", "mean_error", "rank_correlation")
        rows = [[label, *(shown(figures_of.get(key)) for key in keys)] for label, figures_of in calibrated]
        parts.append(table(["policy", *keys], rows, name="Calibrated penalties"))
    return joined(*parts)


def costs(dataset: Dataset, palette: Palette, figures: Figures) -> Html:
    """Time, speed and device."""
    methods = dataset["methods"]
    if not methods:
        return absent("No policy of this dataset is in the report", "orl train-policy")
    rows = []
    for method in methods:
        cost = method["cost"]
        rows.append(
            [
                method["label"],
                duration(cost["training"]),
                duration(cost["model"]),
                shown(cost["updates_per_second"] and round(cost["updates_per_second"], 1)),
                shown(cost["ms_per_action"] and round(cost["ms_per_action"], 2)),
                cost["device"],
            ]
        )
    total = sum(method["cost"]["training"] for method in methods)
    columns = ["method", "training", "fit of its model", "updates a second", "ms per planned action", "device"]
    note = f"Training in all {duration(total)}; a model that several methods share was fitted once."
    return joined(figures.put(cost_figure(methods)), table(columns, rows, name="Time and cost"), paragraph(note))


def one(value: float | None) -> str:
    """A score with one decimal."""
    return "–" if value is None else f"{value:,.1f}"
