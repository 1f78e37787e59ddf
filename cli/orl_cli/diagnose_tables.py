"""A diagnosis in tables and sentences."""

from __future__ import annotations

from typing import Any

from rich.table import Table

MOST_COLUMNS = 12  # dimensions shown in a table; the document has all of them
CHOSEN = (("uncertainty", "uncertainty"), ("units", "uncertainty_units"))
SHOWN_LEVELS = (0.5, 0.9, 0.95)


def tables(document: dict[str, Any]) -> list[Table]:
    """The sections, in the order in which they should be read."""
    found = [horizon_table(document), column_table(document)]
    if document.get("uncertainties"):
        found += [uncertainty_table(document), distance_table(document)]
    if "policy" in document:
        found.append(policy_table(document["policy"]))
    return found


def horizon_table(document: dict[str, Any]) -> Table:
    """Errors at a few steps ahead, and from where on simpler predictions do as well."""
    horizon = document["horizon"]
    steps = [f"{each}" for each in horizon["shown_steps"]]
    table = _table(f"{document['dataset']}: error / training spread by steps ahead", "", *steps, "no worse")
    for name, label in (("model", document["model"]["kind"]), ("linear", "linear model"), ("persistence", "no change")):
        shown = [number(horizon["error"][name][each - 1]) for each in horizon["shown_steps"]]
        even = horizon["break_even"].get(name)
        table.add_row(label, *shown, "" if name == "model" else "never" if even is None else f"from {even}")
    table.caption = "logged actions, open loop; no worse: from that step on the simpler prediction does as well"
    return table


def column_table(document: dict[str, Any]) -> Table:
    """One step, column by column: errors, and the share of held-out rows inside predicted intervals."""
    horizon, calibration = document["horizon"], document["calibration"]
    levels = [f"in {100 * level:g}%" for level in SHOWN_LEVELS]
    heads = (document["model"]["kind"], "linear", "no change", *levels, "ECE")
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
    share = f"{100 * document['penalty']['share']:g}%"
    heads = ("units", "rank corr.", "u >= error", f"x for {share}", "lambda")
    table = _table("Uncertainties u on held-out rows", "u", *heads)
    for line in document["uncertainties"]:
        chosen = all(line[key] == document["penalty"][name] for key, name in CHOSEN)
        table.add_row(
            line["uncertainty"] + (" *" if chosen else ""),
            line["units"],
            number(line["rank_correlation"]),
            percent(line["admissible_share"]),
            number(line["conformal_factor"]),
            number(line["penalty_coef"]),
        )
    table.caption = (
        f"x for {share}: the factor at which u covers the error on that share; lambda: that covers the error of\n"
        f"reward and value together, in reward units (discount {document['penalty']['discount']:g}); *: chosen"
    )
    return table


def distance_table(document: dict[str, Any]) -> Table:
    """Admissibility of the chosen uncertainty by distance from the training data."""
    distance, penalty = document["distance"], document["penalty"]
    factor = number(distance["factor"])
    title = f"{penalty['uncertainty']} ({penalty['uncertainty_units']}) by distance from the training data"
    table = _table(title, "distance", "rows", "u >= error", f"{factor} u >= error", "mean u", "mean error")
    for each in distance["bins"]:
        span = f"{number(each['low'])} to {number(each['high'])}"
        shares = percent(each["admissible"]), percent(each["admissible_with_factor"])
        table.add_row(span, str(each["rows"]), *shares, number(each["u"]), number(each["error"]))
    table.caption = "nearest training row, in standard deviations of (obs, action); farther away nothing is known"
    return table


def policy_table(policy: dict[str, Any]) -> Table:
    """The theorems' terms, a line a seed and lambda."""
    title = (
        f"{policy['algorithm']} in the model: discounted returns ({policy['discount']:g}, {policy['horizon']} steps) "
        f"against the behaviour's {number(policy['behaviour_value']['mean'])}"
    )
    heads = ("promised gain", "lambda", "eps_u", "guaranteed gain", "may lose", "covered", "outside")
    table = _table(title, "seed", *heads)
    for seed in policy["seeds"]:
        first = (str(seed["seed"]), signed(seed["promised_gain"]))
        outside = percent(seed["outside"])
        for each in seed["guarantees"] or [None]:
            terms = ["–"] * 5
            if each:
                terms = [
                    f"{number(each['coef'])} ({each['source']})",
                    f"{number(each['policy_uncertainty'])} / {number(each['behaviour_uncertainty'])}",
                    signed(each["guaranteed_gain"]),
                    number(each["worst_loss"]),
                    percent(each["covered"]),
                ]
            table.add_row(*first, *terms, outside)
            first, outside = ("", ""), ""
    table.caption = (
        "eps_u: discounted sum of u, policy / behaviour; guaranteed gain: promised - lambda eps_u(policy);\n"
        "may lose: 2 lambda eps_u(behaviour); covered: of the promised gain; outside: share of its steps farther from\n"
        f"the data than 99% of held-out rows ({number(policy['outside_distance'])})"
    )
    return table


def sentences(document: dict[str, Any]) -> list[str]:
    """What the tables come to."""
    calibration, two = document["calibration"], document["two_sample"]
    place = calibration["levels"].index(0.9)
    mean = sum(calibration["coverage"][place]) / len(calibration["columns"])
    word = "too narrow" if mean < 0.85 else "too wide" if mean > 0.95 else "about right"
    found = [f"predicted spread: 90% intervals hold {percent(mean)} of held-out numbers, {word}"]
    if two is None:
        found.append("two-sample test: too few held-out rows")
    else:
        p = "p < 1e-6" if two["p_value"] < 1e-6 else f"p = {two['p_value']:.2g}"
        found.append(
            f"two-sample test: a classifier tells model from data on {percent(two['accuracy'])} of {two['rows']} rows "
            f"({p}; by guessing 50%)"
        )
    return found


def signed(value: float) -> str:
    """Three digits and the sign."""
    return f"{value:+.3g}"


def number(value: float | None) -> str:
    """Three digits, or a dash for what does not exist."""
    return "–" if value is None else f"{value:.3g}"


def percent(value: float | None) -> str:
    """A share as '93.1%', or a dash."""
    return "–" if value is None else f"{100 * value:.1f}%"


def _table(title: str, *columns: str) -> Table:
    """A table whose first column keeps its width and whose others are numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, justify="left" if index == 0 else "right")
    return table
