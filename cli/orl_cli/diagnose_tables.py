"""A diagnosis in tables and sentences."""

from __future__ import annotations

from typing import Any

from rich.table import Table

MOST_COLUMNS = 12  # dimensions shown in a table; the document has all of them
CHOSEN = (("uncertainty", "uncertainty"), ("units", "uncertainty_units"))
SHOWN_LEVELS = (0.5, 0.9, 0.95)
SMALL = 1e-6  # standard deviations: copies of a row


def tables(document: dict[str, Any]) -> list[Table]:
    """The sections, in the order in which they should be read."""
    found = [horizon_table(document), column_table(document)]
    if document.get("uncertainties"):
        found += [uncertainty_table(document), distance_table(document)]
    if "policy" in document:
        found += [policy_table(document["policy"], seed) for seed in document["policy"]["seeds"]]
    return found


def horizon_table(document: dict[str, Any]) -> Table:
    """Errors at a few steps ahead."""
    horizon = document["horizon"]
    table = _table(
        f"{document['dataset']}: error / training spread by steps ahead", "", *map(str, horizon["shown_steps"])
    )
    for name, label in (("model", document["model"]["kind"]), ("linear", "linear"), ("persistence", "no change")):
        errors = [horizon["error"][name][each - 1] for each in horizon["shown_steps"]]
        table.add_row(label, *("–" if each is None else f"{each:.3f}" for each in errors))
    table.caption = f"open loop, logged actions, {horizon['starts'][0]} starts; {horizon['prediction']}"
    return table


def column_table(document: dict[str, Any]) -> Table:
    """One step, column by column: errors, and the share of held-out rows inside predicted intervals."""
    horizon, calibration = document["horizon"], document["calibration"]
    levels = [f"in {100 * level:g}%" for level in SHOWN_LEVELS]
    heads = ("model", "linear", "no change", *levels, "ECE")
    table = _table("One step: error / training spread, and rows inside predicted intervals", "", *heads)
    errors = [horizon["error_by_dim"][name][0] for name in ("model", "linear", "persistence")]
    places = [calibration["levels"].index(level) for level in SHOWN_LEVELS]
    for index, column in enumerate(calibration["columns"]):
        if index >= MOST_COLUMNS and column != "reward":
            continue
        wrong = ["" if column == "reward" else number(each[index]) for each in errors]
        inside = [percent(calibration["coverage"][place][index]) for place in places]
        table.add_row(column, *wrong, *inside, number(calibration["error_by_column"][index]))
    hidden = len(calibration["columns"]) - 1 - MOST_COLUMNS
    more = f"; {hidden} more columns are in the document" if hidden > 0 else ""
    table.caption = f"ECE: mean distance of those shares from their levels{more}"
    return table


def uncertainty_table(document: dict[str, Any]) -> Table:
    """Every uncertainty against the true error, and the lambda that it takes."""
    share, penalty = f"{100 * document['penalty']['share']:g}%", document["penalty"]
    table = _table("Uncertainties u on held-out rows", "u", "rank corr.", "u >= error", f"x for {share}", "lambda")
    for line in document["uncertainties"]:
        chosen = all(line[key] == penalty[name] for key, name in CHOSEN)
        table.add_row(
            f"{line['uncertainty']}, {line['units']}{' *' if chosen else ''}",
            number(line["rank_correlation"]),
            percent(line["admissible_share"]),
            number(line["conformal_factor"]),
            number(line["penalty_coef"]),
            end_section=line["uncertainty"] == document["uncertainties"][-1]["uncertainty"],
        )
    table.caption = (
        f"x for {share}: the factor at which u covers the error on that share of rows;\n"
        f"lambda: that covers the error of reward + value (discount {penalty['discount']:g}); *: chosen"
    )
    return table


def distance_table(document: dict[str, Any]) -> Table:
    """Admissibility of the chosen uncertainty by distance from the training data."""
    distance, penalty = document["distance"], document["penalty"]
    factor = number(distance["factor"])
    title = f"{penalty['uncertainty']} ({penalty['uncertainty_units']}) by distance from the training data"
    table = _table(title, "distance up to", "rows", "u >= error", f"{factor} u >=", "mean u", "mean error")
    for each in distance["bins"]:
        shares = percent(each["admissible"]), percent(each["admissible_with_factor"])
        far = "0" if each["high"] < SMALL else number(each["high"])
        table.add_row(far, str(each["rows"]), *shares, number(each["u"]), number(each["error"]))
    table.caption = "to the nearest training row, in standard deviations of (obs, action)"
    return table


def policy_table(policy: dict[str, Any], seed: dict[str, Any]) -> Table:
    """The theorems' terms of one seed, a column a lambda."""
    terms = seed["guarantees"]
    title = f"{policy['algorithm']}, seed {seed['seed']}: returns discounted by {policy['discount']:g}"
    table = _table(title, "", *("lambda of the run" if each["source"] == "run" else "calibrated" for each in terms))
    rows: list[tuple[str, Any]] = [
        ("u", lambda each: f"{each['uncertainty']}, {each['units']}"),
        ("lambda", lambda each: number(each["coef"])),
        ("lambda that held-out rows need", lambda each: number(each["needed"])),
        ("eps_u of the policy", lambda each: number(each["policy_uncertainty"])),
        ("eps_u of the behaviour", lambda each: number(each["behaviour_uncertainty"])),
        ("promised gain", lambda each: signed(seed["promised_gain"])),
        ("guaranteed: promised - lambda eps_u(policy)", lambda each: signed(each["guaranteed_gain"])),
        ("covered part of the promise", lambda each: percent(each["covered"])),
        ("may lose: 2 lambda eps_u(behaviour)", lambda each: number(each["worst_loss"])),
    ]
    for label, shown in rows:
        table.add_row(label, *map(shown, terms))
    if any(each["holds"] is False for each in terms):
        table.caption = "a lambda below the one needed guarantees nothing"
    return table


def sentences(document: dict[str, Any]) -> list[str]:
    """What the tables come to."""
    even = document["horizon"]["break_even"]
    steps = document["horizon"]["steps"]
    words = {"persistence": "no change", "linear": "a linear model"}
    found = [
        f"- {words[name]} predicts no worse from step {step}"
        if step
        else f"- {words[name]} predicts worse at each of {steps} steps"
        for name, step in even.items()
    ]
    return [*found, spread_sentence(document["calibration"]), *two_sample_sentences(document["two_sample"])] + [
        policy_sentence(document["policy"], seed) for seed in document.get("policy", {}).get("seeds", [])
    ]


def spread_sentence(calibration: dict[str, Any]) -> str:
    """Whether the predicted spread is as wide as the errors."""
    shares = calibration["coverage"][calibration["levels"].index(0.9)]
    mean = sum(shares) / len(shares)
    word = "too narrow" if mean < 0.85 else "too wide" if mean > 0.95 else "about right"
    return f"- predicted spread: {word}; 90% intervals hold {percent(mean)} of held-out numbers"


def two_sample_sentences(section: dict[str, Any]) -> list[str]:
    """How often a classifier tells the model's transitions from the log's."""
    if section["transitions"] is None:
        return ["- two-sample test: too few held-out rows"]
    found = []
    for name, words in (("transitions", "from the transition"), ("with_scores", "knowing what the model expected")):
        p = section[name]["p_value"]
        found.append(f"{percent(section[name]['accuracy'])} {words} ({'p < 1e-6' if p < 1e-6 else f'p = {p:.2g}'})")
    return [f"- two-sample test: a classifier tells model from log in {'; '.join(found)}; guessing: 50%"]


def policy_sentence(policy: dict[str, Any], seed: dict[str, Any]) -> str:
    """What the model promises of a seed, and how far its rollouts leave the data."""
    where = f"{percent(seed['outside'])} of its steps there lie farther from the data than 99% of held-out rows"
    if seed["promised_gain"] is None:
        return f"- seed {seed['seed']}: its rollouts in the model ran away; {where}"
    error = (seed["model_value"]["error"] ** 2 + policy["behaviour_value"]["error"] ** 2) ** 0.5
    promise = f"{signed(seed['promised_gain'])} (standard error {number(error)})"
    behaviour = number(policy["behaviour_value"]["mean"])
    return f"- seed {seed['seed']}: the model promises {promise} over the behaviour's {behaviour}; {where}"


def signed(value: float | None) -> str:
    """As `number`, with the sign."""
    return number(value) if value is None or value < 0 else f"+{number(value)}"


def number(value: float | None) -> str:
    """Three digits, or a dash for what does not exist."""
    if value is None:
        return "–"
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A share as '93.1%', or a dash."""
    return "–" if value is None else f"{100 * value:.1f}%"


def _table(title: str, *columns: str) -> Table:
    """A table whose first column keeps its width and whose others are numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, justify="left" if index == 0 else "right")
    return table
